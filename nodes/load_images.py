"""Images of a scene, from files or from a graph, in the size that a model wants."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike

import numpy as np
from PIL.Image import Image
from torch import Tensor

from ..models.checkpoints import LoadedModel
from ..models.progress import Progress
from ..scene import images
from ..scene.arrays import holds_pictures, single_arrays
from ..scene.files import choose
from ..scene.images import ImageSet
from .parameters import documented

PUBLIC_RESOLUTION, PUBLIC_PATCH_SIZE = 518, 14


Picture = np.ndarray | Tensor | Image
Source = str | PathLike | Picture | Sequence[str | PathLike] | Sequence[Picture]


@documented
def load_images(
    source: Source,
    *,
    model: LoadedModel | None = None,
    resize: str = "keep",
    resolution: int | None = None,
    order: str = "name",
    start: int = 0,
    every: int = 1,
    limit: int | None = None,
    selection: str = "first",
    frame_rate: float | None = None,
    masks: str | PathLike | Sequence[Tensor | np.ndarray] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> ImageSet:
    """Files, a folder, a pattern, a video or pictures in memory as images of one size.

    source: names of files, or Pillow images, or arrays and tensors (height, width, 3) or (N, height, width, 3), uint8
    or floats from 0 to 1; masks of what is in memory are arrays (height, width), above 0.5 = use.
    Without a model they get the size of the public ones; `for_model` then reads them again for the one that runs.
    """
    if holds_pictures(source):
        if order != "name" or frame_rate is not None:
            raise ValueError("order and frame_rate are for files; leave them out for images in memory.")
        choice = (start, every, limit, selection)
        return _from_memory(source, masks, choice, image_size(model, resize, resolution), resize, progress)
    size = image_size(model, resize, resolution)
    options = {
        "order": order,
        "start": start,
        "every": every,
        "limit": limit,
        "selection": selection,
        "frame_rate": frame_rate,
        "masks": masks or None,
        "strict": strict,
    }
    how = {"resize": resize, "resolution": size[0], "patch_size": size[1]}
    found = images.load_images(source, **how, **options, progress=progress)
    wanted = {"source": source, "resize": resize, "resolution": resolution, **options}
    return replace(found, recipe={"options": wanted, "size": size, "views": list(range(len(found)))})


def _from_memory(
    source: Source,
    masks: Sequence[Tensor | np.ndarray] | None,
    choice: tuple[int, int, int | None, str],
    size: tuple[int, int],
    resize: str,
    progress: Progress | None,
) -> ImageSet:
    """Pictures in memory, those that were chosen, with their masks."""
    if isinstance(masks, str | PathLike):
        raise ValueError(f"masks is {str(masks)!r}, but the images are in memory; give an array for each of them.")
    views, use = single_arrays(source), None if masks is None else list(masks)
    if use is not None and len(use) != len(views):
        raise ValueError(f"{len(use)} masks were given for {len(views)} images: give one for each.")
    chosen = choose(len(views), *choice)
    if not chosen:
        raise ValueError(f"start is {choice[0]}, but there are only {len(views)} images.")
    return images.images_from_arrays(
        [views[place] for place in chosen],
        names=[f"image_{place + 1:04d}.png" for place in chosen],
        masks=None if use is None else [use[place] for place in chosen],
        resize=resize,
        resolution=size[0],
        patch_size=size[1],
        progress=progress,
    )


def for_model(
    prepared: ImageSet,
    model: LoadedModel,
    *,
    resize: str | None = None,
    resolution: int | None = None,
    progress: Progress | None = None,
) -> ImageSet:
    """The same images in the size that the model wants, read again where that is another one.

    A size that was asked for when they were loaded stays; `resize` and `resolution`, given here, go before it. Images
    that came from memory stay as they are. Where the files are not what they were, the images stay as well, and a note
    says so.
    """
    if prepared.recipe is None:
        return prepared
    asked = prepared.recipe["options"]
    changed = {"resize": resize or asked["resize"], "resolution": resolution or asked["resolution"]}
    if resize == "pi3" and resolution is None:
        changed["resolution"] = None
    size = image_size(model, **changed)
    if changed["resize"] == asked["resize"] and size == tuple(prepared.recipe["size"]):
        return prepared
    images.check_options(changed["resize"], *size)
    try:
        found = load_images(**{**asked, **changed}, model=model, progress=progress)
    except ValueError as error:
        return _as_it_was(prepared, str(error))
    if len(found) <= max(prepared.recipe["views"]):
        return _as_it_was(prepared, "some are gone.")
    found = images.take_views(found, prepared.recipe["views"])
    return found if found.names == prepared.names else _as_it_was(prepared, "others lie there now.")


def _as_it_was(prepared: ImageSet, reason: str) -> ImageSet:
    height, width = prepared.images.shape[1:3]
    sentence = f"The images stay at {width} x {height} pixels, because their files cannot be read again: {reason}"
    return replace(prepared, skipped=(*prepared.skipped, (prepared.names[0], sentence)))


def collect_images(
    batches: Sequence[Tensor | np.ndarray],
    *,
    masks: Sequence[Tensor | np.ndarray] | None = None,
    model: LoadedModel | None = None,
    resize: str = "keep",
    resolution: int | None = None,
) -> ImageSet:
    """Images (H, W, C) and batches (B, H, W, C) of any sizes, float in 0..1, as views of one scene.

    masks: (H, W) or (B, H, W), white = use; None uses everything.
    """
    chosen, patch_size = image_size(model, resize, resolution)
    views = [view for batch in batches for view in (batch if batch.ndim == 4 else [batch])]
    use = None if masks is None else [view for batch in masks for view in (batch if batch.ndim == 3 else [batch])]
    return images.images_from_arrays(views, masks=use, resize=resize, resolution=chosen, patch_size=patch_size)


def image_size(model: LoadedModel | None, resize: str, resolution: int | None) -> tuple[int, int]:
    """(resolution, patch size): what was asked for, else what the model was trained at."""
    if resize == "pi3" and resolution is not None:
        raise ValueError(f"resolution is {resolution}, but resize pi3 has a size of its own; leave one of them out.")
    if model is None:
        return resolution or PUBLIC_RESOLUTION, PUBLIC_PATCH_SIZE
    return resolution or model.network.image_size, model.network.patch_size
