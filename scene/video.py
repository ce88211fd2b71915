"""Frames of a video file, chosen by when they are shown, through PyAV, which ComfyUI brings as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..models.progress import Progress
from .files import check_choice
from .picture import Picture
from .video_file import MAX_SHORTFALL, VideoFile, opened
from .video_picture import conversions, picture_of

if TYPE_CHECKING:
    from av.video.frame import VideoFrame as Frame

DEFAULT_FRAMES = 32
SAME_TIME_S = 1e-4
MAX_PASSES = 5
T = TypeVar("T")


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: when each of its frames is shown, in seconds since the first."""

    path: Path
    times: np.ndarray  # (frames,) float64, rising
    frames_per_second: float  # on average
    promised: int  # how many frames it should have: more than `times` where its end is missing
    notes: tuple[str, ...] = ()  # sentences on what its owner may not expect

    @property
    def frames(self) -> int:
        """How many frames it shows."""
        return len(self.times)


@dataclass(frozen=True)
class VideoFrame:
    """A frame as it is shown, by its number among the frames that can be read, and its second since the first."""

    number: int
    seconds: float
    picture: Picture


def open_video(path: Path, progress: Progress | None = None) -> VideoInfo:
    """Check that the file is a video that can be decoded, and read when its frames are shown, without decoding them.

    Where the file does not tell these times, all frames are decoded for them. ValueError with one sentence if it is
    no video.
    """
    with opened(path) as video:
        first = next(video.frames(), None)
        if first is None:
            raise ValueError(f"{path.name} is damaged: not one frame of it can be decoded.")
        notes = video.notes + [f"{path.name} {what}" for what in conversions(first[1], video.stream)]
    with opened(path) as video:
        times, promised = video.times(progress)
        stated_rate = video.frames_per_second  # a closed file must not be asked
    if not len(times):
        times, broken = _decoded_times(path, progress)
        promised = max(promised, len(times) + broken)
    rate = (len(times) - 1) / times[-1] if len(times) > 1 else stated_rate
    return VideoInfo(path, times, rate, promised, tuple(notes))


def choose_frames(
    times: Sequence[float] | np.ndarray,
    frame_rate: float | None = None,
    start: int = 0,
    every: int = 1,
    limit: int | None = None,
    selection: str = "first",
) -> list[int]:
    """Which of the frames that are shown at these rising times to take, as ascending indices.

    frame_rate takes so many a second; start, every and limit then count among these (without it: among all frames).
    Without frame_rate and every, the frames are spread evenly over the video: `limit` of them, or DEFAULT_FRAMES.
    Even means even in time.
    """
    check_choice(start, every, limit, selection)
    if frame_rate is None:
        frames = range(len(times))
        if every == 1:
            limit, selection = limit or DEFAULT_FRAMES, "even"
    elif math.isfinite(frame_rate) and frame_rate > 0:
        frames = _at_rate(np.asarray(times), frame_rate)
    else:
        raise ValueError(f"frame_rate is {frame_rate}: give a number of frames a second above 0.")
    frames = list(frames[start::every])
    if limit is None or len(frames) <= limit:
        return frames
    return frames[:limit] if selection == "first" else _spread(np.asarray(times), frames, limit)


def take_frames(
    info: VideoInfo,
    choose: Callable[[np.ndarray], list[int]],
    draw: Callable[[VideoFrame], T],
    progress: Progress | None = None,
    blend: str = "all",
) -> tuple[list[T], str | None]:
    """(what draw made of the frames that choose(times) names, a sentence if frames are missing), a frame at a time.

    If other frames can be decoded than the file promises, they are chosen once more among those, in another pass.
    """
    times, missing = info.times, info.promised > info.frames
    for _ in range(MAX_PASSES):
        chosen = choose(times)
        drawn: list[T] = []
        with opened(info.path) as video:
            found = _read(video, chosen, lambda frame, to=drawn: to.append(draw(frame)), progress, blend, times)
        if len(drawn) == len(chosen) and _equal(found, times[: len(found)]):
            return drawn, _damage(info, len(times)) if missing else None
        if not found:
            raise ValueError(f"{info.path.name} is damaged: not one frame of it can be decoded.")
        missing = missing or video.broken > 0 or _ended_early(info.times, found)
        times = np.array(found)
    raise ValueError(f"{info.path.name} is damaged: each time it is read, other frames of it can be decoded.")


