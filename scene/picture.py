"""One picture file in, an upright 8-bit RGB picture with its mask out, or one sentence that says why not."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image

from .picture_file import SIDEWAYS, UPRIGHT, PictureFile, damage, open_picture, without_warnings

# Pictures above LARGE_PIXELS are shrunk to about SHRINK_TO pixels on their longer side while they are read.
LARGE_PIXELS = 64_000_000
SHRINK_TO = 4096
STRIP_PIXELS = 4_000_000  # that are converted at a time

EXIF_DETAILS, TAKEN, TAKEN_PART = 0x8769, 0x9003, 0x9291  # EXIF tags


@dataclass(frozen=True)
class Picture:
    """An upright picture: `image` is RGB, perhaps shrunk; `size` (width, height) is that of the file; `mask` is "L"."""

    image: Image.Image
    size: tuple[int, int]
    mask: Image.Image | None = None


class PictureReader:
    """Reads pictures; a file of several stays open until the next file, so that its frames are decoded once."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: PictureFile | None = None
        self._broken: tuple[int, str] | None = None  # the first frame that cannot be read, and why
        self._open = ExitStack()

    def __enter__(self) -> "PictureReader":
        return self

    def __exit__(self, *_error) -> None:
        self.close()

    def close(self) -> None:
        """Close the file that is open."""
        self._path = self._file = self._broken = None
        self._open.close()

    def frames(self, path: Path) -> tuple[int, ...]:
        """The numbers of the pictures in a file; one for a photo. ValueError with one sentence if it is no picture."""
        return self._opened(path).frames

    def size(self, path: Path, frame: int | None = None) -> tuple[int, int]:
        """Upright (width, height) of one picture from the file's header."""
        file = self._opened(path)
        if frame is not None and file.image.format == "TIFF":  # only there can they differ
            file.seek(frame)
        return file.upright_size()

    def read(self, path: Path, blend: str = "all", enough: int | None = None, frame: int | None = None) -> Picture:
        """Decode one picture; see read_picture."""
        if self._file is not None and len(self._file.frames) == 1:
            self.close()  # a photo that has been decoded cannot be decoded again at another size
        file = self._opened(path)
        if frame is None:
            return _decode(file, blend, enough)
        if self._broken is not None and frame >= self._broken[0]:
            raise ValueError(self._broken[1])  # frames build on those before, which would be decoded again to no end
        try:
            file.seek(frame)
            return _decode(file, blend, enough)
        except ValueError as error:
            if file.image.format != "TIFF":
                self._broken = (frame, str(error))
            raise

    def _opened(self, path: Path) -> PictureFile:
        if path != self._path or self._file is None:
            self.close()
            self._file = self._open.enter_context(open_picture(path))
            self._path = path
        return self._file


def read_size(path: Path) -> tuple[int, int]:
    """Upright (width, height) from the file's header; ValueError with one sentence if it is no readable picture."""
    with open_picture(path) as file:
        return file.upright_size()


