"""The adapter of a family of networks: architecture, one run, its prediction, and the memory that it takes.

Nothing outside models/ asks which family a model is of; it asks its adapter, `LoadedModel.network`.

The estimate of memory: four moments can be the worst. When the encoder's tokens become the residual stream, inside
the last global layers, when the heads take what they need of the last layer, and the dense heads. All terms are bytes;
the counts of live tensors follow aggregator.py, lean.py, head_inputs.py and dense_head.py, and benchmarks/memory.py
compares the sum with measured peaks.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .. import convolutions
from ..attention import TokenLayout
from ..lean import TOKENS_AT_ONCE
from ..sparse.select import INDEX_LIMIT_BYTES, INDEX_LIMIT_PER_TOKEN
from .prediction import Prediction
from .workload import FLOAT32, Workload

POOLED = 0.2  # means, variances and centroids, of what queries (or keys) of all tokens take
LIVE_IN_PIECE = 8  # token widths in the weights' format that the MLP holds for a piece of tokens
# Maps of the head's last width at full size, alive at once with what convolutions need: with the kernels of
# convolutions.py, and without.
FULL_SIZE_MAPS, FULL_SIZE_MAPS_PLAIN = 1.4, 2.75

DepthTap = tuple[nn.Module, Callable[[Tensor], Tensor]]
"""The module whose output holds the depth of some frames, and how to read it: (M, ...) -> (M, H, W)."""


class Network(ABC):
    """What everything outside models/ may ask of a loaded model.

    Class attributes: `point_sources`, where world points can come from, the default first ("depth": depth and cameras,
    "points": a point head). `pixel_center`: the coordinate that its intrinsics give to the first pixel's centre.
    `keeps_maps`: its heads read maps of several layers, which have to wait for them (`maps` of the forward says where).
    """

    point_sources: ClassVar[tuple[str, ...]] = ("depth",)
    pixel_center: ClassVar[float] = 0.0
    keeps_maps: ClassVar[bool] = False

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    # --- architecture ---

    @property
    @abstractmethod
    def patch_size(self) -> int:
        """Pixels of a patch's side; sides of images are multiples of it."""

    @property
    @abstractmethod
    def image_size(self) -> int:
        """Pixels of the longer side that it was trained for."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Channels of a token in the global layers."""

    @property
    @abstractmethod
    def heads(self) -> int:
        """Attention heads of a global layer."""

    @property
    @abstractmethod
    def special_tokens(self) -> int:
        """Tokens that stand before the patches of each frame."""

    @property
    @abstractmethod
    def global_layers(self) -> int:
        """Number of global-attention layers."""

    def layout(self, frames: int, height: int, width: int) -> TokenLayout:
        """How global attention sees so many frames of H x W pixels."""
        return TokenLayout(frames, self.special_tokens, height // self.patch_size, width // self.patch_size)

    def tokens(self, work: Workload) -> int:
        """Tokens that global attention sees: patches of all frames, and what the network adds to each of them."""
        layout = self.layout(work.frames, work.height, work.width)
        return layout.frames * layout.tokens_per_frame

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """That of the weights."""
        return next(self.model.parameters()).dtype

    # --- one run ---

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """Names of what comes out of this model."""

    @property
    def can_choose_outputs(self) -> bool:
        """Whether less than all `outputs` can be computed."""
        return True

    def check_point_source(self, source: str) -> str:
        """The source of points, "auto" resolved; ValueError for one that this network does not have."""
        if source == "auto":
            return self.point_sources[0]
        if source not in ("depth", "points"):
            raise ValueError(f"point_source must be auto, depth or points, got {source!r}.")
        if source not in self.point_sources:
            raise ValueError(f"This model has no {source!r}; use point_source auto or {self.point_sources[0]}.")
        return source

    @abstractmethod
    def options(
        self,
        *,
        camera: bool = True,
        depth: bool = True,
        points: bool = False,
        head_dtype: torch.dtype | None = None,
    ) -> dict[str, Any]:
        """Arguments of the model's forward for the results that are wanted, with heads in `head_dtype`."""

    @abstractmethod
    def prediction(self, output: Any, image_size: tuple[int, int], weights: Tensor | None = None) -> Prediction:
        """The prediction in an output of the model for one scene of images (H, W).

        weights: (N, H, W), how much a pixel counts where something is fitted; None: all the same.
        """

    @abstractmethod
    def depth(self, output: Any) -> Tensor | None:
        """Depth (N, H, W) of the first scene of an output, where it is; None without."""

    @abstractmethod
    def depth_tap(self) -> DepthTap | None:
        """Where depth can be seen while the model still works; None where it makes none."""

    @property
    def can_move_maps(self) -> bool:
        """Whether what the heads will read can wait on the CPU while the model computes elsewhere."""
        return self.keeps_maps and self.device.type != "cpu"

    # --- memory ---

    def activation_bytes(self, work: Workload) -> int:
        """Bytes beside the weights that a run needs at its worst moment: an estimate, not a promise."""
        stream = self.tokens(work) * self.width * FLOAT32
        maps, last_map, piece = self.map_bytes(work)
        held = work.chunk if work.offload else work.frames  # images on the device, and results
        start = stream + max(stream, 2 * self.narrow(stream))
        heads = maps + piece + work.chunk * self.head_frame_bytes(work) + self.kept_bytes(stream)
        heads += held * work.pixels * FLOAT32 * self.output_channels(work)
        worst = max(start, self._layer_bytes(work, stream) + maps - last_map, self.taking_bytes(work, stream), heads)
        return round(worst + held * work.pixels * FLOAT32 * 3)

    @abstractmethod
    def head_frame_bytes(self, work: Workload) -> float:
        """What the heads hold for one frame."""

    @abstractmethod
    def output_channels(self, work: Workload) -> int:
        """Numbers of a pixel that come out."""

    def map_bytes(self, work: Workload) -> tuple[int, int, int]:
        """What waits on the device for the dense heads, the last layer's part of it, and what comes back at a time."""
        return 0, 0, 0

    def kept_bytes(self, stream: int) -> int:
        """What of all tokens is still there while the heads run."""
        return 0

    def taking_bytes(self, work: Workload, stream: int) -> float:
        """The moment at which the heads take what they need of the last layer."""
        return 0

    def narrow(self, float32_bytes: float) -> float:
        """What so many bytes of float32 take in the dtype of the weights."""
        return float32_bytes / FLOAT32 * self.dtype.itemsize

    def _layer_bytes(self, work: Workload, stream: int) -> float:
        """A global layer whose frame block's result is still wanted: stream, its copy, and what attention holds."""
        tokens, narrow = self.tokens(work), self.narrow(stream)
        piece = self.narrow(min(tokens, TOKENS_AT_ONCE) * self.width * FLOAT32 * LIVE_IN_PIECE)
        found = 2 * stream + 4 * narrow + tokens * self.heads * FLOAT32  # queries, keys, values, output; sums
        if work.sparse:
            lists = max(INDEX_LIMIT_BYTES, INDEX_LIMIT_PER_TOKEN * tokens)
            found += POOLED * narrow + min(lists, narrow) + (2 * narrow if work.packs else 0)
        return found + piece


class EncoderNetwork(Network):
    """A network whose tokens come from an image encoder of their width (dinov2.py)."""

    @property
    def patch_size(self) -> int:
        return self.model.config.encoder.patch_size

    @property
    def image_size(self) -> int:
        return self.model.config.encoder.image_size

    @property
    def width(self) -> int:
        return self.model.config.encoder.width

    @property
    def heads(self) -> int:
        return self.model.config.heads


class DenseHeadNetwork(Network):
    """A network whose dense heads read maps of four layers (dense_head.py)."""

    keeps_maps = True

    def map_bytes(self, work: Workload) -> tuple[int, int, int]:
        channels = self.model.config.dense.channels
        frame = work.pixels // self.patch_size**2 * work.head_bytes * work.dense_heads
        piece = work.chunk * frame * sum(channels) if work.maps_on_cpu else 0
        waiting = 0 if work.maps_on_cpu else work.frames * frame
        return waiting * sum(channels), waiting * channels[-1], piece

    def taking_bytes(self, work: Workload, stream: int) -> float:
        maps, _, piece = self.map_bytes(work)
        layout = self.layout(1, work.height, work.width)
        frame = layout.tokens_per_frame * 2 * self.width * FLOAT32 * 3  # both halves joined, normalised, converted
        return 2 * stream + maps + piece + work.chunk * frame

    def head_frame_bytes(self, work: Workload) -> float:
        at_once = FULL_SIZE_MAPS if convolutions.run_on(self.device) else FULL_SIZE_MAPS_PLAIN
        return work.pixels * work.head_bytes * self.model.config.dense.features / 2 * at_once

    def output_channels(self, work: Workload) -> int:
        return 2 if work.dense_heads < 2 else 6  # depth and confidence, points and confidence
