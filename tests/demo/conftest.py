"""The demo in a process of its own, with a count of the network's runs and a gate that holds one up."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Demo:
    """A running demo at `url`, with its folder and where pictures of it go."""

    url: str
    folder: Path
    pictures: Path | None

    @property
    def runs(self) -> int:
        """How often the network has run."""
        file = self.folder / "runs"
        return len(file.read_text().splitlines()) if file.exists() else 0

    @property
    def visitors(self) -> set[Path]:
        """The folders of the visitors."""
        return set((self.folder / "sessions").glob("*"))

    def hold(self, closed: bool) -> None:
        """Let no network run, or let it go on."""
        if closed:
            (self.folder / "closed").touch()
        else:
            (self.folder / "closed").unlink(missing_ok=True)

    def picture(self, page: Any, name: str) -> None:
        """Keep a picture of the page where MANYVIEW_SCREENSHOTS says."""
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(self.pictures / f"demo_{name}.png"))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for the tests of a module."""
    with serving(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo that lets in ada and bob, whose passwords are "secret"."""
    with serving(tmp_path_factory.mktemp("closed"), "ada:secret", "bob:secret") as demo:
        yield demo


@contextmanager
def serving(folder: Path, *logins: str) -> Iterator[Demo]:
    """A demo in a process of its own."""
    pytest.importorskip("gradio")
    pictures = os.environ.get("MANYVIEW_SCREENSHOTS")
    command = [sys.executable, str(Path(__file__).with_name("serve.py")), str(folder), *logins]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        url = next((line.split()[-1] for line in process.stdout if line.startswith("served at")), None)
        assert url, "the demo did not start"
        yield Demo(url, folder, Path(pictures) if pictures else None)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert not list((folder / "sessions").glob("*")), "visitors' files are deleted when the demo ends"


@pytest.fixture
def demo(served: Demo) -> Demo:
    """The demo with its gate open."""
    served.hold(False)
    return served
