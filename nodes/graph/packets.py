"""What travels between nodes: dicts of arrays and numbers for what is ours, and the tensors that ComfyUI knows.

model   {"loaded": LoadedModel, ...}, from `Host.hold`       IMAGE       (B, H, W, 3) float32 in 0..1
views   the fields of an ImageSet                            MASK        (B, H, W) float32, 1 = use
scene   Reconstruction.to_dict()                             EXTRINSICS  (N, 4, 4) float32, world to camera, OpenCV
points  the fields of a PointCloud                           INTRINSICS  (N, 3, 3) float32, pixels
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...scene.images import ImageSet
from ...scene.pointcloud import PointCloud
from ...scene.reconstruction import Reconstruction


class Packet(dict):
    """A dict whose arrays ComfyUI's cache can weigh."""

    def _comfy_cache_tensors(self) -> list[Tensor]:
        arrays = [value for value in self.values() if isinstance(value, np.ndarray) and value.dtype.kind in "biuf"]
        return [torch.from_numpy(array) for array in arrays]


def views_packet(views: ImageSet) -> Packet:
    """The fields of an image set."""
    return Packet(vars(views))


def views_of(packet: dict[str, Any]) -> ImageSet:
    """The inverse of `views_packet`."""
    return ImageSet(**packet)


def scene_packet(scene: Reconstruction) -> Packet:
    """The fields of a reconstruction."""
    return Packet(scene.to_dict())


def scene_of(packet: dict[str, Any]) -> Reconstruction:
    """The inverse of `scene_packet`."""
    return Reconstruction.from_dict(packet)


def points_packet(cloud: PointCloud) -> Packet:
    """The fields of a point cloud."""
    return Packet(vars(cloud))


def points_of(packet: dict[str, Any]) -> PointCloud:
    """The inverse of `points_packet`."""
    return PointCloud(**packet)


def image_of(pictures: np.ndarray) -> Tensor:
    """Pictures (N, H, W, 3) uint8 as an IMAGE."""
    return torch.from_numpy(pictures).float() / 255


def grey_image_of(values: np.ndarray) -> Tensor:
    """Values (N, H, W) in 0..1 as a grey IMAGE."""
    return torch.from_numpy(values).float()[..., None].repeat(1, 1, 1, 3)
