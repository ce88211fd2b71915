"""N images of one size, ready for a model, and where each came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N images of one size, ready for a model, and where each came from."""

    images: np.ndarray  # (N, H, W, 3) uint8
    names: tuple[str, ...]  # unique
    original_sizes: np.ndarray  # (N, 2) int64: width, height after EXIF rotation
    scale_offset: np.ndarray  # (N, 4) float64: sx, sy, ox, oy with x_original = sx * x_model + ox; pixel corner 0 is 0
    masks: np.ndarray | None  # (N, H, W) bool, True = use, padding is False; None = use everything
    paths: tuple[Path | None, ...]
    skipped: tuple[tuple[str, str], ...] = ()  # (name, sentence) of what was not used, or used otherwise
    video_frames: tuple[int | None, ...] = ()  # the frame's number where the path is a video or holds several pictures
    recipe: dict[str, Any] | None = None  # how files were read, so that nodes.load_images can do it for another model

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        height, width = self.images.shape[1:3]
        left_out = f", {len(self.skipped)} notes" if self.skipped else ""
        return f"ImageSet({len(self)} views of {width} x {height} px{left_out})"

    def _repr_html_(self) -> str:
        from .notebook import views_html

        return views_html(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user must be told of the loading, a sentence each: what was left out, or is used otherwise."""
        used = {*self.names, *(path.name for path in self.paths if path is not None)}
        notes = (f"{'note' if name in used else 'left out'}: {reason}" for name, reason in self.skipped)
        return tuple(dict.fromkeys(notes))


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
