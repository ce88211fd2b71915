"""Cameras in the forms that other nodes take: matrices, and ComfyUI's viewer cameras."""

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.geometry import rotation_to_quaternion
from ...scene.export.axes import field_of_view, pose_to_y_up, to_y_up
from ...scene.pointcloud import PointCloud
from ...scene.reconstruction import Reconstruction
from ...scene.verdict import confidence_of_views, verdict
from ..point_cloud import point_cloud
from .host import Host, Result
from .packets import points_of, scene_of

VIEWER, UNITS = "ComfyUI's viewer", "scene units"


def run_cameras(host: Host, *, scene: dict, points: dict | None = None, frame: int, coordinates: str) -> Result:
    """(extrinsics, intrinsics, camera_info, fov, json): all cameras as matrices and text, one for ComfyUI's viewer."""
    found = scene_of(scene)
    if not 0 <= frame < len(found):
        raise ValueError(f"frame is {frame}, but the scene has {len(found)} views; choose 0 to {len(found) - 1}.")
    shown = (point_cloud(found) if points is None else points_of(points)) if coordinates == VIEWER else None
    camera = viewer_camera(found, frame, shown)
    return Result((*camera_matrices(found), camera, camera["fov"], camera_text(found)))


def camera_text(scene: Reconstruction) -> str:
    """All cameras as JSON: poses in OpenCV axes, intrinsics in pixels of the original images, from the corner."""
    intrinsics, confidence = scene.original_intrinsics(), confidence_of_views(scene)
    views = [
        {
            "name": name,
            "confidence": round(confidence[frame], 4),
            "width": int(width),
            "height": int(height),
            "world_to_camera": scene.world_to_camera[frame].tolist(),
            "intrinsics": intrinsics[frame].tolist(),
            "position": scene.camera_positions[frame].tolist(),
        }
        for frame, (name, (width, height)) in enumerate(zip(scene.names, scene.original_sizes, strict=True))
    ]
    about = {"axes": "OpenCV: x right, y down, z forward", "verdict": verdict(scene).to_dict()}
    return json.dumps({**about, "views": views}, indent=1)


def camera_matrices(scene: Reconstruction) -> tuple[Tensor, Tensor]:
    """EXTRINSICS (N, 4, 4), world to camera in OpenCV axes, and INTRINSICS (N, 3, 3) in pixels of the scene's images.

    Intrinsics are measured from the image's corner, where the first pixel's centre is (0.5, 0.5).
    """
    poses = np.tile(np.eye(4), (len(scene), 1, 1))
    poses[:, :3] = scene.world_to_camera
    return torch.from_numpy(poses).float(), torch.from_numpy(scene.corner_intrinsics()).float()


def viewer_camera(scene: Reconstruction, frame: int, shown: PointCloud | None = None) -> dict[str, Any]:
    """LOAD3D_CAMERA of one frame: y up, looking along -z.

    shown: the cloud that ComfyUI's viewer shows; it centres and scales a cloud to radius 1, and the camera then gets
    the same treatment. None leaves the scene's own coordinates.
    """
    pose = pose_to_y_up(scene.camera_to_world)[frame]
    center, radius = (np.zeros(3), 1.0) if shown is None else viewer_frame(shown)
    position = (pose[:3, 3] - center) / radius
    ahead = -pose[:3, 2]
    distance = float(np.median(scene.depth[frame][scene.usable(frame)])) / radius if scene.usable(frame).any() else 1.0
    aspect, vertical = field_of_view(scene.intrinsics[frame], scene.image_size)
    return {
        "position": _xyz(position),
        "target": _xyz(position + distance * ahead),
        "quaternion": dict(zip("xyzw", rotation_to_quaternion(torch.from_numpy(pose[:3, :3])).tolist(), strict=True)),
        "fov": float(np.degrees(vertical)),
        "aspect": aspect,
        "zoom": 1,
        "cameraType": "perspective",
        "near": max(1e-3 * distance, 1e-6),
        "far": 1e3 * distance,
    }


def viewer_frame(cloud: PointCloud) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius by which ComfyUI's viewer scales a cloud: middle of its box, furthest point from it."""
    if not len(cloud):
        return np.zeros(3), 1.0
    points = to_y_up(cloud.points).astype(np.float64)
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    return center, float(np.linalg.norm(points - center, axis=1).max()) or 1.0


def _xyz(vector: np.ndarray) -> dict[str, float]:
    return {axis: float(value) for axis, value in zip("xyz", vector, strict=True)}
