"""GIF: blocks up to the end."""

import struct
from typing import BinaryIO

from .parts import Layout, check_frames

MOST_BLOCKS = 2_000_000  # of at most 255 bytes each
MOST_EXTENSION_BYTES = 1_000_000  # comments and the like
IMAGE, EXTENSION, END = b",", b"!", b";"


def walk_gif(file: BinaryIO) -> Layout:
    """The canvas, which frames can enlarge. Later frames are drawn over the first in colour, with copies to go back."""
    screen = file.read(13)
    size = struct.unpack("<HH", screen[6:10])
    file.seek(_palette_bytes(screen[10]), 1)
    frames = blocks = extension_bytes = 0
    while (mark := file.read(1)) and mark != END:
        if mark == IMAGE:
            left, top, width, height, flags = struct.unpack("<HHHHB", file.read(9))
            size = max(size[0], left + width), max(size[1], top + height)
            file.seek(_palette_bytes(flags) + 1, 1)
            frames += 1
            check_frames(frames)
        elif mark == EXTENSION:
            file.seek(1, 1)
        blocks += 1
        while mark in (IMAGE, EXTENSION) and (length := file.read(1)) > b"\0":
            file.seek(length[0], 1)
            blocks += 1
            extension_bytes += length[0] if mark == EXTENSION else 0
        if blocks > MOST_BLOCKS or extension_bytes > MOST_EXTENSION_BYTES:
            raise ValueError("it has too many parts")
    return Layout(size, tuple(range(max(1, frames))), scratch_per_pixel=12 if frames > 1 else 0, nanoseconds=10)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
