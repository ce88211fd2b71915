"""Pictures of depth while a network is still at work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..models.checkpoints import LoadedModel
from ..models.dense_head import depth_from_raw
from ..models.pi3 import local_points_from_raw
from ..scene.preview import DEPTH_STOPS, colorize

Show = Callable[[np.ndarray], None]
"""Takes a picture (H, W, 3) uint8."""


def depth_previews(model: LoadedModel, show: Show) -> Any:
    """A context in which `show` gets the depth of the last frame of each part that the dense head has done."""
    head = model.model.depth_head if model.family == "vggt" else model.model.point_head
    if head is None:  # a VGGT that knows points only
        return nullcontext()
    last = head.scratch.output_conv2[-1] if model.family == "vggt" else head  # VGGT's head runs in two halves
    return _watched(last, lambda raw: show(depth_picture(_depth(model.family, raw[-1:])[0])))


def depth_picture(depth: Tensor) -> np.ndarray:
    """Depth (H, W) of one frame as a picture (H, W, 3) uint8 on a scale of its own: near is light."""
    logarithm = np.log(np.clip(depth.detach().float().cpu().numpy(), 1e-6, None))
    low, high = np.percentile(logarithm, (1, 99))
    return colorize((high - logarithm) / max(high - low, 1e-4), DEPTH_STOPS)


def _depth(family: str, raw: Tensor) -> Tensor:
    """(1, H, W) of what a head gives for one frame."""
    return depth_from_raw(raw)[0] if family == "vggt" else local_points_from_raw(raw)[..., 2]


@contextmanager
def _watched(head: nn.Module, seen: Callable[[Tensor], None]) -> Iterator[None]:
    handle = head.register_forward_hook(lambda module, inputs, output: seen(output))
    try:
        yield
    finally:
        handle.remove()
