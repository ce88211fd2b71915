"""A decoded frame of a video as the picture that is shown: in sRGB, of square pixels, without fields, upright."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .hdr import HDR_NAMES, needs_conversion, to_srgb
from .picture import Picture, split_transparency

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# H.273's numbers of YUV matrices -> swscale's
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
BT709, BT601 = 1, 5
HD_WIDTH, HD_HEIGHT = 1280, 576  # wider or higher videos that do not name their matrix have BT.709's
LIMITED, FULL = 1, 2  # colour ranges
EXACT = 2 | 0x40000 | 0x2000  # swscale: bilinear, accurate rounding, every colour value interpolated
WITH_ALPHA = ("rgba", "bgra", "argb", "abgr", "yuva", "gbrap", "ya")
MAX_PIXEL_STRETCH = 10
MAX_SHOWN_PIXELS = 80_000_000


def picture_of(frame: VideoFrame, stream: VideoStream, blend: str = "all") -> Picture:
    """The frame as it is shown: sRGB, square pixels, upright. blend: see picture.read_picture."""
    turn = _display_matrix(frame)
    image, mask = _image(frame, stream, blend)
    size = _shown_size(image.size, stream.sample_aspect_ratio)
    images = [each if each is None or size == image.size else each.resize(size) for each in (image, mask)]
    image, mask = (each and _upright(each, turn) for each in images)
    return Picture(image, image.size, mask)


def conversions(frame: VideoFrame, stream: VideoStream) -> list[str]:
    """What was done to frames like this one that their owner should know, as ends of a sentence."""
    transfer, _ = _characteristics(frame, stream)
    done = []
    if transfer in HDR_NAMES:
        done.append(f"is HDR ({HDR_NAMES[transfer]}): converted to SDR, what is brighter than white is cut.")
    if frame.interlaced_frame:
        done.append("is interlaced: every second line was filled in from its neighbours.")
    return done


def _image(frame: VideoFrame, stream: VideoStream, blend: str) -> tuple[Image.Image, Image.Image | None]:
    transfer, primaries = _characteristics(frame, stream)
    matrix, full = _matrix(frame), FULL if frame.color_range == FULL or "yuvj" in frame.format.name else LIMITED
    if frame.format.name.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "pal")):
        full = FULL
    how = {"src_colorspace": matrix, "src_color_range": full, "dst_color_range": FULL, "interpolation": EXACT}
    # RGB has no matrix, but PyAV before 17 looks at the first two only if this one differs from the source's.
    how["dst_colorspace"] = BT709 if matrix != BT709 else BT601
    if frame.interlaced_frame:
        frame = _deinterlaced(frame)
    if needs_conversion(transfer, primaries):
        pixels = to_srgb(frame.to_ndarray(format="gbrp16le", **how), transfer, primaries)
        return Image.fromarray(pixels), None
    if frame.format.name.startswith(WITH_ALPHA):
        clear = Image.fromarray(frame.to_ndarray(format="rgba", **how))
        if clear.getchannel("A").getextrema()[1] > 0:  # old formats have four channels and leave the fourth empty
            return split_transparency(clear, blend)
    return Image.fromarray(frame.to_ndarray(format="rgb24", **how)), None


def _characteristics(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """(transfer, primaries): the frame's where PyAV tells them, else the stream's."""
    context = stream.codec_context
    transfer = getattr(frame, "color_trc", context.color_trc)
    return int(transfer), int(getattr(frame, "color_primaries", context.color_primaries))


def _matrix(frame: VideoFrame) -> int:
    large = frame.width >= HD_WIDTH or frame.height > HD_HEIGHT
    return MATRICES.get(int(frame.colorspace), BT709 if large else BT601)


def _deinterlaced(frame: VideoFrame) -> VideoFrame:
    """One of the frame's two fields, the lines of the other filled in along edges."""
    from av.filter import Graph

    graph = Graph()
    start = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    fill, end = graph.add("estdif", "mode=frame:deint=all"), graph.add("buffersink")
    start.link_to(fill)
    fill.link_to(end)
    graph.configure()
    start.push(frame)
    start.push(None)
    return end.pull()


def _shown_size(size: tuple[int, int], pixel: Fraction | None) -> tuple[int, int]:
    """(width, height) with square pixels: rows stay, the width changes by the aspect ratio of a pixel."""
    if not pixel or not 1 / MAX_PIXEL_STRETCH <= pixel <= MAX_PIXEL_STRETCH:
        return size
    width = max(1, round(size[0] * pixel))
    return (width, size[1]) if width * size[1] <= MAX_SHOWN_PIXELS else size


def _display_matrix(frame: VideoFrame) -> np.ndarray | None:
    """(3, 3) int32 that takes a stored pixel to where it is shown; None where the file has none."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32).reshape(3, 3)


def _upright(image: Image.Image, matrix: np.ndarray | None) -> Image.Image:
    """Turned and mirrored in quarters as the matrix says."""
    if matrix is None:
        return image
    (a, b), (c, d) = matrix[:2, :2].tolist()
    if abs(b) > abs(a):
        image, a, d = image.transpose(Image.Transpose.TRANSPOSE), c, b
    if a < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if d < 0 else image
