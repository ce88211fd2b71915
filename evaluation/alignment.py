"""Similarity transforms between point sets, and rigid refinement by ICP. Everything in float64 numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


class DegenerateError(ValueError):
    """The points do not determine a transform."""


@dataclass(frozen=True)
class Similarity:
    """x -> scale R x + translation."""

    scale: float
    rotation: np.ndarray  # (3, 3), determinant +1
    translation: np.ndarray  # (3,)

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) moved."""
        return self.scale * points @ self.rotation.T + self.translation

    def apply_to_cameras(self, camera_to_world: np.ndarray) -> np.ndarray:
        """Poses (N, 4, 4) in the moved world: rotations turn, centres move."""
        moved = camera_to_world.copy()
        moved[:, :3, :3] = self.rotation @ camera_to_world[:, :3, :3]
        moved[:, :3, 3] = self.apply(camera_to_world[:, :3, 3])
        return moved


def umeyama(source: np.ndarray, target: np.ndarray, *, with_scale: bool = True) -> Similarity:
    """The least-squares similarity source -> target of points (M, 3) in correspondence (Umeyama 1991).

    Reflections are excluded. DegenerateError if a set is not finite, or so flat that the rotation is not determined
    (fewer than three different points, or all on a line).
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.shape[-1] != 3 or source.ndim != 2:
        raise ValueError(f"Points in correspondence must both be (M, 3), got {source.shape} and {target.shape}.")
    if len(source) == 0 or not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise DegenerateError("Points to align must be finite and more than none.")
    mean_source, mean_target = source.mean(0), target.mean(0)
    centred_source, centred_target = source - mean_source, target - mean_target
    variance = np.mean(np.sum(centred_source**2, 1))
    left, singular, right = np.linalg.svd(centred_target.T @ centred_source / len(source))
    if np.count_nonzero(singular > 1e-12 * max(singular[0], np.finfo(np.float64).tiny)) < 2 or variance == 0:
        raise DegenerateError("The points lie on a line or in one place; their alignment is not determined.")
    sign = np.ones(3)
    if np.linalg.det(left) * np.linalg.det(right) < 0:
        sign[2] = -1.0
    rotation = left @ np.diag(sign) @ right
    scale = float(singular @ sign / variance) if with_scale else 1.0
    return Similarity(scale, rotation, mean_target - scale * rotation @ mean_source)


def icp(
    source: np.ndarray,
    target: np.ndarray,
    max_distance: float,
    *,
    iterations: int = 30,
    relative_fitness: float = 1e-6,
    relative_rmse: float = 1e-6,
) -> Similarity:
    """Rigid point-to-point ICP source -> target from the identity, with Open3D's rule and default criteria.

    Open3D runs it where it is installed; else the same iteration on a k-d tree, with the same result up to rounding.
    """
    if max_distance <= 0:
        raise ValueError(f"The largest distance of ICP must be positive, got {max_distance}.")
    try:
        import open3d
    except ImportError:
        return icp_by_tree(source, target, max_distance, iterations, relative_fitness, relative_rmse)
    clouds = [open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points)) for points in (source, target)]
    registration = open3d.pipelines.registration
    found = registration.registration_icp(
        *clouds,
        max_distance,
        np.eye(4),
        registration.TransformationEstimationPointToPoint(),
        registration.ICPConvergenceCriteria(relative_fitness, relative_rmse, iterations),
    )
    return Similarity(1.0, found.transformation[:3, :3].copy(), found.transformation[:3, 3].copy())


def icp_by_tree(
    source: np.ndarray,
    target: np.ndarray,
    max_distance: float,
    iterations: int = 30,
    relative_fitness: float = 1e-6,
    relative_rmse: float = 1e-6,
) -> Similarity:
    """The iteration of `icp` without Open3D."""
    from scipy.spatial import cKDTree

    tree = cKDTree(target)
    total = Similarity(1.0, np.eye(3), np.zeros(3))
    moved = np.asarray(source, np.float64)
    fitness, rmse, pairs = correspondences(tree, moved, max_distance)
    for _ in range(iterations):
        if len(pairs[0]) < 3:
            break
        try:
            step = umeyama(moved[pairs[0]], target[pairs[1]], with_scale=False)
        except DegenerateError:
            break
        total = Similarity(1.0, step.rotation @ total.rotation, step.apply(total.translation))
        moved = step.apply(moved)
        before = fitness, rmse
        fitness, rmse, pairs = correspondences(tree, moved, max_distance)
        if abs(before[0] - fitness) < relative_fitness and abs(before[1] - rmse) < relative_rmse:
            break
    return total


def correspondences(
    tree, points: np.ndarray, max_distance: float
) -> tuple[float, float, tuple[np.ndarray, np.ndarray]]:
    """Share of points with a neighbour within the distance, their RMSE, and the pairs (point, neighbour)."""
    distance, index = tree.query(points, distance_upper_bound=max_distance, workers=-1)
    found = np.flatnonzero(np.isfinite(distance))
    rmse = float(np.sqrt(np.mean(distance[found] ** 2))) if len(found) else 0.0
    return len(found) / len(points), rmse, (found, index[found])
