"""Global layers left out of a model, as in the paper's experiment on which of them matter."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ...models.pi3 import Pi3
from ...models.vggt import VGGT
from ..methods.manyview import ManyViewMethod
from ..scene import Prediction

PLACES = ("front", "back", "both", "middle")


def chosen_layers(place: str, count: int, depth: int) -> list[int]:
    """`count` of `depth` layers: the first, the last, both ends (the front gets the odd one) or the centre."""
    if place not in PLACES:
        raise ValueError(f"Layers are dropped at {', '.join(PLACES)}, got {place!r}.")
    if not 0 <= count <= depth:
        raise ValueError(f"From 0 to {depth} layers can be dropped, got {count}.")
    if place == "front":
        return list(range(count))
    if place == "back":
        return list(range(depth - count, depth))
    if place == "both":
        front = (count + 1) // 2
        return [*range(front), *range(depth - (count - front), depth)]
    first = (depth - count) // 2
    return list(range(first, first + count))


def global_blocks(model: VGGT | Pi3) -> list[nn.Module]:
    """The blocks that see all frames, in order."""
    return list(model.aggregator.global_blocks) if isinstance(model, VGGT) else list(model.decoder)[1::2]


@contextmanager
def without_layers(model: VGGT | Pi3, layers: Collection[int]) -> Iterator[None]:
    """Inside the block, these global layers (attention and MLP) hand on what they get."""
    blocks = [global_blocks(model)[layer] for layer in layers]
    for block in blocks:
        block.forward = hand_on
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # that of the instance; the class' own comes back


def hand_on(x: Any, *others: Any, **options: Any) -> tuple[Any, None]:
    """The block's input as its output."""
    return x, None


class WithoutLayers(ManyViewMethod):
    """A model without some global layers, as a method."""

    def __init__(self, loaded: Any, place: str, count: int) -> None:
        super().__init__(loaded, f"{place} {count}", baseline=f"{loaded.name} {place} 0")
        self.place, self.count = place, count
        self.layers = chosen_layers(place, count, len(global_blocks(loaded.model)))

    def settings(self) -> dict[str, Any]:
        """Those of the model, and what is left out."""
        return super().settings() | {"dropped_layers": self.layers}

    def predict(self, images: Any) -> Prediction:
        """As the model, without the layers."""
        with without_layers(self.loaded.model, self.layers):
            return super().predict(images)
