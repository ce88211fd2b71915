"""The folder of a demo goes with it, or with the next one if it was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from manyview.demo import roots as module
from manyview.demo.roots import LOCK, forget_dead, temporary_root


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def left_behind(folder: Path, name: str, age_s: float = 3600) -> Path:
    """A folder as a killed demo leaves it."""
    root = folder / name
    (root / "sessions" / "x").mkdir(parents=True)
    (root / "sessions" / "x" / "photo.jpg").touch()
    (root / LOCK).touch()
    os.utime(root, (time.time() - age_s,) * 2)
    return root


def test_it_goes_in_the_end(folder: Path) -> None:
    with temporary_root() as root:
        assert root.parent == folder and root.name.startswith("manyview_demo_")
        (root / "sessions").mkdir()
    assert not list(folder.iterdir())


def test_only_dead_ones_of_our_own_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = left_behind(folder, "manyview_demo_dead")
    living, young = left_behind(folder, "manyview_demo_living"), left_behind(folder, "manyview_demo_young", age_s=0)
    unlocked, other = left_behind(folder, "manyview_demo_unlocked"), left_behind(folder, "other_demo_dead")
    (unlocked / LOCK).unlink()
    os.utime(unlocked, (0, 0))
    elsewhere = left_behind(folder, "elsewhere")
    link = folder / "manyview_demo_link"
    link.symlink_to(elsewhere)
    with FileLock(living / LOCK):
        forget_dead(folder)
    assert not dead.exists()
    assert all((each / "sessions" / "x" / "photo.jpg").exists() for each in (living, young, unlocked, other, elsewhere))
    assert link.is_symlink()
    if hasattr(os, "getuid"):
        monkeypatch.setattr(module.os, "getuid", lambda: -1)
        forget_dead(folder)
        assert living.exists(), "it is somebody else's"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system does not kill so")
def test_what_a_killed_one_left_goes_at_the_next_start(folder: Path, root: Path) -> None:
    words = (
        "import runpy, sys, time; runpy.run_path(sys.argv[1], run_name='manyview_registration')\n"
        "from manyview.demo.roots import temporary_root\n"
        "with temporary_root() as root:\n"
        "    (root / 'photo.jpg').touch()\n"
        "    print(root, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", words, str(root / "__main__.py")]
    with subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.PIPE, text=True
    ) as process:
        left = Path(process.stdout.readline().strip())
        os.utime(left, (0, 0))
        with temporary_root():
            assert (left / "photo.jpg").exists(), "it lives"
        process.kill()
    with temporary_root():
        assert left.parent == folder and not left.exists()
