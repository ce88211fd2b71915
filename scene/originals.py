"""The original of a view as an upright file for other programs, at full resolution."""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from .picture import LARGE_PIXELS, STRIP_PIXELS, to_eight_bits
from .picture_file import (
    ORIENTATION,
    SIDEWAYS,
    UPRIGHT,
    PictureFile,
    damage,
    open_picture,
    stored_size,
    without_warnings,
)

COPIED = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
WRITTEN = {"BMP": "BMP", "JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "TIFF": "TIFF", "WEBP": "WEBP"}
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 4},
    "TIFF": {"compression": "tiff_deflate"},
    "WEBP": {"lossless": True, "method": 0, "quality": 20},
}
PNG_MODES = ("1", "I", "I;16", "L", "LA", "P", "RGB", "RGBA")
TAIL_BYTES = 1 << 17  # of a PNG file that may hold its orientation behind the pixels


class Originals:
    """Writes pictures of files; one that holds several stays open until the next, so that each is decoded once."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: PictureFile | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "Originals":
        return self

    def __exit__(self, *_error) -> None:
        self._open.close()

    def write(self, source: Path, target: Path, size: tuple[int, int], frame: int | None = None) -> bool:
        """Write a picture upright: a copy, byte by byte, if its file is upright already.

        size: what the scene knows as its (width, height). frame: its number in a file that holds several. False, and
        nothing is written, if it can only be written as PNG and `target` does not end so. ValueError with a sentence
        if there is no picture of that size any more, or if turning it would take too much memory.
        """
        if frame is None or source != self._path:
            self._open.close()
            self._path = None
            self._file = self._open.enter_context(open_picture(source))
            self._path = source
        if frame is not None:
            self._file.seek(frame)
        return self._write(self._file, target, size, frame)

    def _write(self, file: PictureFile, target: Path, size: tuple[int, int], frame: int | None) -> bool:
        source, kind = file.path, file.image.format
        orientation = _orientation(file)
        stored = stored_size(file.image) if kind == "TIFF" else file.image.size
        upright = stored[::-1] if orientation in SIDEWAYS else stored
        if upright != size:
            raise ValueError(f"{source.name} is {upright[0]} x {upright[1]} now, where it was {size[0]} x {size[1]}.")
        if orientation == 1 and frame is None and len(file.frames) == 1 and kind in COPIED:
            shutil.copyfile(source, target)
            return True
        written = WRITTEN.get(kind, "PNG") if frame is None else "PNG"
        if written == "PNG" and target.suffix.lower() != ".png":
            return False
        _write_turned(file, target, written, 1 if kind == "TIFF" else orientation)  # Pillow turns TIFF itself
        return True


def _orientation(file: PictureFile) -> int:
    """EXIF's, also of TIFF, which a copy would keep, and of PNG that has it behind its pixels."""
    image = file.image
    if image.format == "PNG" and not any("exif" in str(key).lower() for key in image.info):
        with file.path.open("rb") as raw:
            raw.seek(max(0, raw.seek(0, 2) - TAIL_BYTES))
            if b"eXIf" not in raw.read():
                return 1
        _load(file)
    try:
        with without_warnings():
            orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a broken EXIF block, which is also none to those who read the copy
        return 1
    return orientation if orientation in UPRIGHT else 1


def _load(file: PictureFile) -> None:
    try:
        file.load()
    except MemoryError as error:
        raise ValueError(f"{file.path.name} does not fit in memory.") from error
    except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
        raise ValueError(damage(file.path, error)) from error


def _write_turned(file: PictureFile, target: Path, kind: str, orientation: int) -> None:
    file.check_whole()
    _load(file)
    details = _details(file.image)
    with without_warnings():
        image = file.image if orientation == 1 else _turned(file.image, orientation)
        if file.image.format == "TIFF":
            image = image.copy()  # without tags, of which some Pillows would write the orientation again
        if kind == "PNG" and image.mode not in PNG_MODES:
            image = to_eight_bits(image) if image.mode == "F" else image.convert("RGB")
        try:
            image.save(target, format=kind, **OPTIONS.get(kind, {}), **details)
        except (OSError, ValueError, MemoryError) as error:
            target.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno is not None:  # the disk
                raise
            raise ValueError(f"{file.path.name} cannot be written as {kind} ({error}).") from error


def _details(image: Image.Image) -> dict[str, Any]:
    """Colour profile and EXIF data without the orientation, for the copy."""
    details: dict[str, Any] = {}
    if profile := image.info.get("icc_profile"):
        details["icc_profile"] = profile
    with contextlib.suppress(Exception), without_warnings():  # EXIF data of a kind of its own is left out
        exif = image.getexif()
        exif.pop(ORIENTATION, None)
        if image.format != "TIFF" and (data := exif.tobytes()) and len(exif):
            details["exif"] = data
    return details


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image upright. A large one goes strip by strip through a file, so that it is in memory once; it is closed."""
    if image.width * image.height <= LARGE_PIXELS:
        return image.transpose(UPRIGHT[orientation])
    size = image.size[::-1] if orientation in SIDEWAYS else image.size
    rows = max(1, STRIP_PIXELS // size[0])
    places = [(top, min(top + rows, size[1])) for top in range(0, size[1], rows)]
    mode, palette = image.mode, image.palette
    with tempfile.TemporaryFile() as store:
        for top, bottom in places:
            strip = image.crop(_source_of(top, bottom, image.size, orientation))
            store.write(strip.transpose(UPRIGHT[orientation]).tobytes())
        image.close()
        store.seek(0)
        result = Image.new(mode, size)
        if palette is not None:
            result.putpalette(palette)
        for top, bottom in places:
            shape = (size[0], bottom - top)
            length = len(Image.new(mode, (size[0], 1)).tobytes()) * shape[1]
            result.paste(Image.frombytes(mode, shape, store.read(length)), (0, top))
    return result


def _source_of(top: int, bottom: int, size: tuple[int, int], orientation: int) -> tuple[int, int, int, int]:
    """Which part of a picture of this size becomes the rows from top to bottom."""
    width, height = size
    if orientation == 2:
        return (0, top, width, bottom)
    if orientation in (3, 4):
        return (0, height - bottom, width, height - top)
    if orientation in (5, 6):
        return (top, 0, bottom, height)
    return (width - bottom, 0, width - top, height)
