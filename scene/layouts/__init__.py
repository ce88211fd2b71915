"""How picture files are laid out: a bounded walk over the parts of a file, before a library reads it.

Files can promise far more than they hold, or hold so many parts that only finding the pixels takes minutes. The walks
look at lengths and sizes alone, and a ValueError says in a few words what is wrong.
"""

import struct
from collections.abc import Callable
from typing import BinaryIO

from .bitmap import walk_bmp, walk_netpbm
from .gif import walk_gif
from .jpeg import walk_jpeg
from .jpeg2000 import walk_jpeg2000
from .parts import Layout
from .png import walk_png
from .tiff import walk_tiff
from .webp import walk_webp

__all__ = ["Layout", "walk"]

WALKS: dict[str, Callable[[BinaryIO], Layout]] = {
    "BMP": walk_bmp,
    "GIF": walk_gif,
    "JPEG": walk_jpeg,
    "JPEG2000": walk_jpeg2000,
    "PNG": walk_png,
    "PPM": walk_netpbm,
    "TIFF": walk_tiff,
    "WEBP": walk_webp,
}
CODED_VIDEO = Layout(frames=None, nanoseconds=35, scratch_per_pixel=16)  # AVIF and HEIF, 3 planes of up to 16 bits


def walk(file: BinaryIO, kind: str) -> Layout:
    """The layout of a file of a kind (see picture_kind); the file is left at its beginning."""
    file.seek(0)
    try:
        return WALKS[kind](file) if kind in WALKS else Layout() if kind == "TGA" else CODED_VIDEO
    except (struct.error, IndexError, OSError, OverflowError) as error:  # the last two: places that no file has
        raise ValueError("its header is incomplete") from error
    finally:
        file.seek(0)
