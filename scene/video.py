"""Frames of a video file, through PyAV, which ComfyUI brings as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..models.progress import Progress
from .files import check_choice, choose

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

DEFAULT_FRAMES = 32
MAX_SHORTFALL = 0.02  # containers often promise a few frames more than they hold


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself. frames is 0 where it does not know."""

    path: Path
    frames: int
    frames_per_second: float


def open_video(path: Path) -> VideoInfo:
    """Check that the file is a video that can be decoded, and read its length. ValueError with one sentence if not."""
    _check_file(path)
    with _opened(path) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        count = stream.frames
        if not count and rate and stream.duration and stream.time_base:
            count = round(float(stream.duration * stream.time_base) * rate)
        if next(_frames(container), None) is None:
            raise ValueError(f"{path.name} is damaged: not one frame of it can be decoded.")
    known = 0 < count < 1e9
    return VideoInfo(path, count if known else 0, rate if math.isfinite(rate) and 0 < rate <= 1000 else 25.0)


def choose_frames(
    count: int,
    frames_per_second: float,
    frame_rate: float | None = None,
    start: int = 0,
    every: int = 1,
    limit: int | None = None,
    selection: str = "first",
) -> list[int]:
    """Which of `count` frames to take.

    frame_rate takes so many a second; start, every and limit then count among these (without it: among all frames).
    Without frame_rate and every, the frames are spread evenly over the video: `limit` of them, or DEFAULT_FRAMES.
    """
    check_choice(start, every, limit, selection)
    if frame_rate is None:
        if every == 1:
            limit, selection = limit or DEFAULT_FRAMES, "even"
        return choose(count, start, every, limit, selection)
    if not (math.isfinite(frame_rate) and frame_rate > 0):
        raise ValueError(f"frame_rate is {frame_rate}: give a number of frames a second above 0.")
    step = max(1.0, frames_per_second / frame_rate)  # more than the video has: every frame
    frames = [round(number * step) for number in range(math.ceil(count / step))]
    frames = [frame for frame in frames if frame < count]
    return [frames[index] for index in choose(len(frames), start, every, limit, selection)]


def read_frames(
    path: Path,
    frames: Sequence[int],
    accept: Callable[[float, np.ndarray], None],
    progress: Progress | None = None,
) -> int:
    """Call accept(seconds, RGB uint8 (H, W, 3)) for each of the ascending frame numbers, in one pass over the file.

    Returns how many frames the pass went through: less than frames[-1] + 1 if the video ends early.
    """
    wanted, last = set(frames), max(frames, default=-1)
    number = 0
    with _opened(path) as container:
        rate = float(container.streams.video[0].average_rate or 0)
        for frame in _frames(container):
            if number > last:
                break
            if number in wanted:
                seconds = frame.time
                if seconds is None:  # some containers have no time stamps
                    seconds = number / rate if rate > 0 else 0.0
                accept(max(0.0, seconds), _upright(frame))
            number += 1
            if progress:
                progress("video", number, last + 1)
    return number


def count_frames(path: Path, progress: Progress | None = None) -> int:
    """The number of frames, by going through all of them."""
    count = 0
    with _opened(path) as container:
        for _ in _frames(container):
            count += 1
            if progress:
                progress("counting video frames", count, 0)
    return count


def ended_early(promised: int, reached: int) -> bool:
    """Whether so many frames are missing that the file must be cut off or damaged."""
    return promised - reached > max(2, MAX_SHORTFALL * promised)


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist: check the path.") from error
    except OSError as error:
        raise ValueError(f"{path.name} cannot be opened ({error.strerror or error}).") from error
    if not start:
        raise ValueError(f"{path.name} is empty (0 bytes): copy or download it again.")
    if not any(byte < 9 for byte in start):
        raise ValueError(f"{path.name} is a text file, not a video.")


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        import av
    except ImportError as error:
        raise ImportError("Reading video needs PyAV: pip install av") from error
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise _no_video(path) from error
    with container:
        if not container.streams.video:
            raise _no_video(path)
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        try:
            yield container
        finally:
            # Closing waits for the decoder's threads while it holds the interpreter, which they need if they are just
            # writing a log line. This waits for them without holding it.
            video.codec_context.flush_buffers()


def _no_video(path: Path) -> ValueError:
    return ValueError(
        f"{path.name} cannot be opened as a video: it is no video, or its end is missing (mp4 and mov need it)."
    )


def _frames(container: InputContainer) -> Iterator[VideoFrame]:
    """Frames of the first video stream in the order they are shown; damage ends them."""
    from av.error import FFmpegError

    try:
        yield from container.decode(video=0)
    except FFmpegError:
        return


def _upright(frame: VideoFrame) -> np.ndarray:
    """RGB (H, W, 3) uint8, turned as the file says it is to be shown."""
    quarters = round(frame.rotation / 90) % 4  # counter-clockwise
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarters))
