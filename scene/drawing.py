"""Pictures drawn as model images: each is placed where the sizes of all of them ask for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..models.progress import Progress
from .image_set import ImageSet
from .picture import Picture
from .preprocess import Placement, Size, place, place_mask, plan


@dataclass(frozen=True)
class Resize:
    """How images become equal in size; preprocess.plan explains the modes."""

    mode: str = "keep"
    resolution: int = 518
    patch_size: int = 14
    pixel_limit: int = 255_000  # for mode "pi3"

    def plan(self, sizes: Sequence[Size]) -> list[Placement]:
        """One placement for each size."""
        return plan(sizes, self.mode, self.resolution, self.patch_size, self.pixel_limit)


@dataclass(frozen=True)
class Source:
    """One picture that can be read, again if need be."""

    name: str
    path: Path | None
    read_size: Callable[[], Size]
    read: Callable[[], Picture]
    frame: int | None = None  # its number in a file that holds several


@dataclass(frozen=True)
class Drawn:
    """One picture as a model image."""

    name: str
    path: Path | None
    placement: Placement
    pixels: np.ndarray  # (H, W, 3) uint8
    mask: np.ndarray | None  # (H, W) bool; None = use everything
    frame: int | None = None  # its number, where the path is a video or holds several pictures


def draw(
    sources: Sequence[Source], how: Resize, strict: bool, progress: Progress | None
) -> tuple[list[Drawn], list[tuple[str, str]]]:
    """Read and place every picture. The plan follows from all sizes, so it is made anew when a picture turns out to be
    unreadable or of another size than its header says; only pictures whose place changed are then read again."""
    problems: dict[int, str] = {}
    sizes: dict[int, Size] = {}
    drawn: dict[int, Drawn] = {}
    for index, source in enumerate(sources):
        size = _attempt(source.read_size, index, problems, strict)
        if size:
            sizes[index] = size
    while True:
        planned = dict(zip(sizes, how.plan(list(sizes.values())), strict=True))
        todo = [
            index for index, placement in planned.items() if index not in drawn or drawn[index].placement != placement
        ]
        if not todo:
            break
        for index in todo:
            picture = _attempt(sources[index].read, index, problems, strict)
            if picture is None:
                del sizes[index]
                drawn.pop(index, None)
                continue
            sizes[index] = picture.size
            if picture.size == planned[index].source:
                source = sources[index]
                drawn[index] = replace(draw_one(source.name, source.path, picture, planned[index]), frame=source.frame)
            if progress:
                progress("images", len(drawn), len(sizes))
    skipped = [(sources[index].name, problems[index]) for index in sorted(problems)]
    if not drawn:
        raise ValueError(_nothing_left([sentence for _, sentence in skipped]))
    return [drawn[index] for index in sorted(drawn)], skipped


def _attempt(read: Callable, index: int, problems: dict[int, str], strict: bool):
    try:
        return read()
    except ValueError as error:
        if strict:
            raise
        problems[index] = str(error)
        return None


def _nothing_left(sentences: Sequence[str]) -> str:
    count, sentences = len(sentences), list(dict.fromkeys(sentences))
    if len(sentences) == 1:
        return sentences[0]
    more = f" ... and {len(sentences) - 3} more." if len(sentences) > 3 else ""
    return f"None of the {count} images can be used: {' '.join(sentences[:3])}{more}"


def draw_one(name: str, path: Path | None, picture: Picture, placement: Placement) -> Drawn:
    """A picture at its place."""
    pixels = np.asarray(place(picture.image, placement))
    return Drawn(name, path, placement, pixels, mask_array(picture.mask, placement))


def mask_array(mask: Image.Image | None, placement: Placement) -> np.ndarray | None:
    """A mask ("L", bright = use) at its picture's place: (H, W) bool, False in the padding; None = use everything."""
    if mask is None and placement.covers_canvas():
        return None
    return np.asarray(place_mask(mask, placement)) > 0


def image_set(drawn: Sequence[Drawn], skipped: Sequence[tuple[str, str]]) -> ImageSet:
    """All of them as one set; its masks are None where none leaves anything out."""
    masks = None
    if any(each.mask is not None and not each.mask.all() for each in drawn):
        shape = drawn[0].pixels.shape[:2]
        masks = np.stack([np.ones(shape, bool) if each.mask is None else each.mask for each in drawn])
    return ImageSet(
        images=np.stack([each.pixels for each in drawn]),
        names=tuple(each.name for each in drawn),
        original_sizes=np.array([each.placement.source for each in drawn], dtype=np.int64),
        scale_offset=np.array([each.placement.scale_offset() for each in drawn], dtype=np.float64),
        masks=masks,
        paths=tuple(each.path for each in drawn),
        skipped=tuple(skipped),
        video_frames=tuple(each.frame for each in drawn),
    )
