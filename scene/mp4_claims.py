"""How many samples an MP4 or MOV file claims to have, counted before ffmpeg makes a table of that length."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

NESTS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf"})
FEW_SAMPLES, MOST_SAMPLES = 100_000, 20_000_000  # fewer need no reason; more are refused
MOST_BOXES = 500_000
HEAD_BYTES = 16


def refuse_absurd_claims(file: BinaryIO, name: str) -> None:
    """ValueError if the tables claim more samples than the file has bytes, or than any video has; others pass."""
    size = file.seek(0, 2)
    most = max(FEW_SAMPLES, size)
    track, claimed = _Track(), 0
    for kind, head in _boxes(file, size, name):
        first, second, third = struct.unpack(">III", head[4:])  # behind version and flags
        if kind == b"trak":
            track = _Track()
        elif kind == b"hdlr":
            track.sound = track.sound or head[8:12] == b"soun"
        elif kind == b"elst":
            track.edits = first
        elif kind == b"stts":
            track.even = first == 1 and third == 1
        elif kind == b"trun":
            claimed += first
        elif kind in (b"stsz", b"stz2"):
            if first and kind == b"stsz":  # all samples have one size, so no table bounds their number
                # Of plain sound ffmpeg takes a thousand at a time.
                claimed += second // 1000 if track.sound and track.even and second <= most else second
            claimed += track.edits * second if track.edits > 1 and not track.sound else 0  # each may show all
        if claimed > min(most, MOST_SAMPLES):
            raise ValueError(f"{name} is damaged: it claims {claimed} samples in {size} bytes.")


@dataclass
class _Track:
    """What has been read of the track that is being looked at."""

    sound: bool = False
    even: bool = True  # every sample lasts one step of the clock
    edits: int = 0


def _boxes(file: BinaryIO, end: int, name: str) -> Iterator[tuple[bytes, bytes]]:
    """(kind, the first bytes of the content) of all boxes in the nests of a file, in order."""
    nests, count = [(0, end)], 0
    while nests:
        at, end = nests.pop()
        while at + 8 <= end:
            count += 1
            if count > MOST_BOXES:
                raise ValueError(f"{name} has more than {MOST_BOXES} parts: convert it to a plain mp4.")
            file.seek(at)
            head = file.read(8 + 8 + HEAD_BYTES).ljust(8 + 8 + HEAD_BYTES, b"\0")
            size, kind = struct.unpack(">I4s", head[:8])
            content = at + 8
            if size == 1:
                size, content = struct.unpack(">Q", head[8:16])[0], at + 16
            size = end - at if size == 0 else size
            if size < content - at:
                break  # ffmpeg stops here too
            yield kind, head[content - at : content - at + HEAD_BYTES]
            if kind in NESTS:
                nests.append((min(at + size, end), end))
                end = min(at + size, end)
                at = content
            else:
                at += size
