"""Files of a reconstruction for other programs, all in one folder."""

import logging
import shutil
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..models.progress import Progress
from ..scene.export import write_colmap, write_depth, write_glb, write_npz, write_ply
from ..scene.export.claim import claimed
from ..scene.images import ImageSet
from ..scene.pointcloud import PointCloud, thin
from ..scene.preview import write_previews
from ..scene.reconstruction import Reconstruction
from ..scene.soundness import sound_with_cloud
from ..texts.paths import named_path
from .memory import gib
from .parameters import EXPORT_FORMATS, documented

logger = logging.getLogger(__name__)

PLACES = {"ply": "points.ply", "glb": "scene.glb", "npz": "scene.npz"}  # the others are folders of their names

WITHOUT_POINTS = ("npz", "depth")  # formats of the scene alone
NPZ_BYTES = 3 + 4 + 4  # of a pixel: colours, depth and confidence


class IncompleteExport(RuntimeError):
    """Some of the formats could not be written; the others are there.

    files: what was written. reasons: for each format that was not, why.
    """

    def __init__(self, files: list[Path], reasons: dict[str, Exception]) -> None:
        self.files, self.reasons = files, reasons
        super().__init__(" ".join(self.sentences))

    @property
    def sentences(self) -> list[str]:
        """One for each format that was not written."""
        return [
            f"{name} could not be written: {str(error) or type(error).__name__}."
            for name, error in self.reasons.items()
        ]


@documented
def export(
    scene: Reconstruction,
    cloud: PointCloud | None,
    folder: str | PathLike,
    formats: str | Sequence[str] = tuple(EXPORT_FORMATS),
    *,
    depth_format: str = "png",
    cameras: bool = True,
    colmap_text: bool = False,
    colmap_points: int = 100_000,
    extras: dict[str, Any] | None = None,
    pictures: Sequence[np.ndarray] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the formats, one or several, into a folder and return the files.

    points.ply, scene.glb (`extras` go into its metadata), colmap/ (with `pictures` in place of the images' files),
    scene.npz, depth/ and preview/. Each appears under its name only when it is complete; what is there already is an
    error before anything is written, unless `overwrite`. Where one format fails the others are written all the same,
    and then IncompleteExport says what is missing; the failure of a format alone is raised as it is. No two runs write
    into one folder at a time. What COLMAP could not be given as an original is added to the notes of the scene.
    Without a cloud npz and depth can be written.
    """
    formats = (formats,) if isinstance(formats, str) else formats
    check_formats(formats)
    folder, given = named_path(folder), scene
    if cloud is not None:
        scene, cloud = sound_with_cloud(scene, cloud)
    elif wrong := [name for name in formats if name not in WITHOUT_POINTS]:
        raise ValueError(f"{', '.join(wrong)} need points; give them, or choose of {', '.join(WITHOUT_POINTS)}.")
    again = {"overwrite": True}  # what is there was refused before
    writers: dict[str, Callable[[Progress | None], Any]] = {
        "ply": lambda tell: write_ply(cloud, folder / "points.ply", **again),
        "glb": lambda tell: write_glb(cloud, scene, folder / "scene.glb", cameras=cameras, extras=extras, **again),
        "colmap": lambda tell: add_notes(
            given,
            write_colmap(
                scene,
                thin(cloud, colmap_points),
                folder / "colmap",
                text=colmap_text,
                pictures=pictures,
                progress=tell,
                **again,
            ),
        ),
        "npz": lambda tell: write_npz(scene, folder / "scene.npz", cloud, **again),
        "depth": lambda tell: write_depth(scene, folder / "depth", depth_format, **again),
        "preview": lambda tell: write_previews(scene, cloud, folder / "preview", progress=tell, **again),
    }
    with claimed(folder) as unfinished:
        if not overwrite and not unfinished:
            refuse_results(folder, formats)
        return _write_all({name: writers[name] for name in dict.fromkeys(formats)}, folder, progress)


def add_notes(scene: Reconstruction, notes: Sequence[str]) -> None:
    """Put notes that it does not have yet behind those of the scene."""
    scene.notes += tuple(note for note in notes if note not in scene.notes)


def check_formats(formats: Sequence[str]) -> None:
    """ValueError unless there are formats, and only known ones."""
    wrong = [name for name in formats if name not in EXPORT_FORMATS]
    if wrong or not formats:
        raise ValueError(f"formats must be some of {', '.join(EXPORT_FORMATS)}, got {', '.join(wrong) or 'none'}.")


def check_space(images: ImageSet, folder: Path, formats: Sequence[str]) -> None:
    """OSError if the disk of the folder, which is there, has less room than the files of these images surely take."""
    least = images.images.size * NPZ_BYTES // 3 if "npz" in formats else 0
    if "colmap" in formats:
        numbers = images.video_frames or (None,) * len(images)
        photos = {path for path, number in zip(images.paths, numbers, strict=True) if path and number is None}
        least += sum(path.stat().st_size for path in photos if path.is_file()) // 2
    free = shutil.disk_usage(folder).free
    if free < least:
        raise OSError(
            f"The files need at least {gib(least)}, but {gib(free)} are free in {folder}; make room, or choose fewer "
            "formats or another folder."
        )


def refuse_results(folder: Path, formats: Sequence[str]) -> None:
    """FileExistsError naming the first of the results that is there already."""
    for name in formats:
        place = folder / PLACES.get(name, name)
        if place.is_file() or (place.is_dir() and (place.name in PLACES.values() or any(place.iterdir()))):
            raise FileExistsError(f"{place} exists already; choose another folder or allow overwriting.")


def _write_all(writers: dict[str, Callable], folder: Path, progress: Progress | None) -> list[Path]:
    """The files of all writers; IncompleteExport after the last one if any failed. Cancelling ends it at once."""
    stopping = Stopping(progress)
    files: list[Path] = []
    reasons: dict[str, Exception] = {}
    for name, write in writers.items():
        stopping(f"{name} files", 0, 1)
        try:
            write(stopping)
        except Exception as error:
            if stopping.raised is error:
                raise
            logger.warning("%s files could not be written", name, exc_info=True)
            reasons[name] = error
        else:
            files += files_at(folder / PLACES.get(name, name))
    if len(writers) == len(reasons) == 1:
        raise next(iter(reasons.values()))
    if reasons:
        raise IncompleteExport(files, reasons)
    return files


class Stopping:
    """A progress callback that remembers what it raised, so that cancelling is not taken for a failure."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.raised = progress, None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.progress is None:
            return
        try:
            self.progress(stage, done, total)
        except Exception as error:
            self.raised = error
            raise


def files_at(place: Path) -> list[Path]:
    """The file, or all files of the folder."""
    return sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
