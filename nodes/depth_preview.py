"""Pictures of depth while a network is still at work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..models.checkpoints import LoadedModel
from ..scene.preview import DEPTH_STOPS, colorize

Show = Callable[[np.ndarray], None]
"""Takes a picture (H, W, 3) uint8."""


def depth_previews(model: LoadedModel, show: Show) -> Any:
    """A context in which `show` gets the depth of the last frame of each part that the dense head has done."""
    tap = model.network.depth_tap()
    if tap is None:
        return nullcontext()
    module, depth = tap
    return _watched(module, lambda raw: show(depth_picture(depth(raw[-1:])[0])))


def depth_picture(depth: Tensor) -> np.ndarray:
    """Depth (H, W) of one frame as a picture (H, W, 3) uint8 on a scale of its own: near is light."""
    logarithm = np.log(np.clip(depth.detach().float().cpu().numpy(), 1e-6, None))
    low, high = np.percentile(logarithm, (1, 99))
    return colorize((high - logarithm) / max(high - low, 1e-4), DEPTH_STOPS)


@contextmanager
def _watched(head: nn.Module, seen: Callable[[Tensor], None]) -> Iterator[None]:
    handle = head.register_forward_hook(lambda module, inputs, output: seen(output))
    try:
        yield
    finally:
        handle.remove()
