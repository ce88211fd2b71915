"""WebP: the canvas, and how often it is drawn on."""

import struct
from typing import BinaryIO

from .parts import Layout, check_frames, check_parts

ANIMATED = 2


def walk_webp(file: BinaryIO) -> Layout:
    """The decoder holds four canvases of 4 bytes a pixel, of which it makes two when the file is opened."""
    start = file.read(30)
    name, data = start[12:16], start[20:]
    if name == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (4, 7))
    elif name == b"VP8L":
        (bits,) = struct.unpack("<I", data[1:5])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif name == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[6:10]))
    else:
        raise ValueError("its header is incomplete")
    frames = _count_frames(file) if name == b"VP8X" and data[0] & ANIMATED else 1
    return Layout((width, height), tuple(range(frames)), 14, 2 * file.seek(0, 2), nanoseconds=45)


def _count_frames(file: BinaryIO) -> int:
    file.seek(12)
    frames = parts = 0
    while len(head := file.read(8)) == 8:
        frames, parts = frames + (head[:4] == b"ANMF"), parts + 1
        check_frames(frames)
        check_parts(parts)
        length = int.from_bytes(head[4:], "little")
        file.seek(length + length % 2, 1)
    return max(1, frames)
