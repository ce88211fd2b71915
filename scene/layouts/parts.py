"""What a walk over a picture file finds out, and how many parts one may have."""

from dataclasses import dataclass

MOST_PARTS = 20_000  # segments, chunks or boxes around the pixels
MOST_FRAMES = 5_000  # pictures in one file


@dataclass(frozen=True)
class Layout:
    """Sizes are (width, height) as stored, before any rotation."""

    size: tuple[int, int] | None = None  # None: the library that decodes it tells
    frames: tuple[int, ...] | None = (0,)  # numbers of the pictures that are views; None: the library tells
    scratch_per_pixel: float = 0.0  # bytes that the decoder needs beside the pixels that come out
    scratch_bytes: int = 0  # the same, whatever the number of pixels
    nanoseconds: float = 27.0  # about what decoding one pixel takes on one core
    shrinks: bool = False  # whether the decoder can leave out detail, and then needs memory for the rest only


def check_frames(count: int) -> None:
    """Raise if one file has more pictures than it may."""
    if count > MOST_FRAMES:
        raise ValueError(f"it has more than {MOST_FRAMES:,} pictures: save it as a video")


def check_parts(count: int) -> None:
    """Raise if a file is cut into more parts than it may."""
    if count > MOST_PARTS:
        raise ValueError("its header has too many parts")
