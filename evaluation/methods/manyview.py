"""Our models, dense or with any sparsity: one loaded model serves all settings."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.attention import GlobalAttention
from ...models.checkpoints import LoadedModel
from ...models.pi3 import Pi3Output
from ...models.sparse import BlockSparse, SparsityConfig
from ...models.vggt import VGGTOutput
from ...scene.geometry import decode_pose, invert_pose, recover_intrinsics
from ..scene import Prediction
from .method import measured


class ManyViewMethod:
    """A VGGT or pi3 of ours with one choice of global attention.

    sparsity: None leaves the model's own (dense) attention. point_source: "depth" takes depth and cameras, "points" the
    point head; None: depth for VGGT, points for pi3. attention: any other GlobalAttention in place of `sparsity`.
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
        self.point_source = point_source or ("depth" if loaded.family == "vggt" else "points")
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
        if self.loaded.family == "vggt":
            options["outputs"] = ("camera", "depth", *(["points"] if self.point_source == "points" else []))
        with exact_float32(self.device), measured(self.device) as clock:
            output = self.loaded.model(images, **options)
        build = from_vggt if self.loaded.family == "vggt" else from_pi3
        prediction = build(output, tuple(images.shape[-2:]))
        prediction.seconds, prediction.peak_memory_bytes = clock.seconds, clock.peak_memory_bytes
        if self.point_source == "depth":
            prediction.points = None
        if output.density is not None:
            prediction.density = output.density.mean(1).double().cpu().numpy()  # (layers, heads)
        if isinstance(self.attention, BlockSparse):
            prediction.notes["attention"] = self.attention.backend_report()
        return prediction


def exact_float32(device: torch.device) -> torch.backends.cudnn.flags | nullcontext:
    """float32 convolutions without TensorFloat-32, so that float32 means it on a GPU too."""
    return torch.backends.cudnn.flags(allow_tf32=False) if device.type == "cuda" else nullcontext()


def from_vggt(output: VGGTOutput, size: tuple[int, int]) -> Prediction:
    """The first scene of a VGGT's output for images of `size` (H, W); cameras are decoded in float64."""
    world_to_camera, intrinsics = decode_pose(output.pose_passes[-1, 0].double().cpu(), size)
    points = output.world_points
    return Prediction(
        world_to_camera=world_to_camera.numpy(),
        intrinsics=intrinsics.numpy(),
        depth=array(output.depth[0]),
        points=None if points is None else array(points[0]),
        confidence=array(output.depth_confidence[0]),
        pixel_center=0.0,
    )


def from_pi3(output: Pi3Output, size: tuple[int, int]) -> Prediction:
    """The first scene of a pi3's output; intrinsics are fitted to its local points."""
    local = output.local_points[0].float()
    return Prediction(
        world_to_camera=invert_pose(output.camera_to_world[0].double().cpu())[:, :3].numpy(),
        intrinsics=recover_intrinsics(local).double().cpu().numpy(),
        depth=array(local[..., 2]),
        points=array(output.points[0]),
        confidence=array(output.confidence_logits[0].sigmoid()),
        pixel_center=0.5,
    )


def array(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
