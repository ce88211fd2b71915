"""The images of a COLMAP project: under which names, at which resolution, and as files beside it if wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...models.progress import Progress
from ..files import is_video
from ..originals import Originals
from ..reconstruction import Reconstruction
from ..video import VideoFrame, read_frames
from .names import portable_names

SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class FileImages:
    """What the cameras of a project belong to."""

    names: list[str]
    sizes: np.ndarray  # (N, 2) int64: width, height
    intrinsics: np.ndarray  # (N, 3, 3) float64, from the corner
    scale_offset: np.ndarray  # (N, 4) float64: from model pixels to these
    notes: tuple[str, ...] = ()  # what a user must be told: that an original could not be had


def place_images(
    reconstruction: Reconstruction,
    folder: Path | None,
    no_spaces: bool,
    pictures: Sequence[np.ndarray] | None,
    progress: Progress | None,
) -> FileImages:
    """Names, sizes and cameras at the original resolution; with a folder also the files.

    Frames of a video are read from it once more. A frame that is in `pictures` is taken from there. One whose original
    cannot be had becomes the model's image at its own resolution, with a camera to match, and a note says why.
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
    taken = {name.casefold() for name in names}
    reasons: dict[int, str] = {}  # why a frame's original cannot be had
    done = _write_pictures(pictures, folder, names) or _write_video_frames(reconstruction, folder, names, reasons)
    with Originals() as originals:
        for frame in range(len(names)):
            if frame not in done and not _write_file(originals, reconstruction, frame, folder, names, taken, reasons):
                _write_model_image(reconstruction, frame, folder, names, taken)
                sizes[frame] = reconstruction.image_size[::-1]
                scale_offset[frame] = (1, 1, 0, 0)
                intrinsics[frame] = reconstruction.intrinsics[frame]
                intrinsics[frame, :2, 2] += 0.5 - reconstruction.pixel_center
            if progress is not None:
                progress("images", frame + 1, len(names))
    return FileImages(names, sizes, intrinsics, scale_offset, _notes(reconstruction, reasons))


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


def _write_video_frames(
    reconstruction: Reconstruction, folder: Path, names: list[str], reasons: dict[int, str]
) -> set[int]:
    """Writes the frames that came from videos, as they are there; returns which could be had."""
    written: set[int] = set()
    numbers = reconstruction.video_frames
    frames_of: dict[Path, dict[int, list[int]]] = {}  # video -> its frame's number -> ours
    for frame, path in enumerate(reconstruction.paths):
        if path is not None and numbers[frame] is not None and is_video(path):
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
            reasons.update((frame, str(error)) for group in frames.values() for frame in group if frame not in written)
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


def _write_file(
    originals: Originals,
    reconstruction: Reconstruction,
    frame: int,
    folder: Path,
    names: list[str],
    taken: set[str],
    reasons: dict[int, str],
) -> bool:
    """Writes a view's original, whose name may get another ending; False if there is none, with the reason."""
    source = reconstruction.paths[frame]
    if source is None or is_video(source):
        reasons.setdefault(frame, f"{names[frame]} has no file of its own.")
        return False
    size = tuple(reconstruction.original_sizes[frame].tolist())
    try:
        if not originals.write(source, folder / names[frame], size, reconstruction.video_frames[frame]):
            names[frame] = _as_png(names[frame], taken)
            originals.write(source, folder / names[frame], size, reconstruction.video_frames[frame])
    except ValueError as error:
        reasons[frame] = str(error)
        return False
    return True


def _write_model_image(
    reconstruction: Reconstruction, frame: int, folder: Path, names: list[str], taken: set[str]
) -> None:
    if Path(names[frame]).suffix.lower() not in SUFFIXES:
        names[frame] = _as_png(names[frame], taken)
    Image.fromarray(reconstruction.images[frame]).save(folder / names[frame], quality=95)


def _notes(reconstruction: Reconstruction, reasons: dict[int, str]) -> tuple[str, ...]:
    """One sentence for all images whose originals could not be had."""
    if not reasons:
        return ()
    height, width = reconstruction.image_size
    why = list(dict.fromkeys(reasons.values()))
    more = f" ... and {len(why) - 3} more." if len(why) > 3 else ""
    return (
        f"note: COLMAP has the model's {width} x {height} picture, with a camera to match, in place of "
        f"{len(reasons)} of {len(reconstruction)} originals: {' '.join(why[:3])}{more}",
    )
