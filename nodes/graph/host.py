"""What a node needs from the program that runs it: folders, models, device, progress, cancel, metadata.

ComfyUI is one host (nodes/comfyui/host.py); a folder with input, output, temp and models below it is another.
"""

import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ...models.checkpoints import LoadedModel
from ...models.progress import Progress
from ...scene.export.claim import tidy
from ...scene.export.names import portable_path
from ...scene.files import is_video, natural_key
from ..load_model import choose_device
from ..memory import free_bytes_on

IMAGE_BYTES = 2**30
Entry = dict[str, str]
"""How a page names a file: {"filename", "subfolder", "type"}, where the type is input, output or temp."""


@dataclass(frozen=True)
class Result:
    """What a node gives: a value for each output, in order, and what the page may show ("images", "text", ...)."""

    outputs: tuple[Any, ...] = ()
    ui: dict[str, list] = field(default_factory=dict)


class Host(Protocol):
    """The services of the program that runs a graph. `progress` and `check_cancelled` raise when the user cancels."""

    input_folder: Path
    output_folder: Path
    temp_folder: Path
    model_folder: Path  # where weights that a user fetches belong
    device: torch.device  # where models run
    storage_device: torch.device  # where they wait
    metadata: Mapping[str, Any]  # what saved files carry along, such as {"workflow": ..., "prompt": ...}

    def input_sources(self) -> list[str]:
        """Folders below the input folder, and the videos in it, as names with forward slashes."""

    def model_files(self) -> list[str]:
        """Files below the model folder (or folders), as names with forward slashes."""

    def model_path(self, name: str) -> Path:
        """The file of one of these names; FileNotFoundError if it is gone."""

    def output_place(self, prefix: str, suffix: str = "") -> Path:
        """A new folder below the output folder, such as output/scene_00001_, or with a suffix a new and empty file.

        It is made here, so that whoever asks at the same time gets another.
        """

    def hold(self, loaded: LoadedModel) -> dict[str, Any]:
        """The model under the host's memory management: {"loaded": loaded, ...}."""

    def make_room(self, model: dict[str, Any], needed_bytes: int) -> None:
        """Put a held model on `device`, with so much memory free beside it as far as that can be had."""

    def free_bytes(self) -> int | None:
        """Bytes that are free on `device`; None where nobody can tell."""

    def free_memory(self) -> None:
        """Give back what a failed run left behind."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Show how far the work is."""

    def show(self, picture: np.ndarray) -> None:
        """Show a picture (H, W, 3) uint8 of work that is not finished."""

    def check_cancelled(self) -> None:
        """Raise if the user cancelled."""


