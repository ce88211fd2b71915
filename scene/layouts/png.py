"""PNG and APNG: all chunks."""

import struct
from typing import BinaryIO

from .parts import MOST_PARTS, Layout, check_frames

USUAL_CHUNK_BYTES = 1024  # of pixels; most programs write 4096 and more


def walk_png(file: BinaryIO) -> Layout:
    """Size, and the frames of an animation; the first picture is one of them only if its own chunk says so."""
    most = MOST_PARTS + file.seek(0, 2) // USUAL_CHUNK_BYTES
    file.seek(8)
    size, frames, first, pixels = None, 0, 1, False
    for _ in range(most):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return _layout(size, frames, first, pixels)
        length, name = struct.unpack(">I4s", head)
        if (name == b"IHDR") != (size is None):
            raise ValueError("its header is incomplete")
        data = file.read(min(length, 8))
        if name == b"IHDR":
            size = struct.unpack(">II", data)
        elif name == b"acTL" and not pixels:
            frames = struct.unpack(">I", data[:4])[0]
            check_frames(frames)
        elif name == b"fcTL" and not pixels:
            first = 0
        pixels = pixels or name == b"IDAT"
        file.seek(length - len(data) + 4, 1)
    raise ValueError("it has too many parts")


def _layout(size: tuple[int, int] | None, frames: int, first: int, pixels: bool) -> Layout:
    if size is None or not pixels:
        raise ValueError("its header is incomplete")
    if frames < 2:
        return Layout(size)
    return Layout(size, tuple(range(first, first + frames)), scratch_per_pixel=12)
