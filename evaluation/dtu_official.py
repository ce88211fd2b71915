"""The official DTU distance: thinned points, inside the observed volume, above the table, outliers ignored.

Everything in millimetres, in DTU's world frame. Written from the published description; the order in which points are
thinned is random there, here it comes from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .clouds import check_cloud, nearest

MARGIN_MM = 60.0


@dataclass(frozen=True)
class DtuScan:
    """What the evaluation needs of a scan; mm, DTU's world frame."""

    scan: np.ndarray  # (S, 3), the structured-light points
    mask: np.ndarray  # (X, Y, Z) bool, the observed volume (ObsMask)
    bounds: np.ndarray  # (2, 3), its corners (BB)
    resolution: float  # of its voxels (Res)
    plane: np.ndarray  # (4,), the table (P)


def thin(points: np.ndarray, distance: float = 0.2, seed: int = 0) -> np.ndarray:
    """A subset in which no two points are closer than `distance`; points are visited in an order given by the seed."""
    from scipy.spatial import cKDTree

    order = np.random.default_rng(seed).permutation(len(points))
    points = points[order]
    tree = cKDTree(points)
    kept = np.ones(len(points), dtype=bool)
    for start in range(0, len(points), 100_000):
        block = np.arange(start, min(start + 100_000, len(points)))
        for at, near in zip(block, tree.query_ball_point(points[block], distance, workers=-1), strict=True):
            if kept[at]:
                kept[near] = False
                kept[at] = True
    return points[kept]


def dtu_errors(predicted: np.ndarray, truth: DtuScan, *, max_distance: float = 20.0, seed: int = 0) -> dict[str, float]:
    """Accuracy, completion (DTU says completeness) and their mean of a predicted cloud (M, 3), in mm."""
    scan = truth.scan
    check_cloud(predicted, "predicted")
    check_cloud(scan, "true")
    predicted = thin(predicted, seed=seed)
    low, high = np.asarray(truth.bounds, np.float64)
    # The margin of the reference is not symmetric: once below, twice above.
    inside = ((predicted >= low - MARGIN_MM) & (predicted < high + 2 * MARGIN_MM)).all(1)
    predicted = predicted[inside]
    observed = predicted[lookup(truth.mask, np.round((predicted - low) / truth.resolution).astype(np.int64))]
    above = scan[np.concatenate([scan, np.ones((len(scan), 1))], 1) @ np.ravel(truth.plane) > 0]
    accuracy = mean_below(observed, scan, max_distance)
    completeness = mean_below(above, predicted, max_distance)
    return {
        "dtu_accuracy": accuracy,
        "dtu_completion": completeness,
        "dtu_overall": (accuracy + completeness) / 2,
    }


def lookup(mask: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """Which voxels (M, 3) lie in the volume and are set."""
    inside = ((voxels >= 0) & (voxels < mask.shape)).all(1)
    found = np.zeros(len(voxels), dtype=bool)
    found[inside] = mask[tuple(voxels[inside].T)].astype(bool)
    return found


def mean_below(points: np.ndarray, cloud: np.ndarray, limit: float) -> float:
    """Mean distance to the cloud over the points nearer than the limit; NaN if there are none."""
    if len(points) == 0 or len(cloud) == 0:
        return float("nan")
    distance = nearest(points, cloud)[0]
    close = distance[distance < limit]
    return float(close.mean()) if len(close) else float("nan")
