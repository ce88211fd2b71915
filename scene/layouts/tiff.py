"""TIFF and BigTIFF: the chain of directories, one for each page."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from .parts import Layout, check_frames

MOST_ENTRIES = 200_000  # of all pages together
MOST_STRIPS = 1_000_000  # of one page
PAGE_KIND, STRIPS, TILES = 254, 273, 324  # tags
REDUCED, MASK = 1, 4  # bits of a page's kind: a smaller copy, a mask


def walk_tiff(file: BinaryIO) -> Layout:
    """The pages that are pictures of their own: no thumbnails, no masks."""
    pages = []
    for number, entries in enumerate(_directories(file)):
        check_frames(number + 1)
        kind, strips = 0, 0
        for tag, count, value in entries:
            kind = value if tag == PAGE_KIND else kind
            strips = count if tag in (STRIPS, TILES) else strips
        if strips > MOST_STRIPS:
            raise ValueError(f"it is cut into {strips:,} strips or tiles, where {MOST_STRIPS:,} are allowed")
        if not kind & (REDUCED | MASK):
            pages.append(number)
    return Layout(frames=tuple(pages) or (0,))


def _directories(file: BinaryIO) -> Iterator[list[tuple[int, int, int]]]:
    """(tag, count, value as a number if it is one) of each entry, a list for each page; a chain that loops ends."""
    start = file.read(16)
    order = "<" if start[:1] == b"I" else ">"
    big = 43 in (start[2], start[3])
    head, entry, link = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    (place,) = struct.unpack_from(order + link, start, 8 if big else 4)
    seen, total = set(), 0
    while place and place not in seen:
        seen.add(place)
        try:
            file.seek(place)
            (count,) = struct.unpack(order + head, file.read(struct.calcsize(order + head)))
            total += count
            if total > MOST_ENTRIES:
                raise ValueError("its header has too many parts")
            size = struct.calcsize(order + entry)
            data = file.read(count * size)
            found = [_entry(data, at * size, order, entry) for at in range(count)]
            (place,) = struct.unpack(order + link, file.read(struct.calcsize(order + link)))
        except (struct.error, OSError, OverflowError):
            if len(seen) > 1:
                return  # the chain is broken; the pages before are there
            raise
        yield found


def _entry(data: bytes, at: int, order: str, form: str) -> tuple[int, int, int]:
    tag, kind, count, value = struct.unpack_from(order + form, data, at)
    if kind == 3:  # two bytes, at the beginning of the field
        (value,) = struct.unpack_from(order + "H", data, at + struct.calcsize(order + form[:-1]))
    return tag, count, value
