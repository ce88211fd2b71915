"""Which files a path, glob or list means, in natural order, and which of them are chosen."""

import glob
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..texts.paths import PathLike, is_there, named_path, pattern_of
from ..texts.shown import shortened
from .picture import read_time
from .picture_kind import RAW_SUFFIXES, START_BYTES, is_video_start, picture_kind

# HEIC and raw photos are listed even where they cannot be read: a sentence about them helps, silence does not.
COMMON_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
RARE_SUFFIXES = frozenset({".j2k", ".jfif", ".jp2", ".mpo", ".pbm", ".pgm", ".pnm", ".ppm", ".tga", ".apng"})
IMAGE_SUFFIXES = COMMON_SUFFIXES | RARE_SUFFIXES | RAW_SUFFIXES | {".heic", ".heif", ".hif"}
VIDEO_SUFFIXES = frozenset({".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"})
VIDEO_SUFFIXES |= {".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
KIND_SUFFIXES = {
    "AVIF": ".avif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "HEIF": ".heic",
    "JPEG": ".jpg",
    "JPEG2000": ".jp2",
    "PNG": ".png",
    "PPM": ".ppm",
    "TGA": ".tga",
    "TIFF": ".tif",
    "WEBP": ".webp",
}
ORDERS = ("name", "time")


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorting key that puts img2 before img10, upper and lower case alike."""
    parts: list[str | int] = list(re.split(r"([0-9]+)", name.casefold()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, name


def find_files(source: PathLike | Sequence[PathLike]) -> list[Path]:
    """The picture files (or one video) that a path, a folder, a glob or a list of these means; never empty.

    Folders and globs give files with a picture's ending in natural order; a list keeps its order.
    """
    if isinstance(source, (str, os.PathLike)):
        return _find_one(source)
    files = [path for each in source for path in _find_listed(each)]
    if not files:
        raise ValueError("The list of images is empty: give at least one file.")
    if len(files) > 1 and any(is_video(path) for path in files):
        video = next(path for path in files if is_video(path))
        raise ValueError(f"{video.name} is a video among {len(files)} files: give one video alone, or pictures only.")
    return files


def in_order(files: Sequence[Path], order: str) -> list[Path]:
    """The files as they are ("name"), or by the time their photos were taken ("time"): EXIF's, else the file's own."""
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}.")
    return list(files) if order == "name" else sorted(files, key=read_time)  # sorting keeps equal ones in order


def is_video(path: Path) -> bool:
    """Whether the file's ending is that of a video or, where the ending tells nothing, its first bytes are."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES or suffix in IMAGE_SUFFIXES:
        return suffix in VIDEO_SUFFIXES
    try:
        with path.open("rb") if path.is_file() else io.BytesIO() as file:
            return is_video_start(file.read(START_BYTES))
    except (OSError, ValueError):  # it cannot be read; whoever opens it says so
        return False


def suffix_of(path: Path) -> str | None:
    """The ending that fits what a file holds: of its kind of picture, or .mp4 for any video; None for neither."""
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    if is_video_start(start):
        return ".mp4"
    kind = picture_kind(start, path.suffix)
    return None if kind is None else KIND_SUFFIXES[kind]


def unique_names(paths: Sequence[Path]) -> tuple[str, ...]:
    """File names; where one occurs twice, those with their folder's name, and numbered where that does not help."""
    names = [path.name for path in paths]
    repeated = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    wanted = [_with_folder(path) if path.name in repeated else path.name for path in paths]
    return number_repeats(wanted)


def _with_folder(path: Path) -> str:
    """The file's name with that of its folder, as far as the path has one."""
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


def number_repeats(names: Iterable[str]) -> tuple[str, ...]:
    """The names, later ones of equal names with _2, _3 ... before the ending."""
    taken: dict[str, None] = {}
    for name in names:
        stem, ending = os.path.splitext(name)
        number, candidate = 2, name
        while candidate in taken:
            number, candidate = number + 1, f"{stem}_{number}{ending}"
        taken[candidate] = None
    return tuple(taken)


def choose(count: int, start: int = 0, every: int = 1, limit: int | None = None, selection: str = "first") -> list[int]:
    """Indices into `count` things: from `start` on, every nth, at most `limit`: the first, or spread evenly."""
    check_choice(start, every, limit, selection)
    chosen = range(start, count, every)
    if limit is None or len(chosen) <= limit:
        return list(chosen)
    if selection == "first":
        return list(chosen[:limit])
    return [chosen[round(float(at))] for at in np.linspace(0, len(chosen) - 1, limit)]


def check_choice(start: int, every: int, limit: int | None, selection: str) -> None:
    """Raise ValueError on limits that mean nothing."""
    if start < 0:
        raise ValueError(f"start is {start}: it counts images to leave out and cannot be negative.")
    if every < 1:
        raise ValueError(f"every is {every}: 1 takes every image, 2 every second one.")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: it must be at least 1, or None for all images.")
    if selection not in ("first", "even"):
        raise ValueError(f"selection is {selection!r}: choose first or even.")


def pictures_in(folder: Path) -> list[Path]:
    """The files of a folder with a picture's ending, in natural order; hidden ones are left out."""
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise ValueError(f"The folder {folder} cannot be read ({error.strerror or error}).") from error
    pictures = [path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    return sorted((path for path in pictures if not path.is_dir()), key=lambda path: natural_key(path.name))


def _find_one(source: PathLike) -> list[Path]:
    text = os.fspath(source)
    if not text.strip():
        raise ValueError("No input was given: name a folder of images, a file, a glob or a video.")
    if re.match(r"[a-z]{2,}://", text):
        raise ValueError(f"{text} is a web address: download it first and give the file or folder.")
    path = named_path(text)
    if is_there(path):
        return [path] if not path.is_dir() else pictures_in(path) or _explain_empty(path)
    if (pattern := pattern_of(path)) is not None:
        return _find_glob(pattern, text)
    raise ValueError(f"{shortened(str(path))} does not exist: check the path.")


def _find_listed(source: PathLike) -> list[Path]:
    """As _find_one, but a missing file is kept, to be reported with the others."""
    path = named_path(source)
    return _find_one(source) if pattern_of(path) is not None or (is_there(path) and path.is_dir()) else [path]


def _find_glob(pattern: str, given: str) -> list[Path]:
    matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
    files = [path for path in matches if path.is_file() and not path.name.startswith(".")]
    pictures = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES] or files
    if not pictures:
        raise ValueError(f"No file matches {given}.")
    return sorted(pictures, key=lambda path: natural_key(path.as_posix()))


def _explain_empty(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir())
    videos = [path.name for path in entries if is_video(path)]
    below = [path.name for path in entries if path.is_dir() and not path.name.startswith(".") and pictures_in(path)]
    hint = "give a folder with JPEG or PNG files"
    if videos:
        hint = f"it holds a video, {videos[0]}: give that file"
    elif below:
        hint = f"its folder {below[0]} does: give that"
    raise ValueError(f"The folder {folder} holds no images: {hint}.")
