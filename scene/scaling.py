"""A reconstruction in other units."""

from dataclasses import replace

import numpy as np

from .reconstruction import Reconstruction


def scaled(reconstruction: Reconstruction, factor: float) -> Reconstruction:
    """The same scene `factor` times as large: depth, camera positions and points."""
    if not (np.isfinite(factor) and factor > 0):
        raise ValueError(f"The scale must be a positive number, got {factor}; 1 leaves the scene as it is.")
    poses = reconstruction.world_to_camera.copy()
    poses[:, :, 3] *= factor
    points = reconstruction.world_points
    return replace(
        reconstruction,
        depth=reconstruction.depth * np.float32(factor),
        world_to_camera=poses,
        world_points=None if points is None else points * np.float32(factor),
        settings=dict(reconstruction.settings),
    )
