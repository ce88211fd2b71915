"""OpenCV axes (x right, y down, z forward) to glTF's (x right, y up, z backward): half a turn about x."""

import numpy as np

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # its own inverse


def to_y_up(points: np.ndarray) -> np.ndarray:
    """Points (M, 3) float32 with y up and z backward."""
    return (points * np.array([1, -1, -1], dtype=np.float32)).astype(np.float32, copy=False)


def field_of_view(intrinsics: np.ndarray, image_size: tuple[int, int]) -> tuple[float, float]:
    """(aspect ratio, vertical angle in radians) of a camera that sees just the image (H, W).

    Cameras of glTF and of viewers have their principal point in the middle and a field of view for each axis; with
    pixels that are not square the aspect ratio is not that of the image's sides.
    """
    height, width = image_size
    focal_x, focal_y = intrinsics[0, 0], intrinsics[1, 1]
    return float(width * focal_y / (height * focal_x)), float(2 * np.arctan2(0.5 * height, focal_y))


def pose_to_y_up(camera_to_world: np.ndarray) -> np.ndarray:
    """Poses (N, 4, 4) of OpenCV cameras as poses of glTF cameras, which look along their own -z, in the y-up world."""
    return FLIP @ camera_to_world @ FLIP
