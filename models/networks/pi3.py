"""pi3 as everything outside models/ sees it."""

from typing import Any

import torch
from torch import Tensor

from ..geometry import invert_pose, recover_intrinsics
from ..pi3 import Pi3Output, local_points_from_raw
from .network import DepthTap, EncoderNetwork
from .prediction import Prediction, single, single_density
from .workload import FLOAT32, Workload


class Pi3Network(EncoderNetwork):
    point_sources = ("points", "depth")
    pixel_center = 0.5

    @property
    def special_tokens(self) -> int:
        return self.model.config.registers

    @property
    def global_layers(self) -> int:
        return self.model.config.depth // 2  # depth counts frame blocks too

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("camera", "points", "confidence")

    @property
    def can_choose_outputs(self) -> bool:
        return False

    def options(
        self,
        *,
        camera: bool = True,
        depth: bool = True,
        points: bool = False,
        head_dtype: torch.dtype | None = None,
    ) -> dict[str, Any]:
        return {}  # everything comes from the same heads, in the precision of their weights

    def prediction(self, output: Pi3Output, image_size: tuple[int, int], weights: Tensor | None = None) -> Prediction:
        return prediction_of(output, weights)

    def depth(self, output: Pi3Output) -> Tensor:
        return output.local_points[0, ..., 2]

    def depth_tap(self) -> DepthTap:
        return self.model.point_head, lambda raw: local_points_from_raw(raw)[..., 2]

    def head_frame_bytes(self, work: Workload) -> float:
        tokens = self.layout(1, work.height, work.width).tokens_per_frame
        return tokens * 6 * self.model.config.head_width * FLOAT32 + work.pixels * 8 * FLOAT32

    def output_channels(self, work: Workload) -> int:
        return 7  # points, local points, confidence

    def kept_bytes(self, stream: int) -> int:
        return 2 * stream


def prediction_of(output: Pi3Output, weights: Tensor | None = None) -> Prediction:
    """The prediction in an output of pi3, ours or the public one; intrinsics are fitted to the local points.

    weights: (N, H, W), how much a pixel counts in the fit beside its confidence.
    """
    local = single(output.local_points).float()
    confidence = single(output.confidence_logits).float().sigmoid()
    trust = confidence.nan_to_num(0.0)
    trust = trust if weights is None else trust * weights
    intrinsics = [recover_intrinsics(*frame).double() for frame in zip(local, trust, strict=True)]
    return Prediction(
        world_to_camera=invert_pose(single(output.camera_to_world).double())[:, :3].contiguous(),
        intrinsics=torch.stack(intrinsics),
        depth=local[..., 2].contiguous(),
        confidence=confidence,
        points=single(output.points).float(),
        density=single_density(output.density),
        point_source="points",
        pixel_center=Pi3Network.pixel_center,
    )
