"""Cameras, poses and points; see models/geometry.py."""

from ..models.geometry import (
    decode_pose,
    depth_edges,
    encode_pose,
    invert_pose,
    make_intrinsics,
    pixel_grid,
    project_points,
    quaternion_to_rotation,
    recover_intrinsics,
    rotation_to_quaternion,
    transform_points,
    unproject_depth,
    unproject_to_camera,
)

__all__ = [
    "decode_pose",
    "depth_edges",
    "encode_pose",
    "invert_pose",
    "make_intrinsics",
    "pixel_grid",
    "project_points",
    "quaternion_to_rotation",
    "recover_intrinsics",
    "rotation_to_quaternion",
    "transform_points",
    "unproject_depth",
    "unproject_to_camera",
]
