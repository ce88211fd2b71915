"""What VGGT's heads read from its layers, taken from each as soon as it is ready."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .aggregator import LayerTokens
from .dense_head import DenseHead
from .gathered import Gathered, brought


@dataclass
class HeadInputs:
    """`take` is called by the aggregator; afterwards the fields and `maps_of` hold what the heads ask for.

    dense: the dense heads that are wanted, by name. kept_layers: the four that dense and track heads read.
    special: special tokens of a frame. precision: makes the context in which dense heads compute. maps_on: where maps
    wait for their heads; None: where they are made.
    """

    dense: Mapping[str, DenseHead]
    kept_layers: Sequence[int]
    camera_layer: int | None  # None: no cameras wanted
    wants_tracks: bool
    special: int
    image_size: tuple[int, int]
    frame_chunk: int
    precision: Callable[[], AbstractContextManager]
    maps_on: str | torch.device | None = None
    camera_tokens: Tensor | None = None  # (B, N, 2C)
    track_tokens: dict[int, Tensor] = field(default_factory=dict)  # number of the kept layer -> (B, N, h*w, 2C)
    maps: dict[tuple[str, int], Tensor] = field(default_factory=dict)  # (head, number) -> (B*N, channels, h, w)

    @property
    def layers(self) -> set[int]:
        """The layers to be taken."""
        reads_maps = self.dense or self.wants_tracks
        return (set() if self.camera_layer is None else {self.camera_layer}) | set(
            self.kept_layers if reads_maps else ()
        )

    def take(self, layer: int, tokens: LayerTokens) -> None:
        """Take from a layer's tokens what any head needs."""
        if layer == self.camera_layer:
            self.camera_tokens = tokens.special(0)
        for number in (number for number, kept in enumerate(self.kept_layers) if kept == layer):
            if self.wants_tracks:
                self.track_tokens[number] = tokens.joined()[:, :, self.special :]
            if self.dense:
                self._project(number, tokens)

    def maps_of(self, head: str, first: int, end: int) -> list[Tensor]:
        """The four maps of the frames first..end - 1 of all scenes, one scene after the other."""
        device = next(self.dense[head].parameters()).device
        return [brought(self.maps[head, number][first:end], device) for number in range(len(self.kept_layers))]

    def _project(self, number: int, tokens: LayerTokens) -> None:
        """Tokens of some frames at a time to the maps of each head: those have fewer channels, and tokens are many."""
        frames = tokens.inside.shape[1]
        gathered = {name: Gathered(frames, self.maps_on) for name in self.dense}
        for first in range(0, frames, self.frame_chunk):
            both = tokens.joined(first, first + self.frame_chunk)[:, :, self.special :]  # (B, n, h*w, 2C)
            for name, head in self.dense.items():
                with self.precision():
                    found = head.project(number, both.flatten(0, 1), self.image_size)
                found = found.permute(0, 2, 3, 1)  # channels side by side, as convolutions like it
                gathered[name].add((found.unflatten(0, both.shape[:2]).transpose(0, 1),))
        for name, parts in gathered.items():
            (whole,) = parts.all()  # (N, B, h, w, channels)
            self.maps[name, number] = whole.transpose(0, 1).flatten(0, 1).permute(0, 3, 1, 2)