@dataclass
class FolderHost:
    """A host without a page: folders that are not named lie below `base`, models stay where they are loaded.

    most_image_bytes: what ComfyUI's own image nodes may make in one run, in full size as they do.
    """

    base: Path
    device: torch.device = field(default_factory=choose_device)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    on_progress: Progress | None = None
    input_folder: Path | None = None
    output_folder: Path | None = None
    temp_folder: Path | None = None
    model_folder: Path | None = None
    most_image_bytes: int = IMAGE_BYTES
    image_bytes: int = 0  # made so far in this run

    def __post_init__(self) -> None:
        for name in ("input", "output", "temp", "model"):
            folder = getattr(self, f"{name}_folder") or self.base / ("models" if name == "model" else name)
            setattr(self, f"{name}_folder", Path(folder).absolute())
            folder.mkdir(parents=True, exist_ok=True)
        self.storage_device = self.device

    def input_sources(self) -> list[str]:
        return sources_in(self.input_folder)

    def model_files(self) -> list[str]:
        files = (path for path in self.model_folder.rglob("*") if path.is_file())
        return sorted((path.relative_to(self.model_folder).as_posix() for path in files), key=natural_key)

    def model_path(self, name: str) -> Path:
        return inside(self.model_folder, name)

    def output_place(self, prefix: str, suffix: str = "") -> Path:
        wanted = inside(self.output_folder, dated(prefix), must_exist=False)
        wanted = self.output_folder / portable_path(Path(os.path.relpath(wanted, self.output_folder)).as_posix())
        wanted.parent.mkdir(parents=True, exist_ok=True)
        taken = [re.fullmatch(rf"{re.escape(wanted.name)}_(\d+)_.*", path.name) for path in wanted.parent.iterdir()]
        number = 1 + max((int(match[1]) for match in taken if match), default=0)
        return reserve(wanted, number, suffix)

    def hold(self, loaded: LoadedModel) -> dict[str, Any]:
        return {"loaded": loaded}

    def make_room(self, model: dict[str, Any], needed_bytes: int) -> None:
        model["loaded"].model.to(self.device)

    def free_bytes(self) -> int | None:
        return free_bytes_on(self.device)

    def free_memory(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def progress(self, stage: str, done: int, total: int) -> None:
        if self.on_progress is not None:
            self.on_progress(stage, done, total)

    def show(self, picture: np.ndarray) -> None:
        """There is no page to show it on."""

    def check_cancelled(self) -> None:
        """`on_progress` raises to cancel."""


def inside(folder: Path, name: str, must_exist: bool = True) -> Path:
    """The path of a name below a folder; ValueError for one that leads out of it, FileNotFoundError if it is gone."""
    path = Path(os.path.realpath(folder / name))
    if not path.is_relative_to(os.path.realpath(folder)):
        raise ValueError(f"{name!r} leads out of the {folder.name} folder; choose a name below it.")
    if must_exist and not path.exists():
        raise FileNotFoundError(f"{name!r} is not in the {folder.name} folder any more; refresh and choose again.")
    return path


def reserve(wanted: Path, number: int, suffix: str = "") -> Path:
    """Make the folder, or with a suffix the empty file, of this name and of the first free number from `number` on.

    What runs that were ended left half done in the folders beside it is cleared away.
    """
    tidy(wanted.parent)
    while True:
        path = wanted.with_name(f"{wanted.name}_{number:05}_{suffix}")
        try:
            if suffix:
                path.open("xb").close()
            else:
                path.mkdir()
        except FileExistsError:  # somebody else was quicker
            number += 1
        else:
            return path


@contextmanager
def filled(path: Path) -> Iterator[Path]:
    """A reserved file or folder to write to; if that fails, what is still empty of it is removed."""
    try:
        yield path
    except BaseException:
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        else:
            path.unlink(missing_ok=True)
        raise


def dated(prefix: str) -> str:
    """The prefix with parts such as %year% filled in, as ComfyUI's saving nodes do."""
    for name, code in (("year", "Y"), ("month", "m"), ("day", "d"), ("hour", "H"), ("minute", "M"), ("second", "S")):
        prefix = prefix.replace(f"%{name}%", time.strftime(f"%{code}"))
    return prefix


def sources_in(folder: Path) -> list[str]:
    """Folders at any depth below `folder`, and the videos in it."""
    found = [Path(where).relative_to(folder).as_posix() for where, _, _ in os.walk(folder)]
    videos = [path.name for path in folder.iterdir() if is_video(path) and path.is_file()] if folder.is_dir() else []
    return sorted((name for name in found if name != "."), key=natural_key) + sorted(videos, key=natural_key)


def temporary(host: Host, ending: str) -> Path:
    """A path of the temp folder that nothing has yet."""
    host.temp_folder.mkdir(parents=True, exist_ok=True)
    return host.temp_folder / f"manyview_{uuid.uuid4().hex}{ending}"


def shown_place(host: Host, path: Path) -> str:
    """A folder of the output folder as people read it: output/manyview/scene_00001_."""
    return f"output/{path.relative_to(host.output_folder).as_posix()}"


def entry(host: Host, path: Path) -> Entry:
    """How a page names a file in one of the host's folders."""
    for kind, folder in (("output", host.output_folder), ("temp", host.temp_folder), ("input", host.input_folder)):
        if path.is_relative_to(folder):
            place = path.relative_to(folder)
            subfolder = place.parent.as_posix()
            return {"filename": place.name, "subfolder": "" if subfolder == "." else subfolder, "type": kind}
    raise ValueError(f"{path} is in none of the host's folders; write it below the output or temp folder.")
