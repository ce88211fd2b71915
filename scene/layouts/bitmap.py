"""BMP and PBM, PGM, PPM: variants that Pillow decodes slowly."""

from typing import BinaryIO

from .parts import Layout

RUN_LENGTH = (b"\1\0\0\0", b"\2\0\0\0")
SLOW_NS = 500.0


def walk_bmp(file: BinaryIO) -> Layout:
    """Run-length coding is undone in Python."""
    start = file.read(34)
    packed = int.from_bytes(start[14:18], "little") >= 40 and start[30:34] in RUN_LENGTH
    return Layout(nanoseconds=SLOW_NS) if packed else Layout()


def walk_netpbm(file: BinaryIO) -> Layout:
    """Values of another range than 8 or 16 bits are brought to it in Python."""
    lines = file.read(2048).splitlines()
    words = [word for line in lines for word in line.split(b"#")[0].split()]
    scaled = words[0] != b"P4" and words[3] not in (b"255", b"65535")
    return Layout(nanoseconds=3 * SLOW_NS) if scaled else Layout()
