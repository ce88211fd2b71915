"""VGGT as everything outside models/ sees it."""

from typing import Any

import torch
from torch import Tensor

from ..dense_head import depth_from_raw
from ..geometry import decode_pose, transform_points
from ..vggt import VGGTOutput
from .network import DenseHeadNetwork, DepthTap, EncoderNetwork
from .prediction import Prediction, above_one, single, single_density


class VGGTNetwork(EncoderNetwork, DenseHeadNetwork):
    point_sources = ("depth", "points")

    @property
    def special_tokens(self) -> int:
        return self.model.aggregator.special_tokens

    @property
    def global_layers(self) -> int:
        return self.model.config.depth

    @property
    def outputs(self) -> tuple[str, ...]:
        heads = {"camera": self.model.camera_head, "depth": self.model.depth_head, "points": self.model.point_head}
        return tuple(name for name, head in heads.items() if head is not None)

    def options(
        self,
        *,
        camera: bool = True,
        depth: bool = True,
        points: bool = False,
        head_dtype: torch.dtype | None = None,
    ) -> dict[str, Any]:
        wanted = {"camera": camera, "depth": depth, "points": points}
        return {"outputs": tuple(name for name, is_wanted in wanted.items() if is_wanted), "head_dtype": head_dtype}

    def prediction(self, output: VGGTOutput, image_size: tuple[int, int], weights: Tensor | None = None) -> Prediction:
        return prediction_of(output, image_size)

    def depth(self, output: VGGTOutput) -> Tensor | None:
        return None if output.depth is None else output.depth[0]

    def depth_tap(self) -> DepthTap | None:
        head = self.model.depth_head
        if head is None:  # a VGGT that knows points only
            return None
        return head.scratch.output_conv2[-1], lambda raw: depth_from_raw(raw)[0]


def prediction_of(output: VGGTOutput, image_size: tuple[int, int]) -> Prediction:
    """The prediction in an output of VGGT, ours or the public one, for one scene of images (H, W)."""
    if output.pose_passes is None or (output.depth is None and output.world_points is None):
        raise ValueError("A prediction needs VGGT's cameras and depth or points; ask the model for these outputs.")
    world_to_camera, intrinsics = decode_pose(single(output.pose_passes[-1]).double(), image_size)
    points = None if output.world_points is None else single(output.world_points).float()
    trust = None if output.world_points_confidence is None else above_one(single(output.world_points_confidence))
    if output.depth is None:
        camera = transform_points(points.to(world_to_camera.dtype), world_to_camera)
        depth, confidence = camera[..., 2].float().contiguous(), trust
    else:
        depth, confidence = single(output.depth).float(), above_one(single(output.depth_confidence))
    return Prediction(
        world_to_camera=world_to_camera,
        intrinsics=intrinsics,
        depth=depth,
        confidence=confidence,
        points=points,
        points_confidence=trust,
        density=single_density(output.density),
        tracks=tracks_of(output),
        point_source="points" if output.depth is None else "depth",
        pixel_center=VGGTNetwork.pixel_center,
    )


def tracks_of(output: VGGTOutput) -> dict[str, Tensor] | None:
    if output.tracks is None:
        return None
    named = {
        "positions": output.tracks[-1],
        "visibility": output.track_visibility,
        "confidence": output.track_confidence,
    }
    return {name: single(value).float() for name, value in named.items()}
