"""PNG and APNG: all chunks."""

import struct
import zlib
from typing import BinaryIO

from .parts import MOST_PARTS, Layout, check_frames

PIECE_BYTES = 1 << 20
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the kind of colour
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
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


def check_pixels(file: BinaryIO) -> None:
    """ValueError unless the first picture's data, unpacked, are as long as its header says."""
    file.seek(16)
    width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", file.read(13))
    depth = bits * CHANNELS[color]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    wanted = 0
    for left, top, step_x, step_y in passes:
        across, down = -(-(width - left) // step_x), -(-(height - top) // step_y)
        wanted += (1 + -(-across * depth // 8)) * down if across > 0 and down > 0 else 0
    file.seek(8)
    unpack = zlib.decompressobj()
    while wanted > 0 and not unpack.eof and len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            data = file.read(length)
            while data and wanted > 0 and not unpack.eof:
                wanted -= len(unpack.decompress(data, PIECE_BYTES))
                data = unpack.unconsumed_tail
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)
    if wanted > 0:
        raise ValueError(f"its header promises {height} rows of pixels, and there are fewer")


def _layout(size: tuple[int, int] | None, frames: int, first: int, pixels: bool) -> Layout:
    if size is None or not pixels:
        raise ValueError("its header is incomplete")
    if frames < 2:
        return Layout(size)
    return Layout(size, tuple(range(first, first + frames)), scratch_per_pixel=12)
