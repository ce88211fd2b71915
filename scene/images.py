"""Images in: files, folders, globs, videos or arrays become one ImageSet of equal size for a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..models.progress import Progress
from .arrays import pictures_from_arrays
from .files import PathLike, choose, find_files, find_masks, in_order, is_video, number_repeats, unique_names
from .picture import Picture, read_mask, read_picture, read_size
from .preprocess import Placement, Size, check_options, place, place_mask, plan
from .video import VideoFrame, choose_frames, open_video, take_frames

# Which transparent pictures are put on white; the public loaders differ, and colours must equal theirs.
BLEND = {"keep": "all", "crop": "rgba", "pad": "rgba", "square": "rgba", "pi3": "none"}
ASPECT_TOLERANCE = 0.02
OVERSAMPLING = 2  # in mode "keep", JPEG files are decoded at no more than about this times the size that is needed


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N images of one size, ready for a model, and where each came from."""

    images: np.ndarray  # (N, H, W, 3) uint8
    names: tuple[str, ...]  # unique
    original_sizes: np.ndarray  # (N, 2) int64: width, height after EXIF rotation
    scale_offset: np.ndarray  # (N, 4) float64: sx, sy, ox, oy with x_original = sx * x_model + ox; pixel corner 0 is 0
    masks: np.ndarray | None  # (N, H, W) bool, True = use, padding is False; None = use everything
    paths: tuple[Path | None, ...]
    skipped: tuple[tuple[str, str], ...] = ()  # (name, sentence) of what was not used
    video_frames: tuple[int | None, ...] = ()  # number of the frame where the path is a video; empty: no video
    recipe: dict[str, Any] | None = None  # how files were read, so that nodes.load_images can do it for another model

    def __len__(self) -> int:
        return len(self.images)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user must be told of the loading, a sentence each: what was left out, or is used otherwise."""
        return tuple(f"{'note' if name in self.names else 'left out'}: {reason}" for name, reason in self.skipped)


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


@dataclass(frozen=True)
class Drawn:
    """One picture as a model image."""

    name: str
    path: Path | None
    placement: Placement
    pixels: np.ndarray  # (H, W, 3) uint8
    mask: np.ndarray | None  # (H, W) bool; None = use everything
    video_frame: int | None = None  # its number, where the path is a video


def load_images(
    source: PathLike | Sequence[PathLike],
    *,
    resize: str = "keep",
    resolution: int = 518,
    patch_size: int = 14,
    pixel_limit: int = 255_000,
    order: str = "name",
    start: int = 0,
    every: int = 1,
    limit: int | None = None,
    selection: str = "first",
    frame_rate: float | None = None,
    masks: PathLike | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> ImageSet:
    """Read a folder, glob, file, list of files or one video as images of one size.

    resize: "keep" (longer side = resolution, sides multiples of the patch; odd shapes are letterboxed and masked),
    VGGT's "crop", "pad" and "square", or "pi3" (at most pixel_limit pixels). order: "name" as files.find_files gives
    them, "time" as the photos were taken. start, every, limit and selection
    ("first" or "even") choose among the images; of a video, frame_rate takes so many frames a second, else the frames
    are spread evenly. masks: folder of same-named masks, bright = use; transparency masks too.
    What cannot be read is skipped and told in `skipped`, unless strict or nothing is left: then ValueError.
    """
    check_options(resize, resolution, patch_size, pixel_limit)
    how = Resize(resize, resolution, patch_size, pixel_limit)
    files = in_order(find_files(source), order)
    if is_video(files[0]):
        choice = (frame_rate, start, every, limit, selection)
        drawn, skipped = _draw_video(files[0], choice, how, strict, progress)
    elif frame_rate is not None:
        raise ValueError(f"frame_rate is {frame_rate:g}: it is for a video; use every or limit to choose among images.")
    else:
        chosen = [files[index] for index in choose(len(files), start, every, limit, selection)]
        if not chosen:
            raise ValueError(f"start is {start}, but there are only {len(files)} images.")
        sources = [_file_source(name, path, how) for name, path in zip(unique_names(chosen), chosen, strict=True)]
        drawn, skipped = _draw(sources, how, strict, progress)
    if masks is not None:
        drawn, notes = _with_masks(drawn, masks, strict)
        skipped += notes
    return _image_set(drawn, skipped)


def images_from_arrays(
    arrays: Sequence[np.ndarray] | np.ndarray,
    *,
    names: Sequence[str] | None = None,
    masks: Sequence[np.ndarray] | np.ndarray | None = None,
    resize: str = "keep",
    resolution: int = 518,
    patch_size: int = 14,
    pixel_limit: int = 255_000,
    progress: Progress | None = None,
) -> ImageSet:
    """Images that are in memory already: arrays or tensors (H, W), (H, W, 1, 2, 3 or 4) or a batch of these.

    Values are uint8, uint16, bool, or float in [0, 1]. masks: (H, W) each, above 0.5 = use.
    """
    check_options(resize, resolution, patch_size, pixel_limit)
    pictures = pictures_from_arrays(arrays, masks, BLEND[resize])
    if names is not None and len(names) != len(pictures):
        raise ValueError(f"{len(names)} names were given for {len(pictures)} images: give one for each.")
    names = number_repeats(names or [f"image_{number:04d}.png" for number in range(1, len(pictures) + 1)])
    sources = [
        Source(name, None, lambda size=picture.size: size, lambda picture=picture: picture)
        for name, picture in zip(names, pictures, strict=True)
    ]
    drawn, _ = _draw(sources, Resize(resize, resolution, patch_size, pixel_limit), True, progress)
    return _image_set(drawn, [])


def take_views(views: ImageSet, chosen: Sequence[int]) -> ImageSet:
    """The views of these indices, in this order."""
    if list(chosen) == list(range(len(views))):
        return views
    index = np.asarray(chosen, dtype=np.int64)
    parts = {name: getattr(views, name)[index] for name in ("images", "original_sizes", "scale_offset")}
    parts["masks"] = None if views.masks is None else views.masks[index]
    for name in ("names", "paths", "video_frames"):
        whole = getattr(views, name)
        parts[name] = tuple(whole[i] for i in chosen) if whole else whole
    if views.recipe is not None:
        parts["recipe"] = {**views.recipe, "views": [views.recipe["views"][i] for i in chosen]}
    return replace(views, **parts)


def _file_source(name: str, path: Path, how: Resize) -> Source:
    enough = OVERSAMPLING * how.resolution if how.mode == "keep" else None  # the others must equal the public loaders
    return Source(name, path, lambda: read_size(path), lambda: read_picture(path, BLEND[how.mode], enough))


def _draw(
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
                drawn[index] = _draw_one(sources[index].name, sources[index].path, picture, planned[index])
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
    if len(sentences) == 1:
        return sentences[0]
    more = f" ... and {len(sentences) - 3} more." if len(sentences) > 3 else ""
    return f"None of the {len(sentences)} images can be used: {' '.join(sentences[:3])}{more}"


def _draw_one(name: str, path: Path | None, picture: Picture, placement: Placement) -> Drawn:
    pixels = np.asarray(place(picture.image, placement))
    return Drawn(name, path, placement, pixels, _mask_array(picture.mask, placement))


def _mask_array(mask: Image.Image | None, placement: Placement) -> np.ndarray | None:
    if mask is None and placement.covers_canvas():
        return None
    return np.asarray(place_mask(mask, placement)) > 0


def _draw_video(
    path: Path, choice: tuple, how: Resize, strict: bool, progress: Progress | None
) -> tuple[list[Drawn], list[tuple[str, str]]]:
    """The chosen frames. Where their sizes turn out to differ, they are read again, as all have other places then."""
    info = open_video(path, progress)

    def choose_among(times: np.ndarray) -> list[int]:
        chosen = choose_frames(times, *choice)
        if not chosen:
            raise ValueError(f"start is {choice[1]}, but {path.name} has only {len(times)} frames to choose from.")
        return chosen

    placements: dict[Size, Placement] = {}

    def draw(frame: VideoFrame) -> Drawn:
        size = frame.picture.size
        if size not in placements:
            placements[size] = how.plan([size])[0]
        name = f"{path.stem}_{frame.seconds:08.3f}s.png"
        return replace(_draw_one(name, path, frame.picture, placements[size]), video_frame=frame.number)

    drawn, damage = take_frames(info, choose_among, draw, progress, BLEND[how.mode])
    if strict and damage:
        raise ValueError(damage)
    if len(placements) > 1:
        sizes = [each.placement.source for each in drawn]
        placements.update(zip(sizes, how.plan(sizes), strict=True))
        drawn, _ = take_frames(info, choose_among, draw, progress, BLEND[how.mode])
    names = number_repeats(each.name for each in drawn)
    notes = [(path.name, sentence) for sentence in (*info.notes, damage) if sentence]
    return [replace(each, name=name) for each, name in zip(drawn, names, strict=True)], notes


def _with_masks(drawn: list[Drawn], folder: PathLike, strict: bool) -> tuple[list[Drawn], list[tuple[str, str]]]:
    """The pictures with the masks of a folder; a missing or bad mask leaves its picture unmasked, with a note."""
    masked, notes = [], []
    for each, path in zip(drawn, find_masks(folder, [each.name for each in drawn]), strict=True):
        try:
            masked.append(_with_mask(each, path))
        except ValueError as error:
            if strict:
                raise
            masked.append(each)
            notes.append((each.name, f"{error} The whole image is used."))
    return masked, notes


def _with_mask(drawn: Drawn, path: Path | None) -> Drawn:
    if path is None:
        raise ValueError(f"{drawn.name} has no mask in the folder of masks.")
    mask, size = read_mask(path), drawn.placement.source
    if abs(mask.width * size[1] / (mask.height * size[0]) - 1) > ASPECT_TOLERANCE:
        raise ValueError(
            f"The mask {path.name} is {mask.width} x {mask.height}, but {drawn.name} is {size[0]} x {size[1]}."
        )
    use = _mask_array(mask, drawn.placement)
    return replace(drawn, mask=use if drawn.mask is None else use & drawn.mask)


def _image_set(drawn: Sequence[Drawn], skipped: Sequence[tuple[str, str]]) -> ImageSet:
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
        video_frames=tuple(each.video_frame for each in drawn),
    )
