"""Depth Anything 3's cameras: nine numbers that describe camera to world, and their normalisation on the way in.

OpenCV axes; image sizes are (H, W); intrinsics are in pixels with the principal point at the half of the image.
"""

import torch
from torch import Tensor

from .geometry import encode_pose, invert_pose, make_intrinsics, quaternion_to_rotation

LEAST_TANGENT = 1e-6  # of half a field of view; what lies below, or beyond a straight angle, counts as this
LEAST_DISTANCE = 0.1  # that the median distance of known cameras is taken for


def decode_camera_to_world(pose: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """world_to_camera (..., 3, 4) and intrinsics (..., 3, 3) of pose encodings (..., 9), camera to world."""
    height, width = image_size
    rotation = quaternion_to_rotation(pose[..., 3:7])
    world_to_camera = invert_pose(torch.cat((rotation, pose[..., :3, None]), -1))[..., :3, :]
    tangents = torch.tan(pose[..., 7:] / 2).clamp_min(LEAST_TANGENT)
    focal_y, focal_x = (height / 2) / tangents[..., 0], (width / 2) / tangents[..., 1]
    return world_to_camera, make_intrinsics(focal_x, focal_y, image_size)


def encode_camera_to_world(world_to_camera: Tensor, intrinsics: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Pose encodings (..., 9) of known cameras (..., 3, 4) or (..., 4, 4); the principal point is not encoded."""
    return encode_pose(invert_pose(world_to_camera), intrinsics, image_size)


def normalised_cameras(world_to_camera: Tensor) -> Tensor:
    """The cameras (B, N, 4, 4) as the network was trained to get them: the first is the world, scaled.

    Lengths are divided by the lower median of the distances of all centres from the first, which is at least 0.1.
    """
    relative = world_to_camera @ invert_pose(world_to_camera[:, :1])  # (B, N, 4, 4)
    distances = invert_pose(relative)[..., :3, 3].norm(dim=-1)  # (B, N)
    scale = distances.median(dim=1).values.clamp_min(LEAST_DISTANCE)  # torch's median is the lower one
    scaled = relative.clone()
    scaled[..., :3, 3] = relative[..., :3, 3] / scale[:, None, None]
    return scaled
