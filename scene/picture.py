"""One picture file in, an upright 8-bit RGB picture with its mask out, or one sentence that says why not."""

import contextlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

# Pictures above LARGE_PIXELS are shrunk to about SHRINK_TO pixels on their longer side while they are read.
LARGE_PIXELS = 64_000_000
SHRINK_TO = 4096
MAX_DECODED_PIXELS = 300_000_000  # what may be decoded whole: 0.9 GB as RGB

RAW_SUFFIXES = frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2"})
EXIF_DETAILS, TAKEN, TAKEN_PART = 0x8769, 0x9003, 0x9291  # EXIF tags
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_lock = threading.RLock()


@dataclass(frozen=True)
class Picture:
    """An upright picture: `image` is RGB, perhaps shrunk; `size` (width, height) is that of the file; `mask` is "L"."""

    image: Image.Image
    size: tuple[int, int]
    mask: Image.Image | None = None


def read_size(path: Path) -> tuple[int, int]:
    """Upright (width, height) from the file's header; ValueError with one sentence if it is no readable picture."""
    with _open(path) as image:
        width, height = image.size
        return (height, width) if _orientation(image, decoded=False) >= 5 else (width, height)


def read_time(path: Path) -> float:
    """When a picture was taken, in seconds since 1970: EXIF's local time as if it were UTC, else the file's own time.

    0 for a file that is not there; what is no picture has its file's time.
    """
    try:
        with Image.open(path) as image:
            tags = image.getexif().get_ifd(EXIF_DETAILS)
        taken = datetime.strptime(str(tags[TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        part = str(tags.get(TAKEN_PART, "0")).strip("\0 ")
        return taken.replace(tzinfo=timezone.utc).timestamp() + (float(f"0.{part}") if part.isdigit() else 0.0)
    except Exception:  # no picture, or EXIF data of a kind of its own; Pillow raises errors of many kinds
        return path.stat().st_mtime if path.exists() else 0.0


def read_picture(path: Path, blend: str = "all", enough: int | None = None) -> Picture:
    """Decode one file (first frame of an animation). ValueError with one sentence if that fails.

    blend: which transparent pictures are put on white: "all", "rgba" (mode RGBA only, as VGGT) or "none" (as Pi3).
    enough: a longer side that the caller is content with; JPEG files may come shrunk by 2, 4 or 8 down to that.
    """
    with _open(path) as image:
        size = image.size
        try:
            _shrink_in_decoder(image, enough)
            image.load()
            orientation = _orientation(image)
            small, mask = _to_rgb_in_strips(image, blend)
        except MemoryError as error:
            raise ValueError(
                f"{path.name} does not fit in memory ({size[0]} x {size[1]} pixels): shrink it."
            ) from error
        except Exception as error:  # Pillow's decoders raise errors of many kinds on damaged files
            raise ValueError(_damage(path, error)) from error
    if mask is not None and mask.getextrema()[1] == 0:
        raise ValueError(f"{path.name} is fully transparent: save it without transparency.")
    if orientation in _UPRIGHT:
        small = small.transpose(_UPRIGHT[orientation])
        mask = mask and mask.transpose(_UPRIGHT[orientation])
        size = size[::-1] if orientation >= 5 else size
    return Picture(small, size, mask)


def read_mask(path: Path) -> Image.Image:
    """A mask file as "L", 255 = use: from transparency if it has any, else bright is use (any non-zero if 0 and 1)."""
    picture = read_picture(path, blend="none")
    if picture.mask is not None:
        return picture.mask
    brightest = np.asarray(picture.image).max(axis=-1)  # (H, W); the colours of label pictures count as bright
    threshold = 0 if brightest.max(initial=0) <= 1 else 127
    return Image.fromarray(np.where(brightest > threshold, 255, 0).astype(np.uint8))


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
    if image.mode not in ("F", "I") and not image.mode.startswith("I;"):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    values = values * np.float32(_to_eight_bits_factor(image, values.max(initial=0.0) if top is None else top))
    return Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8))


def _to_eight_bits_factor(image: Image.Image, top: float) -> float:
    """16-bit values are divided by 257 (65535 -> 255); floats up to 1 times 255; others fit their maximum."""
    if image.mode.startswith("I;") or (image.mode == "I" and (image.format == "PNG" or 255 < top <= 65535)):
        return 1 / 257
    if image.mode == "F" and top <= 1.0:
        return 255.0
    return 255 / top if top > 255 else 1.0


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """The file as Pillow opens it: header read, size checked, Pillow's own pixel limit and warnings off."""
    with _lock, _no_pixel_limit(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _open_header(path)
        with image:
            _check_size(image, path)
            yield image


@contextlib.contextmanager
def _no_pixel_limit() -> Iterator[None]:
    """Pillow refuses large panoramas as "decompression bombs"; our own limit takes the place of that."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _open_header(path: Path) -> Image.Image:
    if path.suffix.lower() in RAW_SUFFIXES:
        raise ValueError(f"{path.name} is a camera raw file, which cannot be read: export it as JPEG or PNG.")
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist: check the path.") from error
    except OSError as error:
        what = "is a folder, not a picture" if path.is_dir() else f"cannot be opened ({error.strerror or error})"
        raise ValueError(f"{path.name} {what}.") from error
    if not start:
        raise ValueError(f"{path.name} is empty (0 bytes): copy or download it again.")
    try:
        return Image.open(path)
    except UnidentifiedImageError as error:
        raise ValueError(_foreign(path, start)) from error
    except Exception as error:  # a broken header shows as an error of any kind
        raise ValueError(_damage(path, error)) from error


def _check_size(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ValueError(f"{path.name} has no pixels ({width} x {height}).")
    baseline = image.format in ("JPEG", "MPO") and not image.info.get("progressive")
    decoded = width * height // (64 if baseline else 1)  # the JPEG decoder can shrink by 8 on both sides
    if decoded > MAX_DECODED_PIXELS:
        kind = f"progressive {image.format}" if image.info.get("progressive") else image.format
        raise ValueError(
            f"{path.name} is too large ({width} x {height}, {width * height / 1e6:.0f} megapixels; a {kind} may have "
            f"{MAX_DECODED_PIXELS / 1e6:.0f}): shrink it, or save it as a plain JPEG, which can be larger."
        )


def _shrink_in_decoder(image: Image.Image, enough: int | None) -> None:
    if enough is None and image.width * image.height > LARGE_PIXELS:
        enough = SHRINK_TO
    if enough is not None and max(image.size) > enough:
        image.draft(None, tuple(max(1, side * enough // max(image.size)) for side in image.size))


def _to_rgb_in_strips(image: Image.Image, blend: str) -> tuple[Image.Image, Image.Image | None]:
    """RGB and mask; a large image is converted and shrunk a strip at a time, so that no second copy of it is made."""
    factor = max(image.size) // SHRINK_TO if image.width * image.height > LARGE_PIXELS else 1
    if factor <= 1:
        return split_transparency(to_eight_bits(image), blend)
    rows, size = 16 * factor, (-(-image.width // factor), -(-image.height // factor))
    small, mask = Image.new("RGB", size), Image.new("L", size, 255)
    top_value = image.getextrema()[1] if image.mode in ("F", "I") else None
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip.format = image.format
        part, part_mask = split_transparency(to_eight_bits(strip, top_value), blend)
        small.paste(part.reduce(factor), (0, top // factor))
        if part_mask is not None:
            mask.paste(part_mask.reduce(factor), (0, top // factor))
    return small, None if mask.getextrema()[0] == 255 else mask


def _orientation(image: Image.Image, decoded: bool = True) -> int:
    """The EXIF orientation, 1 to 8; before decoding only what the header holds (PNG may have it behind the pixels)."""
    if not decoded and image.format == "PNG" and "exif" not in image.info:
        return 1
    if not decoded and image.format == "TIFF":  # Pillow turns TIFF files itself
        return 1
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # a broken EXIF block is no reason to lose the picture
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _damage(path: Path, error: Exception) -> str:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if "conver" in reason:  # "cannot convert", "conversion from LAB to RGB not supported"
        return f"{path.name} has colours that cannot be read ({reason}): save it as RGB."
    return f"{path.name} is damaged or cut off ({reason}): copy it again."


def _foreign(path: Path, start: bytes) -> str:
    """What the file is instead of a picture, as far as its first bytes tell."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC_BRANDS:
        return f"{path.name} is a HEIC photo, which cannot be read: convert it to JPEG, as in `magick x.heic x.jpg`."
    if start[4:12] in (b"ftypavif", b"ftypavis"):
        return f"{path.name} is an AVIF picture that this Pillow cannot read, or damaged: convert it to JPEG or PNG."
    if start[4:8] == b"ftyp" or start[:4] == b"\x1aE\xdf\xa3" or start[8:12] == b"AVI ":
        return f"{path.name} is a video, not a picture: rename it, as {path.stem}.mp4, and give it alone."
    if text.startswith((b"<!doctype", b"<html")):
        return f"{path.name} is a web page saved under a picture's name: download the picture itself."
    if text.startswith(b"version https://git-lfs"):
        return f"{path.name} is a git-lfs pointer: run `git lfs pull`."
    if start.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")):
        return f"{path.name} is damaged or cut off (its header is incomplete): copy it again."
    if not any(byte < 9 for byte in start):
        return f"{path.name} is a text file, not a picture."
    return f"{path.name} is not a picture that can be read: save it as JPEG or PNG."