def read_frames(
    path: Path,
    frames: Sequence[int] | None,
    accept: Callable[[VideoFrame], None],
    progress: Progress | None = None,
) -> None:
    """Call accept for each of the ascending frame numbers that is there (None: every frame), in one pass."""
    with opened(path) as video:
        _read(video, frames, accept, progress, "all")


def _at_rate(times: np.ndarray, frame_rate: float) -> list[int]:
    """The frame nearest to each multiple of 1 / frame_rate seconds, where one is within half of that."""
    steps = np.floor(times * frame_rate + 0.5)
    end = times[-1] + 0.5 * times[-1] / max(1, len(times) - 1) + 1e-9
    times, steps = times[steps <= end * frame_rate], steps[steps <= end * frame_rate]
    distance = np.abs(times - steps / frame_rate)
    order = np.lexsort((distance.round(9), steps))  # stable: the earlier of two that are as near
    _, first = np.unique(steps[order], return_index=True)
    return order[first].tolist()


def _spread(times: np.ndarray, frames: Sequence[int], limit: int) -> list[int]:
    """`limit` different ones of the frames, nearest to even steps of time from the first to the last."""
    shown = times[np.asarray(frames)]
    chosen: list[int] = []
    for count, wanted in enumerate(np.linspace(shown[0], shown[-1], limit)):
        after = int(np.searchsorted(shown, wanted))
        nearest = after - (after > 0 and wanted - shown[after - 1] <= shown[min(after, len(shown) - 1)] - wanted)
        lowest, highest = chosen[-1] + 1 if chosen else 0, len(frames) - limit + count
        chosen.append(min(max(nearest, lowest), highest))
    return [frames[index] for index in chosen]


def _read(
    video: VideoFile,
    chosen: Sequence[int] | None,
    accept: Callable[[VideoFrame], None],
    progress: Progress | None,
    blend: str,
    times: np.ndarray | None = None,
) -> list[float]:
    """Goes to the last of the chosen frames, or to the end once a frame does not come at its time; their times."""
    wanted = None if chosen is None else set(chosen)
    last = math.inf if chosen is None else max(chosen, default=-1)
    found: list[float] = []
    for number, (seconds, frame) in enumerate(video.frames()):
        if number > last:
            break
        if times is not None and (number >= len(times) or abs(seconds - times[number]) > SAME_TIME_S):
            last, wanted, times = math.inf, set(), None  # other frames than expected: find out which there are
        found.append(seconds)
        if wanted is None or number in wanted:
            accept(VideoFrame(number, seconds, _picture(video, frame, blend)))
        if progress:
            progress("video", number + 1, 0 if math.isinf(last) else int(last) + 1)
    return found


def _picture(video: VideoFile, frame: Frame, blend: str) -> Picture:
    from av.error import FFmpegError

    try:
        return picture_of(frame, video.stream, blend)
    except FFmpegError as error:
        kind = frame.format.name
        raise ValueError(
            f"{video.path.name} has frames of a kind that cannot be read here ({kind}): convert it to H.264 (mp4)."
        ) from error


def _decoded_times(path: Path, progress: Progress | None) -> tuple[np.ndarray, int]:
    """(when every frame that can be decoded is shown, how many cannot)."""
    times = []
    with opened(path) as video:
        for seconds, _ in video.frames():
            times.append(seconds)
            if progress:
                progress("counting video frames", len(times), 0)
    return np.array(times), video.broken


def _equal(found: Sequence[float], times: np.ndarray) -> bool:
    return len(found) == len(times) and np.allclose(found, times, rtol=0, atol=SAME_TIME_S)


def _ended_early(times: np.ndarray, found: Sequence[float]) -> bool:
    """Whether the frames end well before the last that was promised."""
    step = times[-1] / max(1, len(times) - 1)
    return times[-1] - found[-1] > max(2.5 * step, MAX_SHORTFALL * times[-1])


def _damage(info: VideoInfo, readable: int) -> str | None:
    if readable >= info.promised:
        return None
    return f"{info.path.name} is cut off or damaged: {readable} of its {info.promised} frames can be read."
