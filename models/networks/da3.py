"""Depth Anything 3 as everything outside models/ sees it."""

from typing import Any

import torch
from torch import Tensor

from ..da3 import DepthAnything3Output
from ..da3_cameras import decode_camera_to_world
from ..dense_head import depth_from_raw
from .network import DenseHeadNetwork, DepthTap
from .prediction import Prediction, above_one, single, single_density


class DepthAnything3Network(DenseHeadNetwork):
    @property
    def patch_size(self) -> int:
        return self.model.config.patch_size

    @property
    def image_size(self) -> int:
        return self.model.config.trained_size

    @property
    def width(self) -> int:
        return self.model.config.width

    @property
    def heads(self) -> int:
        return self.model.config.heads

    @property
    def special_tokens(self) -> int:
        return 1

    @property
    def global_layers(self) -> int:
        return len(self.model.config.global_blocks)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("camera", "depth")

    def options(
        self,
        *,
        camera: bool = True,
        depth: bool = True,
        points: bool = False,
        head_dtype: torch.dtype | None = None,
    ) -> dict[str, Any]:
        wanted = {"camera": camera, "depth": depth}
        return {"outputs": tuple(name for name, is_wanted in wanted.items() if is_wanted), "head_dtype": head_dtype}

    def prediction(
        self, output: DepthAnything3Output, image_size: tuple[int, int], weights: Tensor | None = None
    ) -> Prediction:
        if output.pose_encoding is None or output.depth is None:
            raise ValueError("A prediction needs the cameras and the depth; ask the model for these outputs.")
        pose = single(output.pose_encoding).double()
        world_to_camera, intrinsics = decode_camera_to_world(pose, image_size)
        return Prediction(
            world_to_camera=world_to_camera,
            intrinsics=intrinsics,
            depth=single(output.depth).float(),
            confidence=above_one(single(output.depth_confidence)),
            density=single_density(output.density),
            pixel_center=self.pixel_center,
        )

    def depth(self, output: DepthAnything3Output) -> Tensor | None:
        return None if output.depth is None else output.depth[0]

    def depth_tap(self) -> DepthTap:
        return self.model.head.scratch.output_conv2[-1], lambda raw: depth_from_raw(raw)[0]
