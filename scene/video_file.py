"""One video file, opened so that no other is, and its decoded frames with the times at which they are shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..models.progress import Progress
from .mp4_claims import FEW_SAMPLES, refuse_absurd_claims

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Demuxers that read one file and nothing else. Playlists, scripts and picture sequences, which name other files or
# addresses, are not among them.
CONTAINERS = "asf,avi,dv,flv,h264,hevc,ivf,m4v,matroska,mov,mpeg,mpegts,mpegvideo,mxf,nut,ogg"
WITHOUT_SHOWN_TIMES = ("avi", "h264", "hevc", "m4v", "mpegvideo")
MAX_FRAME_PIXELS = 40_000_000  # 8K has 35 million
MAX_FRAMES = 5_000_000  # a day at 60 a second
MAX_BROKEN_READS = 100  # times that reading goes on behind a damaged place
READ_AT_ONCE_BYTES = 1 << 20
MAX_GROWTH = 2  # times that a frame may have the pixels that the header states, if they are more than a large frame's
LARGE_FRAME_PIXELS, LARGE_FRAME_THREADS = 9_000_000, 2  # a decoder's thread holds frames of its own
PROGRESS_EVERY = 1000
MAX_SHORTFALL = 0.02  # containers often promise a little more than they hold
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
ATTACHED_PICTURE, DEFAULT_TRACK = 0x400, 0x1  # bits of a stream's disposition


@dataclass
class VideoFile:
    """An open video and the one stream of it that is used."""

    path: Path
    container: InputContainer
    stream: VideoStream
    decoder: VideoCodecContext
    start: int | None = None  # time stamp of the first frame that is shown
    broken: int = 0  # packets and frames that could not be decoded so far
    notes: list[str] = field(default_factory=list)

    @property
    def frames_per_second(self) -> float:
        """The average rate that the file states; 25 where it states nothing sensible."""
        stated = self.stream.average_rate or self.stream.guessed_rate
        rate = float(stated) if stated else 0.0
        return rate if 0 < rate <= 1000 else 25.0

    def frames(self) -> Iterator[tuple[float, VideoFrame]]:
        """(seconds since the first frame, frame) in the order they are shown; damaged ones are left out.

        Times rise: a frame without a time of its own, or one that steps back, follows the one before it.
        """
        unit, last = float(self.stream.time_base or 0), None
        for count, frame in enumerate(self._decoded()):
            if count >= MAX_FRAMES:
                raise ValueError(f"{self.path.name} has more than {MAX_FRAMES} frames: cut it into parts.")
            stamp = self._stamp(frame)
            if self.start is None:
                self.start = stamp
            seconds = 0.0 if stamp is None or self.start is None else (stamp - self.start) * unit
            if last is not None and (stamp is None or seconds <= last):
                seconds = last + 1 / self.frames_per_second
                self.start = None if stamp is None else stamp - round(seconds / unit)
            last = seconds
            yield seconds, frame

    def times(self, progress: Progress | None = None) -> tuple[np.ndarray, int]:
        """(seconds of every frame that is shown since the first, how many there should be), without decoding.

        The times are empty where the packets do not tell them. Sets `start`.
        """
        stamps: list[int | None] = []
        order, stored, ordered, started = None, 0, True, False
        for packet in self._packets():
            if packet.size == 0 and packet.pts is None and packet.dts is None:
                continue  # ends the stream
            stored += 1
            if stored > MAX_FRAMES:
                raise ValueError(f"{self.path.name} has more than {MAX_FRAMES} frames: cut it into parts.")
            if stored > max(FEW_SAMPLES, self.container.size):
                raise ValueError(f"{self.path.name} is damaged: it claims more frames than it has bytes.")
            if progress and stored % PROGRESS_EVERY == 0:
                progress("counting video frames", stored, 0)
            if packet.dts is not None:
                ordered = ordered and (order is None or packet.dts >= order)
                order = packet.dts
            started = started or packet.is_keyframe
            if started and not packet.is_discard:  # before the first key frame nothing can be decoded
                stamps.append(self._stamp(packet))
        unit = float(self.stream.time_base or 0)
        if not stamps or None in stamps or not ordered or unit <= 0:
            return np.empty(0), self.stream.frames if stored < self.stream.frames else 0
        shown = np.unique(np.array(stamps, dtype=np.int64))
        self.start = int(shown[0])
        times = (shown - shown[0]) * unit
        return times, len(times) + self._frames_behind(times, float(shown[-1] * unit), stored)

    def _stamp(self, part: Packet | VideoFrame) -> int | None:
        """When it is shown. Formats that keep no such times have those of decoding; what ffmpeg guesses is wrong."""
        return part.dts if self.container.format.name in WITHOUT_SHOWN_TIMES else part.pts

    def _frames_behind(self, times: np.ndarray, stamp: float, stored: int) -> int:
        """How many frames seem to be missing at the end, by the number of frames and the duration that are stated."""
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / self.frames_per_second
        # Matroska's duration counts from zero, not from the first frame.
        by_duration = round((self._stated_seconds() - max(times[-1], stamp)) / step) - 1
        by_number = self.stream.frames - stored
        missing = min(by_number, by_duration) if self.stream.frames else by_duration
        return missing if missing > max(2, MAX_SHORTFALL * len(times)) else 0

    def _stated_seconds(self) -> float:
        """The duration that the file states for this stream, or for all; 0 for none."""
        if self.stream.frames and self.container.format.name == "avi":  # it counts the steps of its clock
            return float(self.stream.frames * self.stream.time_base)
        if self.stream.duration:
            return float(self.stream.duration * self.stream.time_base)
        tag = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", self.stream.metadata.get("DURATION", ""))
        if tag:
            return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        return (self.container.duration or 0) / 1e6

    def _decoded(self) -> Iterator[VideoFrame]:
        from av.error import FFmpegError

        for packet in self._packets():
            try:
                frames = self.decoder.decode(packet)
            except FFmpegError:
                self.broken += 1
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self.broken += 1
                else:
                    yield frame

    def _packets(self) -> Iterator[Packet]:
        """The packets of the stream and the empty one that ends them; reading goes on behind damaged places."""
        from av.error import FFmpegError

        for _ in range(MAX_BROKEN_READS):
            try:
                yield from self.container.demux(self.stream)
                return
            except FFmpegError:
                self.broken += 1


@contextmanager
def opened(path: Path) -> Iterator[VideoFile]:
    """The video of a file; ValueError with one sentence if it has none that can be decoded."""
    try:
        import av
    except ImportError as error:
        raise ImportError("Reading video needs PyAV: pip install av") from error
    _check_file(path)
    with path.open("rb") as file:
        refuse_absurd_claims(file, path.name)
        file.seek(0)
        try:
            # What ffmpeg gets is bytes and no name: in a name it would see protocols and numbered pictures.
            container = av.open(
                _Bytes(file),
                container_options={"format_whitelist": CONTAINERS},
                options=_probe_options(av.__version__),
                metadata_errors="replace",
                buffer_size=READ_AT_ONCE_BYTES,
                io_open=_refuse,
            )
        except (av.error.FFmpegError, OSError) as error:
            raise _no_video(path) from error
        with container:
            video = _choose_stream(path, container)
            try:
                yield video
            finally:
                # Closing waits for the decoder's threads while it holds the interpreter, which they need if they are
                # just writing a log line. This waits for them without holding it.
                video.decoder.flush_buffers()


def _probe_options(version: str) -> dict[str, str]:
    """What the decoders get that look for what a header does not tell; PyAV before 18 crashes on any."""
    return {"max_pixels": str(MAX_FRAME_PIXELS)} if int(version.split(".")[0]) >= 18 else {}


class _Bytes:
    """What PyAV needs of an open file, without its name."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.read: Callable[[int], bytes] = file.read
        self.tell: Callable[[], int] = file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new place; -1 for one that cannot be, which ffmpeg then calls damage."""
        try:
            return self.file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


def _refuse(url: str, *_: Any) -> None:
    raise PermissionError(f"A video may not open {url!r}.")


def _check_file(path: Path) -> None:
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise ValueError(f"{path.name} is no file: give a video file.")
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


def _choose_stream(path: Path, container: InputContainer) -> VideoFile:
    """The largest of the streams that the file marks as its default, or of all; ValueError if there is none."""
    streams = container.streams.video
    moving = [stream for stream in streams if not _disposition(stream) & ATTACHED_PICTURE]
    usable = [stream for stream in moving if stream.codec_context is not None]
    if not usable:
        if moving:
            raise ValueError(f"{path.name} is in a format that cannot be decoded here: convert it to H.264 (mp4).")
        if streams or container.streams.audio:
            what = "sound and a cover picture" if streams else "sound"
            raise ValueError(f"{path.name} holds {what}, but no video: give a file with moving pictures.")
        raise _no_video(path)
    marked = [stream for stream in usable if _disposition(stream) & DEFAULT_TRACK] or usable
    best = max(marked, key=lambda stream: stream.width * stream.height)  # the first of equal ones
    video = VideoFile(path, container, best, _decoder(best))
    if len(usable) > 1:
        place = f"number {usable.index(best) + 1} ({best.width} x {best.height})"
        video.notes.append(f"{path.name} holds {len(usable)} video streams: {place} is used.")
    return video


def _disposition(stream: VideoStream) -> int:
    flags = stream.disposition
    return int(getattr(flags, "value", flags))  # older versions of PyAV give an enumeration that is no number


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """The stream's decoder; for WebM with transparency one that reads it, where PyAV brings it."""
    import av

    context = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and (name := ALPHA_DECODERS.get(context.name)) in av.codecs_available:
        context = av.CodecContext.create(name, "r")
    pixels = stream.width * stream.height
    context.options = {"max_pixels": str(min(MAX_FRAME_PIXELS, max(MAX_GROWTH * pixels, LARGE_FRAME_PIXELS)))}
    context.thread_type = "AUTO"
    if pixels > LARGE_FRAME_PIXELS:
        context.thread_count = LARGE_FRAME_THREADS
    return context


def _no_video(path: Path) -> ValueError:
    return ValueError(
        f"{path.name} cannot be opened as a video: it is no video, or its end is missing (mp4 and mov need it)."
    )
