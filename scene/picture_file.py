"""A picture file, opened by the one reader of its kind after a look at what decoding it would cost."""

import contextlib
import importlib
import importlib.util
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from .layouts import Layout, walk
from .layouts.png import check_pixels
from .picture_kind import RAW_SUFFIXES, START_BYTES, foreign, picture_kind
from .preprocess import check_aspect

MOST_PIXELS = 300_000_000  # of a picture whose decoder cannot leave out detail
MOST_DECODER_BYTES = 1_000_000_000  # estimated: the pixels, and what the decoder needs beside them
MOST_DECODER_SECONDS = 10.0  # estimated, on one core; of an animation for all of its frames
JPEG_FACTOR = 8  # by which the JPEG decoder can shrink both sides

ORIENTATION = 0x0112  # EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
READERS = {  # the only ones that ever see a file: module of Pillow, and what it calls its reader
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "JPEG": ("JpegImagePlugin", "jpeg_factory"),
    "JPEG2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
    "TGA": ("TgaImagePlugin", "TgaImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
}
MISSING = {  # what reads a kind where it is installed, and what to say where it is not
    "AVIF": (
        "PIL.AvifImagePlugin",
        "an AVIF picture, which this Pillow cannot read: update Pillow, or convert it to JPEG",
    ),
    "HEIF": (
        "pillow_heif",
        "a HEIC photo, which cannot be read: convert it to JPEG, as in `magick x.heic x.jpg`, or install pillow-heif",
    ),
}
BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1}  # 2 for modes such as I;16, 4 for all others
TIFF_WIDTH, TIFF_HEIGHT = 256, 257  # tags
TIFF_BITS, TIFF_SAMPLES, TIFF_ROWS, TIFF_TILE_WIDTH, TIFF_TILE_HEIGHT = 258, 277, 278, 322, 323  # tags
_quiet_lock = threading.Lock()
_quiet: list = []  # how many readers are at work, and what gives the warnings back


@dataclass(frozen=True)
class PictureFile:
    """An open file: Pillow's image, which has read its header, and the layout of the file."""

    path: Path
    image: Image.Image
    layout: Layout

    @property
    def frames(self) -> tuple[int, ...]:
        """The numbers of its pictures that are views; one for a photo."""
        if self.layout.frames is not None:
            return self.layout.frames
        return tuple(range(getattr(self.image, "n_frames", 1)))

    def seek(self, frame: int) -> None:
        """Go to one of its pictures; ValueError if it is not there or too large."""
        try:
            if frame != self.image.tell():
                with without_warnings():
                    self.image.seek(frame)
        except Exception as error:  # Pillow's readers raise errors of many kinds on damaged files
            raise ValueError(damage(self.path, error)) from error
        self._check()

    def orientation(self, decoded: bool = True) -> int:
        """EXIF's orientation, 1 to 8; before decoding what the header holds (PNG may have it behind the pixels)."""
        image = self.image
        if not decoded and image.format == "PNG" and "exif" not in image.info:
            return 1
        if image.format == "TIFF":  # Pillow turns TIFF files itself, when it loads them
            return 1
        try:
            with without_warnings():
                orientation = image.getexif().get(ORIENTATION, 1)
        except Exception:  # a broken EXIF block is no reason to lose the picture
            return 1
        return orientation if orientation in UPRIGHT else 1

    def upright_size(self, decoded: bool = False) -> tuple[int, int]:
        """(width, height) as it is to be shown, by the header or, when that is done, after decoding."""
        width, height = self.image.size
        orientation = self.orientation(decoded)
        if self.image.format == "TIFF" and self.image.tile:  # whose size Pillow turns early, late or never
            width, height = stored_size(self.image)
            orientation = self.image.tag_v2.get(ORIENTATION, 1)
        return (height, width) if orientation in SIDEWAYS else (width, height)

    def load(self) -> None:
        """Decode the pixels, into `image`; errors are Pillow's, of many kinds."""
        image = self.image
        if (
            image.format == "TIFF" and image.tile
        ):  # Pillow's own limit of pixels is asked once more where it makes room for them
            image.im = Image.core.new(image.mode, stored_size(image))
        with without_warnings():
            image.load()
        if image.format == "PNG" and len(self.frames) == 1 and _ends_empty(image):
            with self.path.open("rb") as file:
                check_pixels(file)

    def check_whole(self) -> None:
        """ValueError if decoding every pixel, without leaving out detail, would be too much."""
        self._check(shrink=1)

    def _check(self, shrink: int = JPEG_FACTOR) -> None:
        image, layout = self.image, self.layout
        width, height = image.size
        if width < 1 or height < 1:
            raise ValueError(f"{self.path.name} has no pixels ({width} x {height}).")
        if layout.size not in (None, (width, height)) and image.format != "GIF":  # whose later frames can enlarge it
            raise ValueError(f"{self.path.name} is damaged: it gives two sizes, {width} x {height} and {layout.size}.")
        check_aspect(self.path.name, (width, height))
        _check_cost(self, shrink if layout.shrinks else 1)


