"""Distances between point clouds: accuracy, completion, normal consistency, Chamfer variants, F-score."""

from __future__ import annotations

import numpy as np

NORMAL_NEIGHBOURS = 30  # Open3D's default of estimate_normals


def cloud_errors(predicted: np.ndarray, truth: np.ndarray, *, normals: bool = True) -> dict[str, float]:
    """Accuracy, completion (mean and median) and normal consistency of clouds (M, 3) in one frame, and their Chamfer.

    accuracy: distance of predicted points to the nearest true one; completion: the other way. Nothing is clipped.
    chamfer is (accuracy + completion) / 2. Normals are unoriented, from the 30 nearest points of the same cloud.
    """
    check_cloud(predicted, "predicted")
    check_cloud(truth, "true")
    to_truth, nearest_truth = nearest(predicted, truth)
    to_predicted, nearest_predicted = nearest(truth, predicted)
    result = {
        "accuracy": float(to_truth.mean()),
        "accuracy_median": float(np.median(to_truth)),
        "completion": float(to_predicted.mean()),
        "completion_median": float(np.median(to_predicted)),
    }
    result["chamfer"] = (result["accuracy"] + result["completion"]) / 2
    if normals:
        ours, theirs = estimate_normals(predicted), estimate_normals(truth)
        first = np.abs(np.sum(ours * theirs[nearest_truth], 1))
        second = np.abs(np.sum(theirs * ours[nearest_predicted], 1))
        result["normal_consistency"] = float(first.mean() + second.mean()) / 2
        result["normal_consistency_median"] = float(np.median(first) + np.median(second)) / 2
    return result


def f_score(predicted: np.ndarray, truth: np.ndarray, threshold: float) -> dict[str, float]:
    """Precision, recall and their harmonic mean: shares of distances strictly below the threshold.

    An empty prediction has 0 everywhere.
    """
    check_cloud(truth, "true")
    if len(predicted) == 0:
        return {"precision": 0.0, "recall": 0.0, "f_score": 0.0}
    precision = float(np.mean(nearest(predicted, truth)[0] < threshold))
    recall = float(np.mean(nearest(truth, predicted)[0] < threshold))
    both = precision + recall
    return {"precision": precision, "recall": recall, "f_score": 2 * precision * recall / both if both else 0.0}


def check_cloud(points: np.ndarray, what: str) -> None:
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f"The {what} cloud must be (M, 3) with at least one point, got {points.shape}.")
    if not np.isfinite(points).all():
        raise ValueError(f"The {what} cloud has points that are not finite.")


def nearest(points: np.ndarray, cloud: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (M,) to the nearest point of the cloud and its index."""
    from scipy.spatial import cKDTree

    return cKDTree(cloud).query(points, workers=-1)


def estimate_normals(points: np.ndarray) -> np.ndarray:
    """Unit normals (M, 3), without a sign, from the 30 nearest points (all, if there are fewer).

    Open3D does it where it is installed; else the same rule runs on a k-d tree.
    """
    try:
        import open3d
    except ImportError:
        return normals_by_tree(points)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.estimate_normals()
    return np.asarray(cloud.normals)


def normals_by_tree(points: np.ndarray, chunk: int = 100_000) -> np.ndarray:
    """The direction of least variance among the nearest points, (M, 3)."""
    from scipy.spatial import cKDTree

    points = np.asarray(points, np.float64)
    if len(points) < 3:
        return np.tile([0.0, 0.0, 1.0], (len(points), 1))  # what Open3D gives where there is no plane
    tree = cKDTree(points)
    found = []
    for start in range(0, len(points), chunk):
        _, index = tree.query(points[start : start + chunk], k=min(NORMAL_NEIGHBOURS, len(points)), workers=-1)
        near = points[index]  # (m, 30, 3)
        near = near - near.mean(1, keepdims=True)
        found.append(np.linalg.eigh(near.transpose(0, 2, 1) @ near)[1][:, :, 0])
    return np.concatenate(found)


def voxel_means(points: np.ndarray, size: float) -> np.ndarray:
    """One point for each occupied voxel, the mean of its points, as Open3D's voxel_down_sample."""
    place = np.floor((points - (points.min(0) - size / 2)) / size).astype(np.int64)
    _, inverse, counts = np.unique(place, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    sums = np.stack([np.bincount(inverse, weights=points[:, axis]) for axis in range(3)], 1)
    return sums / counts[:, None]


def fastvggt_chamfer(predicted: np.ndarray, truth: np.ndarray) -> float:
    """ScanNet-50's distance as FastVGGT defines it, of clouds (M, 3) whose axes already agree, in metres.

    The prediction is scaled and moved so that its bounding box has the diagonal and centre of the true one; both are
    thinned to 100,000 points (seed 33) and to voxels of 5 cm; the SUM of the mean distances both ways, clipped at 0.5.
    """
    check_cloud(predicted, "predicted")
    check_cloud(truth, "true")
    low, high = predicted.min(0), predicted.max(0)
    diagonal = np.linalg.norm(high - low)
    if diagonal == 0:
        raise ValueError("The predicted cloud is a single point; its scale is not determined.")
    true_low, true_high = truth.min(0), truth.max(0)
    scale = np.linalg.norm(true_high - true_low) / diagonal
    moved = (predicted - (low + high) / 2) * scale + (true_low + true_high) / 2
    clouds = []
    for cloud in (moved, truth):
        if len(cloud) > 100_000:
            cloud = cloud[np.random.RandomState(33).choice(len(cloud), 100_000, replace=False)]
        clouds.append(voxel_means(cloud, 0.05))
    first, second = nearest(clouds[0], clouds[1])[0], nearest(clouds[1], clouds[0])[0]
    return float(np.minimum(first, 0.5).mean() + np.minimum(second, 0.5).mean())
