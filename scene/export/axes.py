"""OpenCV axes (x right, y down, z forward) to glTF's (x right, y up, z backward): half a turn about x."""

import numpy as np

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # its own inverse


def to_y_up(points: np.ndarray) -> np.ndarray:
    """Points (M, 3) float32 with y up and z backward."""
    return (points * np.array([1, -1, -1], dtype=np.float32)).astype(np.float32, copy=False)


def pose_to_y_up(camera_to_world: np.ndarray) -> np.ndarray:
    """Poses (N, 4, 4) of OpenCV cameras as poses of glTF cameras, which look along their own -z, in the y-up world."""
    return FLIP @ camera_to_world @ FLIP
