"""Where each picture goes in the model's input: the resize rules of the public loaders and an aspect-keeping one.

Planning (sizes in, placements out) is apart from drawing, so that a whole set is planned before any picture is resized.
Sizes are (width, height). VGGT's rules: "crop", "pad", "square"; Pi3's rule: "pi3"; ours: "keep".
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PIL import Image

Size = tuple[int, int]

WHITE, BLACK = 255, 0
MAX_STRETCH = 0.1
MOST_ASPECT = 100  # longer side : shorter side
MOST_PIXELS = 64_000_000  # of what is made on the way from a picture to its model image


@dataclass(frozen=True)
class Placement:
    """How a picture becomes a model image: add a border, resize, cut `crop` out, paste it at `offset` on `canvas`."""

    source: Size
    resized: Size
    crop: tuple[int, int, int, int]  # left, top, right, bottom in the resized picture
    canvas: Size
    offset: Size = (0, 0)
    border: tuple[int, int, int, int] = (0, 0, 0, 0)  # black, in source pixels: left, top, right, bottom
    resampling: Image.Resampling = Image.Resampling.BICUBIC

    @property
    def content(self) -> Size:
        """Size of the part of the canvas that holds picture, border included."""
        left, top, right, bottom = self.crop
        return right - left, bottom - top

    def scale_offset(self) -> tuple[float, float, float, float]:
        """(sx, sy, ox, oy): x_original = sx * x_model + ox, with the corner of the first pixel at 0 on both sides."""
        left, top, right, bottom = self.border
        scale_x = (self.source[0] + left + right) / self.resized[0]
        scale_y = (self.source[1] + top + bottom) / self.resized[1]
        return (
            scale_x,
            scale_y,
            scale_x * (self.crop[0] - self.offset[0]) - left,
            scale_y * (self.crop[1] - self.offset[1]) - top,
        )

    def covers_canvas(self) -> bool:
        """Whether every pixel of the canvas shows the picture: no padding."""
        return self.content == self.canvas and not any(self.border)


def plan(
    sizes: Sequence[Size], resize: str = "keep", resolution: int = 518, patch_size: int = 14, pixel_limit: int = 255_000
) -> list[Placement]:
    """One placement for each size, all on canvases of one size."""
    check_options(resize, resolution, patch_size, pixel_limit)
    if not sizes:
        return []
    if resize == "pi3":
        return _plan_pi3(sizes, pixel_limit, patch_size)
    placements = [RULES[resize](size, resolution, patch_size) for size in sizes]
    if resize == "keep":
        return _letterbox_odd_ones(placements)
    return _pad_to_largest(placements)


def check_options(resize: str, resolution: int, patch_size: int, pixel_limit: int = 255_000) -> None:
    """Raise ValueError on options that no picture can satisfy."""
    if resize not in RESIZE_MODES:
        raise ValueError(f"resize is {resize!r}: choose one of {', '.join(RESIZE_MODES)}.")
    if patch_size < 1:
        raise ValueError(f"patch_size is {patch_size}: it must be at least 1.")
    if resize == "pi3":
        if pixel_limit < patch_size * patch_size:
            raise ValueError(f"pixel_limit is {pixel_limit}: one patch alone has {patch_size * patch_size} pixels.")
    elif resolution < patch_size or resolution % patch_size:
        below = max(patch_size, resolution - resolution % patch_size)
        near = f"{below} or {below + patch_size}"
        raise ValueError(
            f"resolution is {resolution}: it must be a multiple of the patch size {patch_size}, as {near}."
        )


def check_aspect(name: str, size: Size) -> None:
    """Raise ValueError on a picture so narrow that a model would see next to nothing of it."""
    if max(size) > MOST_ASPECT * min(size):
        raise ValueError(
            f"{name} is {size[0]} x {size[1]}: the longer side may be at most {MOST_ASPECT} times the shorter one; cut "
            "it into pieces."
        )


def place(picture: Image.Image, placement: Placement, fill: int = WHITE) -> Image.Image:
    """The model image of `picture` (its size may be a reduced version of placement.source)."""
    content = _resized(_bordered(picture, placement), placement)
    if placement.content == placement.canvas:
        return content
    canvas = Image.new(picture.mode, placement.canvas, (fill,) * len(picture.getbands()))
    canvas.paste(content, placement.offset)
    return canvas


def place_mask(mask: Image.Image | None, placement: Placement) -> Image.Image:
    """The mask ("L", 255 = use; None = use all) of the same model image; padding and border are 0."""
    if mask is None:
        factor = _reduction(placement.source, placement)
        mask = Image.new("L", tuple(-(-side // factor) for side in placement.source) if factor else (1, 1), 255)
    smooth = replace(placement, resampling=Image.Resampling.BOX)
    return place(mask, smooth, fill=0).point([0] * 128 + [255] * 128)


def _bordered(picture: Image.Image, placement: Placement) -> Image.Image:
    factor = _reduction(picture.size, placement)
    if not factor:
        return picture
    picture = picture.reduce(factor) if factor > 1 else picture
    factor_x, factor_y = picture.width / placement.source[0], picture.height / placement.source[1]
    left, right = (round(side * factor_x) for side in placement.border[::2])
    top, bottom = (round(side * factor_y) for side in placement.border[1::2])
    bordered = Image.new(picture.mode, (left + picture.width + right, top + picture.height + bottom))
    bordered.paste(picture, (left, top))
    return bordered


def _reduction(size: Size, placement: Placement) -> int:
    """By how much a picture of this size is to be shrunk before its border is added; 0 if it gets none."""
    if not any(placement.border):
        return 0
    left, top, right, bottom = placement.border
    wide, high = 1 + (left + right) / placement.source[0], 1 + (top + bottom) / placement.source[1]
    return max(1, math.ceil(math.sqrt(size[0] * wide * size[1] * high / MOST_PIXELS)))


def _resized(picture: Image.Image, placement: Placement) -> Image.Image:
    """Resized and cut; where that would be large in between, only the cut is made."""
    if placement.resized[0] * placement.resized[1] <= MOST_PIXELS:
        return picture.resize(placement.resized, placement.resampling).crop(placement.crop)
    scale_x, scale_y = picture.width / placement.resized[0], picture.height / placement.resized[1]
    left, top, right, bottom = placement.crop
    box = (left * scale_x, top * scale_y, right * scale_x, bottom * scale_y)
    return picture.resize(placement.content, placement.resampling, box)


def _whole(source: Size, resized: Size, canvas: Size | None = None, **options) -> Placement:
    """The whole picture, centred on the canvas (the smaller half of the padding on the left and top)."""
    canvas = canvas or resized
    offset = ((canvas[0] - resized[0]) // 2, (canvas[1] - resized[1]) // 2)
    return Placement(source, resized, (0, 0, *resized), canvas, offset, **options)


def _to_patches(length: float, patch_size: int) -> int:
    """The nearest multiple of the patch (halves to even, as the public loader does), at least one patch."""
    return max(1, round(length / patch_size)) * patch_size


def _plan_keep(size: Size, resolution: int, patch_size: int) -> Placement:
    """Longer side = resolution; the other is rounded to patches, or padded where rounding would stretch it visibly."""
    long, short = max(size), min(size)
    exact = short * (resolution / long)
    rounded = inner = _to_patches(exact, patch_size)
    if abs(rounded - exact) > MAX_STRETCH * exact:
        rounded, inner = math.ceil(exact / patch_size) * patch_size, max(1, round(exact))
    if size[0] >= size[1]:
        return _whole(size, (resolution, inner), (resolution, rounded))
    return _whole(size, (inner, resolution), (rounded, resolution))


def _plan_crop(size: Size, resolution: int, patch_size: int) -> Placement:
    height = _to_patches(size[1] * (resolution / size[0]), patch_size)
    top, kept = max(0, (height - resolution) // 2), min(height, resolution)
    return Placement(size, (resolution, height), (0, top, resolution, top + kept), (resolution, kept))


def _plan_pad(size: Size, resolution: int, patch_size: int) -> Placement:
    if size[0] >= size[1]:
        resized = (resolution, _to_patches(size[1] * (resolution / size[0]), patch_size))
    else:
        resized = (_to_patches(size[0] * (resolution / size[1]), patch_size), resolution)
    return _whole(size, resized, (resolution, resolution))


def _plan_square(size: Size, resolution: int, patch_size: int) -> Placement:
    side = max(size)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    border = (left, top, side - size[0] - left, side - size[1] - top)
    return _whole(size, (resolution, resolution), border=border)


def _plan_pi3(sizes: Sequence[Size], pixel_limit: int, patch_size: int) -> list[Placement]:
    """Every picture is resampled to one size, which the first one decides."""
    width, height = sizes[0]
    scale = math.sqrt(pixel_limit / (width * height))
    across, down = (max(1, round(side * scale / patch_size)) for side in (width, height))
    while across * down * patch_size**2 > pixel_limit:
        if down == 1 or (across > 1 and across / down > width / height):
            across -= 1
        else:
            down -= 1
    target = (across * patch_size, down * patch_size)
    return [_whole(size, target, resampling=Image.Resampling.LANCZOS) for size in sizes]


def _pad_to_largest(placements: list[Placement]) -> list[Placement]:
    """Canvases of different sizes are padded to the largest width and height."""
    canvas = (max(each.canvas[0] for each in placements), max(each.canvas[1] for each in placements))
    return [_on_canvas(each, canvas) for each in placements]


def _on_canvas(placement: Placement, canvas: Size) -> Placement:
    spare_x, spare_y = canvas[0] - placement.canvas[0], canvas[1] - placement.canvas[1]
    x, y = placement.offset
    return replace(placement, canvas=canvas, offset=(x + spare_x // 2, y + spare_y // 2))


def _letterbox_odd_ones(placements: list[Placement]) -> list[Placement]:
    """The most common canvas (of equally common ones the first) serves all; pictures of another shape fit inside it."""
    canvas = Counter(each.canvas for each in placements).most_common(1)[0][0]
    return [each if each.canvas == canvas else _fit_inside(each.source, canvas) for each in placements]


def _fit_inside(size: Size, canvas: Size) -> Placement:
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    width, height = (min(limit, max(1, round(side * scale))) for side, limit in zip(size, canvas, strict=True))
    return _whole(size, (width, height), canvas)


RULES: dict[str, Callable[[Size, int, int], Placement]] = {
    "keep": _plan_keep,
    "crop": _plan_crop,
    "pad": _plan_pad,
    "square": _plan_square,
}
RESIZE_MODES = (*RULES, "pi3")
