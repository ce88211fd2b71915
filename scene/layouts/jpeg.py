"""JPEG: segments up to the first scan."""

import struct
from typing import BinaryIO

from .parts import MOST_PARTS, Layout

MOST_SCANS = 200
NO_FRAME = (0xC4, 0xC8, 0xCC)  # among C0 to CF the markers of tables
ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
PROGRESSIVE, ARITHMETIC = (0xC2, 0xCA), 0xC9


def walk_jpeg(file: BinaryIO) -> Layout:
    """A file of several scans keeps all coefficients, 2 bytes each, and cannot be decoded at a smaller size."""
    file.seek(2)
    frame = b""
    for _ in range(MOST_PARTS):
        marker = file.read(2)
        if marker == b"\xff\xff":  # the first is a fill byte
            file.seek(-1, 1)
            continue
        if len(marker) < 2 or marker[0] != 0xFF:
            break
        if marker[1] in ALONE:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker[1] == 0xDA:
            return _layout(file, frame, file.read(1)[0])
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in NO_FRAME:
            frame = marker[1:] + file.read(length - 2)
        else:
            file.seek(length - 2, 1)
    raise ValueError("its header is incomplete")


def _layout(file: BinaryIO, frame: bytes, in_scan: int) -> Layout:
    """frame: the marker's second byte and its segment: precision, height, width, components of 3 bytes."""
    height, width, components = struct.unpack(">HHB", frame[2:7])
    sampling = [divmod(frame[8 + 3 * at], 16) for at in range(components)]
    most = max((x for x, _ in sampling), default=1) * max((y for _, y in sampling), default=1)
    samples = sum(width * height * x * y // max(1, most) for x, y in sampling)
    several = frame[0] in PROGRESSIVE or in_scan < components
    scans = _count_scans(file) if several else 1
    if scans > MOST_SCANS:
        raise ValueError(f"it has {scans} scans, where {MOST_SCANS} are allowed")
    _check_data(file, (width, height), samples // 64 * (1 if several else 2) if frame[0] < ARITHMETIC else 0)
    if several:
        return Layout((width, height), scratch_bytes=2 * samples, nanoseconds=15 + 0.3 * scans)
    return Layout((width, height), nanoseconds=2, shrinks=True)


def _count_scans(file: BinaryIO) -> int:
    """This one and those that begin later; inside of data the marker cannot occur."""
    start, count, last = file.tell(), 1, b""
    while part := file.read(1 << 20):
        count += (last + part).count(b"\xff\xda")
        last = part[-1:]
    file.seek(start)
    return count


def _check_data(file: BinaryIO, size: tuple[int, int], bits: int) -> None:
    """Each block of 64 samples takes a bit for its mean, and in a file of one scan another one for its end."""
    start = file.tell()
    if bits // 8 > file.seek(0, 2) - start:
        raise ValueError(f"its header promises {size[0]} x {size[1]} pixels, and there is no data for them")
