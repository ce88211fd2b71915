"""Frames of a video file, through OpenCV."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..models.progress import Progress
from .files import check_choice, choose

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
    capture = _capture(path)
    try:
        count, rate = capture.get(_cv2().CAP_PROP_FRAME_COUNT), capture.get(_cv2().CAP_PROP_FPS)
        if not capture.grab():
            raise ValueError(f"{path.name} is damaged: not one frame of it can be decoded.")
    finally:
        capture.release()
    known = math.isfinite(count) and 0 < count < 1e9
    return VideoInfo(path, int(count) if known else 0, rate if math.isfinite(rate) and 0 < rate <= 1000 else 25.0)


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
    cv2, capture = _cv2(), _capture(path)
    wanted, last = set(frames), max(frames, default=-1)
    rate = capture.get(cv2.CAP_PROP_FPS)
    try:
        for number in range(last + 1):
            if not capture.grab():
                return number
            if number in wanted:
                read, frame = capture.retrieve()
                if not read or frame is None or not frame.size:
                    return number
                seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if number and not seconds > 0 and rate > 0:  # some containers have no time stamps
                    seconds = number / rate
                accept(max(0.0, seconds), cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            if progress:
                progress("video", number + 1, last + 1)
        return last + 1
    finally:
        capture.release()


def count_frames(path: Path, progress: Progress | None = None) -> int:
    """The number of frames, by going through all of them."""
    capture, count = _capture(path), 0
    try:
        while capture.grab():
            count += 1
            if progress:
                progress("counting video frames", count, 0)
        return count
    finally:
        capture.release()


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


def _capture(path: Path):
    cv2 = _cv2()
    backend = cv2.CAP_FFMPEG if cv2.CAP_FFMPEG in cv2.videoio_registry.getBackends() else cv2.CAP_ANY
    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # as for FFmpeg: our sentence instead
    try:
        capture = cv2.VideoCapture(str(path), backend)
    finally:
        logging.setLogLevel(level)
    if not capture.isOpened():
        raise ValueError(
            f"{path.name} cannot be opened as a video: it is no video, or its end is missing (mp4 and mov need it)."
        )
    return capture


def _cv2():
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # our sentence, not FFmpeg's lines on the terminal
    try:
        import cv2
    except ImportError as error:
        raise ImportError("Reading video needs OpenCV: pip install opencv-python-headless") from error
    return cv2
