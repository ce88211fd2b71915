"""Images in: files, folders, globs, videos or arrays become one ImageSet of equal size for a model."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..models.progress import Progress
from .arrays import pictures_from_arrays
from .drawing import Drawn, Resize, Source, draw, draw_one, image_set, mask_array
from .files import PathLike, choose, find_files, in_order, is_video, number_repeats, unique_names
from .image_set import ImageSet, take_views
from .masks import check_mask_size, find_masks
from .picture import PictureReader, read_mask
from .picture_file import picture_frames
from .preprocess import Placement, Size, check_options
from .video import VideoFrame, choose_frames, open_video, take_frames

__all__ = ["ImageSet", "images_from_arrays", "load_images", "take_views"]

# Which transparent pictures are put on white; the public loaders differ, and colours must equal theirs.
BLEND = {"keep": "all", "crop": "rgba", "pad": "rgba", "square": "rgba", "pi3": "none"}
OVERSAMPLING = 2  # in mode "keep", JPEG files are decoded at no more than about this times the size that is needed


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

    All pictures of an animation or of a multi-page file are images of their own.
    resize: "keep" (longer side = resolution, sides multiples of the patch; odd shapes are letterboxed and masked),
    VGGT's "crop", "pad" and "square", or "pi3" (at most pixel_limit pixels). order: "name" as files.find_files gives
    them, "time" as the photos were taken. start, every, limit and selection
    ("first" or "even") choose among the images; of a video, frame_rate takes so many frames a second, else the frames
    are spread evenly. masks: a folder of masks, or one for all (see masks.find_masks); bright = use.
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
        with PictureReader() as reader:
            sources, skipped = _file_sources(files, (start, every, limit, selection), how, reader)
            drawn, problems = draw(sources, how, strict, progress)
        skipped += problems
    if masks is not None:
        drawn, notes = _with_masks(drawn, masks, strict)
        skipped += notes
    return image_set(drawn, skipped)


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

    Values are uint8, uint16, bool, or float in [0, 1]. masks: (H, W) each, or one for all; above 0.5 = use.
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
    drawn, _ = draw(sources, Resize(resize, resolution, patch_size, pixel_limit), True, progress)
    return image_set(drawn, [])


def _file_sources(
    files: Sequence[Path], choice: tuple, how: Resize, reader: PictureReader
) -> tuple[list[Source], list[tuple[str, str]]]:
    """The chosen ones of all pictures in the files, and notes on files that hold several."""
    pages = [(path, page, frames) for path in files for frames in [picture_frames(path)] for page in range(len(frames))]
    chosen = [pages[index] for index in choose(len(pages), *choice)]
    if not chosen:
        raise ValueError(f"start is {choice[0]}, but there are only {len(pages)} images.")
    several = {path: len(frames) for path, _, frames in chosen if len(frames) > 1}
    names = dict(zip(several, unique_names(list(several)), strict=True))
    photos = iter(unique_names([path for path, _, _ in chosen if path not in several]))
    wanted = [
        _page_name(names[path], page, frames) if path in several else next(photos) for path, page, frames in chosen
    ]
    sources = [
        _file_source(name, path, frames[page] if len(frames) > 1 else None, how, reader)
        for name, (path, page, frames) in zip(number_repeats(wanted), chosen, strict=True)
    ]
    return sources, [
        (path.name, f"{path.name} holds {count} pictures: each is a view.") for path, count in several.items()
    ]


def _page_name(name: str, page: int, frames: Sequence[int]) -> str:
    return f"{os.path.splitext(name)[0]}_{page + 1:0{len(str(len(frames)))}d}.png"


def _file_source(name: str, path: Path, frame: int | None, how: Resize, reader: PictureReader) -> Source:
    enough = OVERSAMPLING * how.resolution if how.mode == "keep" else None  # the others must equal the public loaders
    blend = BLEND[how.mode]
    return Source(name, path, lambda: reader.size(path, frame), lambda: reader.read(path, blend, enough, frame), frame)


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
        return replace(draw_one(name, path, frame.picture, placements[size]), frame=frame.number)

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


def _with_masks(drawn: list[Drawn], source: PathLike, strict: bool) -> tuple[list[Drawn], list[tuple[str, str]]]:
    """The pictures with their masks; a missing or bad mask leaves its picture unmasked, with a note."""
    found, how = find_masks(source, [each.name for each in drawn], [each.path for each in drawn])
    masked, notes = [], [(drawn[0].name, sentence) for sentence in how]
    read: dict[Path | None, Image.Image] = {}  # the last one, which may serve the next picture too
    for each, mask in zip(drawn, found, strict=True):
        try:
            read = {mask.path: read.get(mask.path) or read_mask(mask.file())}
            masked.append(_with_mask(each, read[mask.path], mask.path))
            if not masked[-1].mask.any() and (each.mask is None or each.mask.any()):
                notes.append((each.name, f"The mask {mask.path.name} leaves out all of {each.name}."))
        except ValueError as error:
            if strict:
                raise
            masked.append(each)
            notes.append((each.name, f"{error} The whole image is used."))
    return masked, notes


def _with_mask(drawn: Drawn, mask: Image.Image, path: Path) -> Drawn:
    check_mask_size(path.name, mask.size, drawn.name, drawn.placement.source)
    use = mask_array(mask, drawn.placement)
    return replace(drawn, mask=use if drawn.mask is None else use & drawn.mask)
