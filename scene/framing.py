"""What of a scene a first look should show: where its most trusted points lie, not the far background."""

from dataclasses import dataclass

import numpy as np

from .pointcloud import PointCloud

SAMPLE = 100_000
SURE = 0.5  # from which place on, in the order of confidence, points are trusted
HELD = 0.8  # share of those that the sphere holds
MARGIN = 1.15


@dataclass(frozen=True)
class Focus:
    """A sphere of the world in the scene's units."""

    center: np.ndarray  # (3,) float64
    radius: float


def focus(cloud: PointCloud) -> Focus | None:
    """The sphere that holds most of the more trusted half of the points; None without points."""
    if not len(cloud):
        return None
    step = max(1, len(cloud) // SAMPLE)
    points, confidence = cloud.points[::step].astype(np.float64), cloud.confidence[::step]
    sure = points[confidence >= np.quantile(confidence, SURE)]
    center = np.median(sure, axis=0)
    radius = MARGIN * float(np.quantile(np.linalg.norm(sure - center, axis=1), HELD))
    return Focus(center, radius) if radius > 0 else None
