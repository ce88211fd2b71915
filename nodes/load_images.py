"""Images of a scene, from files or from a graph, in the size that a model wants."""

from collections.abc import Sequence
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
    """Files, a folder, a pattern or a video as images of one size; options are explained in nodes/parameters.py."""
    chosen, patch_size = image_size(model, resize, resolution)
    return images.load_images(
        source,
        resize=resize,
        resolution=chosen,
        patch_size=patch_size,
        order=order,
        start=start,
        every=every,
        limit=limit,
        selection=selection,
        frame_rate=frame_rate,
        masks=masks or None,
        strict=strict,
        progress=progress,
    )


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
    encoder = model.model.config.encoder
    return resolution or encoder.image_size, encoder.patch_size