def read_time(path: Path) -> float:
    """When a picture was taken, in seconds since 1970: EXIF's local time as if it were UTC, else the file's own time.

    0 for a file that is not there; what is no picture has its file's time.
    """
    try:
        with open_picture(path) as file, without_warnings():
            tags = file.image.getexif().get_ifd(EXIF_DETAILS)
        taken = datetime.strptime(str(tags[TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        part = str(tags.get(TAKEN_PART, "0")).strip("\0 ")
        return taken.replace(tzinfo=timezone.utc).timestamp() + (float(f"0.{part}") if part.isdigit() else 0.0)
    except Exception:  # no picture, or EXIF data of a kind of its own; Pillow raises errors of many kinds
        return path.stat().st_mtime if path.exists() else 0.0


def read_picture(path: Path, blend: str = "all", enough: int | None = None, frame: int | None = None) -> Picture:
    """Decode one file. ValueError with one sentence if that fails.

    blend: which transparent pictures are put on white: "all", "rgba" (mode RGBA only, as VGGT) or "none" (as Pi3).
    enough: a longer side that the caller is content with; JPEG files may come shrunk by 2, 4 or 8 down to that.
    frame: which picture of a file that holds several; None is the first.
    """
    with PictureReader() as reader:
        return reader.read(path, blend, enough, frame)


def read_mask(path: Path) -> Image.Image:
    """A mask file as "L", 255 = use: from transparency if it has any, else bright is use.

    Bright is the upper half of what the file can hold; where all values but 0 are one, as in label masks, that one.
    """
    with open_picture(path) as file:
        orientation, picture = _loaded(file, None)
        if picture.width * picture.height > LARGE_PIXELS:
            picture = picture.resize((picture.width // 4 + 1, picture.height // 4 + 1), Image.Resampling.NEAREST)
        with without_warnings():
            use = _mask_values(picture)
        return use.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else use


def split_transparency(image: Image.Image, blend: str) -> tuple[Image.Image, Image.Image | None]:
    """An 8-bit image of any mode as RGB, and a mask of what is not transparent (None if all is opaque)."""
    if image.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in image.info:
        return image.convert("RGB"), None
    clear = image.convert("RGBA")
    alpha = clear.getchannel("A")
    mask = None if alpha.getextrema()[0] == 255 else alpha.point([0] + [255] * 255)
    if blend == "all" or (blend == "rgba" and image.mode == "RGBA"):
        return Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), clear).convert("RGB"), mask
    return image.convert("RGB"), mask


def to_eight_bits(image: Image.Image, top: float | None = None) -> Image.Image:
    """16-bit, 32-bit and float grey images as "L"; other modes unchanged. `top` is the brightest value, if known."""
    if not _is_deep(image):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    values = values * np.float32(_to_eight_bits_factor(image, values.max(initial=0.0) if top is None else top))
    return Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8))


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("F", "I") or image.mode.startswith("I;")


def _to_eight_bits_factor(image: Image.Image, top: float) -> float:
    """16-bit values are divided by 257 (65535 -> 255); floats up to 1 times 255; others fit their maximum."""
    if image.mode.startswith("I;") or (image.mode == "I" and (image.format == "PNG" or 255 < top <= 65535)):
        return 1 / 257
    if image.mode == "F" and top <= 1.0:
        return 255.0
    return 255 / top if top > 255 else 1.0


def _loaded(file: PictureFile, enough: int | None) -> tuple[int, Image.Image]:
    """The orientation and Pillow's image, decoded."""
    size = file.image.size
    try:
        _shrink_in_decoder(file.image, enough)
        file.load()
        return file.orientation(), file.image
    except MemoryError as error:
        raise ValueError(_no_memory(file.path, size)) from error
    except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
        raise ValueError(damage(file.path, error)) from error


def _decode(file: PictureFile, blend: str, enough: int | None) -> Picture:
    size = file.image.size
    orientation, image = _loaded(file, enough)
    if image.format == "TIFF":
        size = image.size  # Pillow has turned it
    try:
        with without_warnings():
            small, mask = _to_rgb_in_strips(image, blend, size[0] * size[1] > LARGE_PIXELS)
    except MemoryError as error:
        raise ValueError(_no_memory(file.path, size)) from error
    except Exception as error:  # conversions that Pillow does not have
        raise ValueError(damage(file.path, error)) from error
    if mask is not None and mask.getextrema()[1] == 0:
        raise ValueError(f"{file.path.name} is fully transparent: save it without transparency.")
    if orientation in UPRIGHT:
        small = small.transpose(UPRIGHT[orientation])
        mask = mask and mask.transpose(UPRIGHT[orientation])
        size = size[::-1] if orientation in SIDEWAYS else size
    return Picture(small, size, mask)


def _no_memory(path: Path, size: tuple[int, int]) -> str:
    return f"{path.name} does not fit in memory ({size[0]} x {size[1]} pixels): shrink it."


def _shrink_in_decoder(image: Image.Image, enough: int | None) -> None:
    if enough is None and image.width * image.height > LARGE_PIXELS:
        enough = SHRINK_TO
    if enough is not None and max(image.size) > enough:
        image.draft(None, tuple(max(1, side * enough // max(image.size)) for side in image.size))


def _to_rgb_in_strips(image: Image.Image, blend: str, large: bool) -> tuple[Image.Image, Image.Image | None]:
    """RGB and mask, converted a strip at a time, so that no second copy of it is made; large images are shrunk."""
    factor = max(1, max(image.size) // SHRINK_TO) if large and image.width * image.height > LARGE_PIXELS else 1
    if factor == 1 and image.mode == "RGB" and "transparency" not in image.info:
        return image.copy(), None
    size = (-(-image.width // factor), -(-image.height // factor))
    small, mask = Image.new("RGB", size), None
    top_value = _brightest(image) if image.mode in ("F", "I") else None
    for top, strip in _strips(image, factor):
        part, part_mask = split_transparency(to_eight_bits(strip, top_value), blend)
        small.paste(_reduced(part, factor), (0, top // factor))
        if part_mask is not None:
            mask = mask or Image.new("L", size, 255)
            mask.paste(_reduced(part_mask, factor), (0, top // factor))
    return small, None if mask is None or mask.getextrema()[0] == 255 else mask


def _strips(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """(first row, strip); all strips but the last have a multiple of `factor` rows."""
    rows = max(1, STRIP_PIXELS // (image.width * factor)) * factor
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip.format = image.format
        yield top, strip


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    return image if factor == 1 else image.reduce(factor)


def _brightest(image: Image.Image) -> float:
    """The highest value that is a number."""
    most = 0.0
    for _, strip in _strips(image, 1):
        values = np.asarray(strip, dtype=np.float32)
        most = max(most, float(values.max(initial=0.0, where=np.isfinite(values))))
    return most


def _mask_values(image: Image.Image) -> Image.Image:
    if _is_deep(image):
        values = np.asarray(image)
        kind = values.dtype.kind
        full = 1.0 if kind == "f" and values.max(initial=0) <= 1 else 255 if values.max(initial=0) <= 255 else 65535
    else:
        rgb, clear = split_transparency(image, "none")
        if clear is not None:
            return clear
        values, full = np.asarray(rgb).max(axis=-1), 255  # the colours of label pictures count as bright
    bright = values[values > 0]
    one_label = bright.size > 0 and bright.min() == bright.max()
    return Image.fromarray(np.where(values > (0 if one_label else full / 2), 255, 0).astype(np.uint8))