def picture_frames(path: Path) -> tuple[int, ...]:
    """The numbers of the pictures in a file that are views, without decoding; (0,) for a photo and for no picture."""
    try:
        with contextlib.ExitStack() as stack:
            file, kind = _opened(path, stack)
            layout = walk(file, kind)
        if layout.frames is not None:
            return layout.frames
        with open_picture(path) as picture:
            return picture.frames
    except ValueError:  # whoever reads it says what is wrong
        return (0,)


def stored_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of a TIFF picture before it is turned."""
    return image.tag_v2[TIFF_WIDTH], image.tag_v2[TIFF_HEIGHT]


@contextlib.contextmanager
def open_picture(path: Path) -> Iterator[PictureFile]:
    """The file at its first picture; ValueError with one sentence if it is no picture that can be read."""
    with contextlib.ExitStack() as stack:
        file, kind = _opened(path, stack)
        try:
            layout = walk(file, kind)
        except ValueError as error:
            raise ValueError(damage(path, error)) from error
        if layout.size is not None:
            _check_early(path, kind, layout)
        try:
            with without_warnings():
                image = stack.enter_context(_read_header(file, kind))
        except Exception as error:  # a broken header shows as an error of any kind
            raise ValueError(damage(path, error)) from error
        picture = PictureFile(path, image, layout)
        picture.seek(picture.frames[0])
        yield picture


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """No warnings while pictures are read; Python's own way to do that is for one thread alone."""
    with _quiet_lock:
        if not _quiet:
            catcher = warnings.catch_warnings()
            catcher.__enter__()
            warnings.simplefilter("ignore")
            _quiet.append(catcher)
        _quiet.append(None)
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet.pop()
            if len(_quiet) == 1:
                _quiet.pop().__exit__(None, None, None)


