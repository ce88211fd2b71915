"""The images of a COLMAP project: under which names, at which resolution, and as files beside it if wanted."""

from __future__ import annotations

import logging
import re
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ...models.progress import Progress
from ..reconstruction import Reconstruction
from ..video import VideoFrame, read_frames
from .names import portable_names

logger = logging.getLogger(__name__)

ORIENTATION = 0x0112  # EXIF tag; 1 or nothing means upright
SIDEWAYS = (5, 6, 7, 8)
SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class FileImages:
    """What the cameras of a project belong to."""

    names: list[str]
    sizes: np.ndarray  # (N, 2) int64: width, height
    intrinsics: np.ndarray  # (N, 3, 3) float64, from the corner
    scale_offset: np.ndarray  # (N, 4) float64: from model pixels to these


def place_images(
    reconstruction: Reconstruction,
    folder: Path | None,
    no_spaces: bool,
    pictures: Sequence[np.ndarray] | None,
    progress: Progress | None,
) -> FileImages:
    """Names, sizes and cameras at the original resolution; with a folder also the files.

    Frames of a video are read from it once more. A frame that is in `pictures` is taken from there. One whose file is
    not there, or is no picture of that size, becomes the model's image at its own resolution.
    """
    pictures = _pictures_of_views(reconstruction, pictures)
    names = portable_names(reconstruction.names)
    if pictures is not None:  # written with an ending that keeps every pixel
        names = portable_names(name if name.lower().endswith(".png") else f"{name}.png" for name in names)
    if no_spaces:
        names = _without_spaces(names)
    sizes = reconstruction.original_sizes.copy()
    scale_offset = reconstruction.scale_offset.copy()
    intrinsics = reconstruction.original_intrinsics()
    if folder is None:
        return FileImages(names, sizes, intrinsics, scale_offset)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    done = _write_pictures(pictures, folder, names) or _write_video_frames(reconstruction, folder, names)
    taken = {name.casefold() for name in names}
    for frame in range(len(names)):
        target = folder / names[frame]
        if frame not in done and not _copy_upright(reconstruction.paths[frame], target, tuple(sizes[frame].tolist())):
            if target.suffix.lower() not in SUFFIXES:
                names[frame] = _as_png(names[frame], taken)
                target = folder / names[frame]
            Image.fromarray(reconstruction.images[frame]).save(target, quality=95)
            sizes[frame] = reconstruction.image_size[::-1]
            scale_offset[frame] = (1, 1, 0, 0)
            intrinsics[frame] = reconstruction.intrinsics[frame]
            intrinsics[frame, :2, 2] += 0.5 - reconstruction.pixel_center
        if progress is not None:
            progress("images", frame + 1, len(names))
    return FileImages(names, sizes, intrinsics, scale_offset)


def _pictures_of_views(
    reconstruction: Reconstruction, pictures: Sequence[np.ndarray] | None
) -> Sequence[np.ndarray] | None:
    """A picture for each view; they must be those that the scene was made from, with or without what was left out."""
    if pictures is None:
        return None
    gone = set(reconstruction.left_out)
    if gone and len(pictures) == len(reconstruction) + len(gone):
        pictures = [picture for place, picture in enumerate(pictures) if place not in gone]
    if len(pictures) != len(reconstruction):
        raise ValueError(
            f"{len(pictures)} images were given for a scene of {len(reconstruction)} views: give the images that it "
            "was made from, or none."
        )
    for frame, (picture, size) in enumerate(zip(pictures, reconstruction.original_sizes.tolist(), strict=True)):
        if list(picture.shape[1::-1]) != size:
            found = f"{picture.shape[1]} x {picture.shape[0]}"
            raise ValueError(
                f"Image {frame + 1} is {found}, but the scene was made from one of {size[0]} x {size[1]}: give the "
                "images that it was made from, or none."
            )
    return pictures


def _write_pictures(pictures: Sequence[np.ndarray] | None, folder: Path, names: list[str]) -> set[int]:
    """Writes images that are in memory; returns which there were."""
    for frame, picture in enumerate(pictures or ()):
        Image.fromarray(picture).save(folder / names[frame], compress_level=1)
    return set(range(len(pictures or ())))


def _as_png(name: str, taken: set[str]) -> str:
    """The name with .png behind it, numbered if it is taken, which it then is."""
    candidate, number = f"{name}.png", 2
    while candidate.casefold() in taken:
        candidate, number = f"{name}_{number}.png", number + 1
    taken.add(candidate.casefold())
    return candidate


def _write_video_frames(reconstruction: Reconstruction, folder: Path, names: list[str]) -> set[int]:
    """Writes the frames that came from videos, as they are there; returns which could be had."""
    written: set[int] = set()
    numbers = reconstruction.video_frames
    frames_of: dict[Path, dict[int, list[int]]] = {}  # video -> its frame's number -> ours
    for frame, path in enumerate(reconstruction.paths):
        if path is not None and numbers[frame] is not None:
            frames_of.setdefault(path, {}).setdefault(numbers[frame], []).append(frame)
    for video, frames in frames_of.items():

        def accept(shown: VideoFrame, frames=frames) -> None:
            for frame in frames[shown.number]:
                if shown.picture.size == tuple(reconstruction.original_sizes[frame].tolist()):
                    shown.picture.image.save(folder / names[frame])
                    written.add(frame)

        try:
            read_frames(video, sorted(frames), accept)
        except (ValueError, ImportError, OSError) as error:
            logger.warning("The model's smaller images stand for the frames of %s: %s", video.name, error)
    return written


def _without_spaces(names: list[str]) -> list[str]:
    """Underscores for spaces, and more of them where that name is taken."""
    taken, result = {name for name in names if not re.search(r"\s", name)}, []
    for name in names:
        if re.search(r"\s", name):
            name = re.sub(r"\s", "_", name)
            while name in taken:
                name = f"_{name}"
            taken.add(name)
        result.append(name)
    return result


def _copy_upright(source: Path | None, target: Path, size: tuple[int, int]) -> bool:
    """Copies a picture, byte by byte if it is upright already; False if there is none of this size."""
    if source is None or not source.is_file():
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(source)
        except (UnidentifiedImageError, Image.DecompressionBombError):
            return False  # a video, for one
        with image:
            turned = image.getexif().get(ORIENTATION, 1)
            if (image.size[::-1] if turned in SIDEWAYS else image.size) != size:
                return False
            if turned == 1:
                shutil.copyfile(source, target)
            else:
                ImageOps.exif_transpose(image).save(target, format=image.format, quality=95)
    return True
