"""JPEG 2000: boxes up to the codestream, its header, and whether all of its tiles are there."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .parts import Layout, check_parts

SIZE, TILE_PART, END = 0xFF51, 0xFF90, 0xFFD9  # markers
CUT_OFF = "not all of its tiles are there"


@dataclass(frozen=True)
class _Canvas:
    """What the size segment says."""

    size: tuple[int, int]
    tile: tuple[int, int]
    tiles: int
    samples_per_pixel: float  # of all components together


def walk_jpeg2000(file: BinaryIO) -> Layout:
    """The decoder takes even a cut-off file, and needs 6 bytes a sample of the largest tile."""
    promised = None
    if file.read(4) != b"\xff\x4f\xff\x51":
        promised = _find_codestream(file)
    else:
        file.seek(0)
    canvas = _read_size(file)
    if promised not in (None, canvas.size):
        raise ValueError(f"its header says {promised[0]} x {promised[1]}, its data {canvas.size[0]} x {canvas.size[1]}")
    found = set(_tile_parts(file))
    if len(found) < canvas.tiles:
        raise ValueError(CUT_OFF)
    area = min(canvas.tile[0], canvas.size[0]) * min(canvas.tile[1], canvas.size[1])
    samples = canvas.samples_per_pixel
    pixels = canvas.size[0] * canvas.size[1]
    nanoseconds = 40 * samples + 250 * file.seek(0, 2) / pixels  # for each sample and each byte of the file
    return Layout(canvas.size, scratch_bytes=int(6 * samples * area), nanoseconds=nanoseconds)


def _find_codestream(file: BinaryIO) -> tuple[int, int] | None:
    """The size of the image header box; the file is left where the codestream begins."""
    file.seek(12)
    size, parts = None, 0
    while True:
        parts += 1
        check_parts(parts)
        length, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            head = 16
        if name == b"jp2c":
            return size
        if name == b"ihdr":
            height, width = struct.unpack(">II", file.read(8))
            size, head = (width, height), head + 8
        if name != b"jp2h":  # whose boxes are looked into
            if length < head:
                raise ValueError("its header is incomplete")
            file.seek(length - head, 1)


def _read_size(file: BinaryIO) -> _Canvas:
    """The size segment, which follows the codestream's first marker."""
    _, marker, length = struct.unpack(">HHH", file.read(6))
    data = file.read(length - 2) if length > 2 else b""
    if marker != SIZE:
        raise ValueError("its header is incomplete")
    _, right, bottom, left, top, tile_x, tile_y, start_x, start_y, components = struct.unpack_from(">H8IH", data)
    if not (right > left and bottom > top and tile_x and tile_y and start_x <= left and start_y <= top):
        raise ValueError("its header says that it has no pixels")
    tiles = -(-(right - start_x) // tile_x) * -(-(bottom - start_y) // tile_y)
    steps = [data[36 + 3 * at + 1] * data[36 + 3 * at + 2] for at in range(components)]
    samples = sum(1 / step for step in steps if step)
    return _Canvas((right - left, bottom - top), (tile_x, tile_y), tiles, samples)


def _tile_parts(file: BinaryIO) -> Iterator[int]:
    """The tile numbers of all parts that are there whole; the main header is skipped."""
    end, parts = _length(file), 0
    while True:
        parts += 1
        check_parts(parts // 20)
        head = file.read(4)
        marker = int.from_bytes(head[:2], "big")
        if marker == END or len(head) < 4:
            return
        length = int.from_bytes(head[2:], "big")
        if marker == TILE_PART:
            tile, size = struct.unpack(">HI", file.read(6))
            size = size or end - 2 - file.tell() + 10  # 0: up to the end marker
            if size < 14 or file.tell() - 10 + size > end:
                raise ValueError(CUT_OFF)
            file.seek(size - 10, 1)
            yield tile
        else:
            file.seek(length - 2, 1)


def _length(file: BinaryIO) -> int:
    here = file.tell()
    end = file.seek(0, 2)
    file.seek(here)
    return end
