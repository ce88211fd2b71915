"""A room with known geometry, as a reconstruction that a perfect model would give."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from manyview.scene.reconstruction import Reconstruction

_spec = importlib.util.spec_from_file_location("manyview_tests_pictures", Path(__file__).with_name("pictures.py"))
sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[_spec.name])

ROOM = np.array([[-3.0, -1.4, -2.5], [3.0, 1.4, 3.5]])
BALLS = ((-0.9, 0.8, 1.2, 0.6), (1.0, 0.95, 0.4, 0.45), (0.2, 0.3, 2.2, 0.4))  # x, y, z, radius
WALLS = np.array([[200, 90, 70], [80, 120, 190], [205, 200, 190], [150, 110, 70], [90, 160, 110], [190, 170, 110]])


def look_at(position, target):
    """World to camera (3, 4) of an upright OpenCV camera."""
    forward = np.subtract(target, position).astype(np.float64)
    forward /= np.linalg.norm(forward)
    right = np.cross((0.0, 1.0, 0.0), forward)
    right /= np.linalg.norm(right)
    rotation = np.stack((right, np.cross(forward, right), forward))
    return np.concatenate((rotation, -rotation @ np.reshape(position, (3, 1))), axis=1)


def cast_room(world_to_camera, intrinsics, size, pixel_center):
    """Depth (H, W) and colours (H, W, 3) of the room seen by one camera."""
    height, width = size
    y, x = np.mgrid[:height, :width] + pixel_center
    k = intrinsics
    rays = np.stack(((x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], np.ones(size)), axis=-1) @ world_to_camera[:, :3]
    origin = -world_to_camera[:, :3].T @ world_to_camera[:, 3]
    with np.errstate(divide="ignore"):
        exits = np.where(rays > 0, (ROOM[1] - origin) / rays, (ROOM[0] - origin) / rays)
    axis = exits.argmin(axis=-1)
    depth = exits.min(axis=-1)
    colors = WALLS[2 * axis + (np.take_along_axis(rays, axis[..., None], -1)[..., 0] > 0)].astype(np.float64)
    shade = 0.8 + 0.2 * (np.floor(2 * (origin + depth[..., None] * rays) + 0.01).sum(axis=-1) % 2)
    for *center, radius in BALLS:
        offset = origin - center
        a, b, c = (rays * rays).sum(-1), (rays * offset).sum(-1), offset @ offset - radius**2
        hit = (-b - np.sqrt(np.maximum(b * b - a * c, 0))) / a
        nearer = (b * b > a * c) & (hit > 0) & (hit < depth)
        normal = (offset + hit[..., None] * rays) / radius
        depth = np.where(nearer, hit, depth)
        shade = np.where(nearer, 0.6 - 0.4 * normal[..., 1], shade)
        colors[nearer] = (235, 120 + 100 * radius, 60)
    return depth, np.clip(colors * shade[..., None], 0, 255).astype(np.uint8)


def room_reconstruction(frames=4, size=(42, 56), pixel_center=0.5, scale_offset=(1.0, 1.0, 0.0, 0.0), **details):
    """`frames` cameras on an arc through the room, all looking at its middle."""
    angles = np.linspace(-0.6, 0.6, frames)
    positions = np.stack((2.2 * np.sin(angles), -0.3 - 0.3 * np.cos(3 * angles), 1 - 2.7 * np.cos(angles)), axis=1)
    poses = np.stack([look_at(position, (0.1, 0.4, 1.2)) for position in positions])
    k = np.array([[0.8 * size[1], 0, size[1] / 2], [0, 0.8 * size[1], size[0] / 2], [0, 0, 1]])
    views = [cast_room(pose, k, size, pixel_center) for pose in poses]
    sx, sy, ox, oy = scale_offset
    original = (round(sx * size[1] + 2 * ox), round(sy * size[0] + 2 * oy))
    random = np.random.default_rng(0)
    values = {
        "images": np.stack([colors for _, colors in views]),
        "depth": np.stack([depth for depth, _ in views]).astype(np.float32),
        "confidence": random.random((frames, *size), dtype=np.float32) * 0.5 + 0.4,
        "world_to_camera": poses,
        "intrinsics": np.stack([k] * frames),
        "names": tuple(f"view {index}.png" for index in range(frames)),
        "original_sizes": np.array([original] * frames),
        "scale_offset": np.array([scale_offset] * frames, dtype=np.float64),
        "pixel_center": pixel_center,
        "model": "room",
    }
    return Reconstruction(**{**values, **details})


@pytest.fixture
def make_room():
    """The function that makes reconstructions of the room."""
    return room_reconstruction


@pytest.fixture
def room():
    """Four small frames of the room."""
    return room_reconstruction()


@pytest.fixture(name="look_at", scope="session")
def look_at_fixture():
    """The function that makes the pose of a camera."""
    return look_at
