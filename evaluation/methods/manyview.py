"""Our models, dense or with any sparsity: one loaded model serves all settings."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ...models import networks
from ...models.attention import GlobalAttention
from ...models.checkpoints import LoadedModel
from ...models.sparse import BlockSparse, SparsityConfig
from ..scene import Prediction
from .method import measured


class ManyViewMethod:
    """A model of ours with one choice of global attention.

    sparsity: None leaves the model's own (dense) attention. point_source: "depth" takes depth and cameras, "points" the
    point head; None: the one that the network is best at. attention: any other GlobalAttention in place of `sparsity`.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        label: str = "dense",
        sparsity: SparsityConfig | None = None,
        *,
        backend: str = "auto",
        point_source: str | None = None,
        attention: GlobalAttention | None = None,
        baseline: str | None = None,
        frame_chunk: int = 8,
    ) -> None:
        self.loaded = loaded
        self.name = f"{loaded.name} {label}"
        self.baseline = baseline or self.name
        self.sparsity = sparsity
        self.attention = attention or (None if sparsity is None else BlockSparse(sparsity, backend))
        self.point_source = point_source or loaded.network.point_sources[0]
        self.frame_chunk = frame_chunk
        self.device = next(loaded.model.parameters()).device

    def settings(self) -> dict[str, Any]:
        """Model, number format, sparsity and where points come from."""
        return {
            "model": self.loaded.name,
            "precision": str(self.loaded.report.dtype).removeprefix("torch."),
            "sparsity": None if self.sparsity is None else self.sparsity.to_dict(),
            "point_source": self.point_source,
            "frame_chunk": self.frame_chunk,
        }

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """The forward pass is timed with its heads; copying and decoding are not."""
        images = images.to(self.device)
        options: dict[str, Any] = {"frame_chunk": self.frame_chunk, "global_attention": self.attention}
        options |= self.loaded.network.options(points=self.point_source == "points")
        with exact_float32(self.device), measured(self.device) as clock:
            output = self.loaded.model(images, **options)
        prediction = as_scored(self.loaded.network.prediction(output, tuple(images.shape[-2:])))
        prediction.seconds, prediction.peak_memory_bytes = clock.seconds, clock.peak_memory_bytes
        if self.point_source == "depth":
            prediction.points = None
        if isinstance(self.attention, BlockSparse):
            prediction.notes["attention"] = self.attention.backend_report()
        return prediction


def exact_float32(device: torch.device) -> torch.backends.cudnn.flags | nullcontext:
    """float32 convolutions without TensorFloat-32, so that float32 means it on a GPU too."""
    return torch.backends.cudnn.flags(allow_tf32=False) if device.type == "cuda" else nullcontext()


def as_scored(found: networks.Prediction) -> Prediction:
    """A network's prediction in the form that metrics take."""
    return Prediction(
        world_to_camera=found.world_to_camera.numpy(),
        intrinsics=found.intrinsics.numpy(),
        depth=found.depth.numpy(),
        points=None if found.points is None else found.points.numpy(),
        confidence=found.confidence.numpy(),
        density=None if found.density is None else found.density.double().numpy(),
        pixel_center=found.pixel_center,
    )
