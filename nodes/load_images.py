"""Images of a scene, from files or from a graph, in the size that a model wants."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike

import numpy as np
from torch import Tensor

from ..models.checkpoints import LoadedModel
from ..models.progress import Progress
from ..scene import images
from ..scene.images import ImageSet

PUBLIC_RESOLUTION, PUBLIC_PATCH_SIZE = 518, 14


def load_images(
    source: str | PathLike | Sequence[str | PathLike],
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
    masks: str | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> ImageSet:
    """Files, a folder, a pattern or a video as images of one size; options are explained in nodes/parameters.py.

    Without a model they get the size of the public ones; `for_model` then reads them again for the one that runs.
    """
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
