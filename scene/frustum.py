"""Camera frusta for pictures and files: corners, a size that suits the scene, one colour a frame."""

import colorsys

import numpy as np

from .reconstruction import Reconstruction

EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1), (5, 1), (5, 2))
"""Pairs of `frustum_corners`: 0 is the centre, 1-4 go round the image from its top left, 5 is a mark above its top."""


def frustum_corners(intrinsics: np.ndarray, image_size: tuple[int, int], depth: float) -> np.ndarray:
    """Corners (N, 6, 3) in each camera's own OpenCV frame, `depth` units deep."""
    height, width = image_size
    pixels = np.array([(0, 0), (width, 0), (width, height), (0, height), (width / 2, -0.25 * height)], dtype=np.float64)
    focal = intrinsics[:, None, [0, 1], [0, 1]]  # (N, 1, 2)
    center = intrinsics[:, None, :2, 2]
    rays = (pixels - center) / np.clip(focal, 0.2 * max(image_size), 20 * max(image_size))  # readable in any case
    corners = np.zeros((len(intrinsics), 6, 3))
    corners[:, 1:, :2] = rays * depth
    corners[:, 1:, 2] = depth
    return corners


def frustum_depth(reconstruction: Reconstruction, points: np.ndarray) -> float:
    """A depth of frusta that neither hides the scene nor vanishes, and lets neighbouring cameras be told apart."""
    positions = reconstruction.camera_positions
    everything = np.concatenate((positions, points[:: max(1, len(points) // 20_000)].astype(np.float64)))
    low, high = np.percentile(everything, (3, 97), axis=0)
    size = float(np.linalg.norm(high - low)) or 1.0
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    distance = distance[~np.eye(len(positions), dtype=bool)].reshape(len(positions), -1)
    spacing = float(np.median(distance.min(axis=1))) if distance.size else size
    return float(np.clip(0.7 * spacing, 0.02 * size, 0.06 * size))


def frame_colors(count: int) -> np.ndarray:
    """Colours (N, 3) uint8, from red for the first frame through the rainbow to violet for the last."""
    hues = np.linspace(0.0, 0.8, max(count, 1))
    return np.array([[round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.85, 0.95)] for hue in hues], dtype=np.uint8)