def damage(path: Path, error: Exception) -> str:
    """The sentence for what a reader has raised."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")[:120]
    if "conver" in reason:  # "cannot convert", "conversion from LAB to RGB not supported"
        return f"{path.name} has colours that cannot be read ({reason}): save it as RGB."
    if any(word in reason for word in ("unknown pixel mode", "unknown data organization", "unknown raw mode")):
        return f"{path.name} has a kind of pixels that cannot be read ({reason}): save it with 8 or 16 bits a colour."
    return f"{path.name} is damaged or cut off ({reason}): copy it again."


def _opened(path: Path, stack: contextlib.ExitStack) -> tuple[BinaryIO, str]:
    """The file and its kind, by its first bytes."""
    if path.suffix.lower() in RAW_SUFFIXES:
        raise ValueError(f"{path.name} is a camera raw file, which cannot be read: export it as JPEG or PNG.")
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")
        file = stack.enter_context(path.open("rb"))
        start = file.read(START_BYTES)
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist: check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        what = "is a folder, not a picture" if path.is_dir() else f"cannot be opened ({_reason(error)})"
        raise ValueError(f"{path.name} {what}.") from error
    if not start:
        raise ValueError(f"{path.name} is empty (0 bytes): copy or download it again.")
    kind = picture_kind(start, path.suffix)
    if kind is None:
        raise ValueError(foreign(path, start))
    if kind in MISSING and importlib.util.find_spec(MISSING[kind][0]) is None:
        raise ValueError(f"{path.name} is {MISSING[kind][1]}.")
    return file, kind


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _read_header(file: BinaryIO, kind: str) -> Image.Image:
    """Pillow's image of the file; its own limit of pixels, which all threads share, is not asked.

    It gets no name: files that it knows by name it maps into memory, and those of turned TIFF pictures wrongly.
    """
    if kind == "HEIF":
        from pillow_heif import HeifImageFile

        return HeifImageFile(file)
    module, name = READERS[kind]
    return getattr(importlib.import_module(f"PIL.{module}"), name)(file)


def _check_early(path: Path, kind: str, layout: Layout) -> None:
    """Before a reader that makes room for all pixels when it opens a file."""
    width, height = layout.size
    if width * height * layout.scratch_per_pixel > MOST_DECODER_BYTES:
        raise ValueError(_too_large(path, layout.size, kind))


def _check_cost(picture: PictureFile, shrink: int) -> None:
    image, layout = picture.image, picture.layout
    width, height = layout.size or image.size
    pixels = width * height
    kept = pixels // shrink**2
    needed = kept * (_bytes_per_pixel(image.mode) + layout.scratch_per_pixel) + layout.scratch_bytes
    if image.format == "TIFF":
        turned = image.tag_v2.get(ORIENTATION, 1) != 1  # by Pillow, into a second picture
        needed += _strip_bytes(picture) + turned * kept * _bytes_per_pixel(image.mode)
    frames = len(picture.frames)
    seconds = 1e-9 * pixels * layout.nanoseconds
    if frames > 1 and frames * seconds > MOST_DECODER_SECONDS:
        raise ValueError(
            f"{picture.path.name} has {frames} pictures of {width} x {height}: to decode them would take more than "
            f"{MOST_DECODER_SECONDS:g} s. Save it as a video, or in several files."
        )
    if kept > MOST_PIXELS or needed > MOST_DECODER_BYTES or seconds > MOST_DECODER_SECONDS:
        raise ValueError(_too_large(picture.path, image.size, image.format))


def _ends_empty(image: Image.Image) -> bool:
    """Whether the last rows are as they were before decoding: Pillow takes PNG data that end early for whole."""
    width, height = image.size
    rows = [image.crop((0, row, width, row + 1)) for row in range(max(0, height - 2), height)]
    return any(row.getbbox(alpha_only=False) is None for row in rows)


def _bytes_per_pixel(mode: str) -> int:
    return 2 if mode.startswith("I;") else BYTES_PER_PIXEL.get(mode, 4)


def _strip_bytes(picture: PictureFile) -> float:
    """What libtiff needs of a compressed TIFF file: one strip or tile, which may be the whole picture, and the file."""
    image = picture.image
    if image.info.get("compression") == "raw":
        return 0
    width, height = stored_size(image)
    tags = image.tag_v2
    try:
        with without_warnings():
            bits = max(tags.get(TIFF_BITS, (1,))) * int(tags.get(TIFF_SAMPLES, 1))
            across = int(tags.get(TIFF_TILE_WIDTH, width))
            down = int(tags.get(TIFF_TILE_HEIGHT, min(height, tags.get(TIFF_ROWS, height))))
    except (TypeError, ValueError) as error:
        raise ValueError(damage(picture.path, error)) from error
    return across * down * bits / 8 + picture.path.stat().st_size


def _too_large(path: Path, size: tuple[int, int], kind: str) -> str:
    megapixels = size[0] * size[1] / 1e6
    return (
        f"{path.name} is too large ({size[0]} x {size[1]}, {megapixels:.0f} megapixels as {kind}): to decode it would "
        f"take more than {MOST_DECODER_BYTES / 1e9:g} GB or {MOST_DECODER_SECONDS:g} s. Shrink it, or save it as a "
        "plain JPEG, which can be larger."
    )
