"""Accuracy of cameras and depth. Everything in float64 numpy; angles in degrees."""

from __future__ import annotations

import numpy as np

RELATIVE_FORMS = ("relative", "first_vggt")


def pair_errors(predicted: np.ndarray, truth: np.ndarray, form: str = "relative") -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation-direction errors of all pairs i < j, each (N (N - 1) / 2,), in degrees.

    Poses are world_to_camera (N, 3, 4). The relative pose of a pair is T_j T_i^-1, so neither world frame nor scale
    matters. Directions are compared without their sign, errors lie in [0, 90]; a true translation of 0 gives 90, a pair
    that is not finite 180. The form "first_vggt" is the product T_i^-1 T_j after aligning the first cameras, as in the
    first public VGGT evaluator and in the Depth-Anything-3 benchmark; it depends on the world frame (vggt issue 229)
    and is there only for comparing with their tables.
    """
    if form not in RELATIVE_FORMS:
        raise ValueError(f"Unknown form of relative poses {form!r}; choose from {', '.join(RELATIVE_FORMS)}.")
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or predicted.shape[-2:] != (3, 4):
        raise ValueError(f"Poses must both be (N, 3, 4), got {predicted.shape} and {truth.shape}.")
    first, second = np.triu_indices(len(truth), k=1)
    relative = relative_poses if form == "relative" else first_vggt_poses
    rotation_a, translation_a = relative(predicted, first, second)
    rotation_b, translation_b = relative(truth, first, second)
    trace = np.einsum("kij,kij->k", rotation_a, rotation_b)
    rotation = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    dot = np.einsum("ki,ki->k", unit(translation_a), unit(translation_b))
    translation = np.degrees(np.arccos(np.clip(np.abs(dot), 0, 1)))
    bad = ~np.isfinite(rotation) | ~np.isfinite(translation)
    return np.where(bad, 180.0, rotation), np.where(bad, 180.0, translation)


def relative_poses(poses: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (K, 3, 3) and translation (K, 3) of T_second T_first^-1; rotations are made orthonormal first."""
    turned = orthonormal(poses)
    rotation = turned[second] @ turned[first].transpose(0, 2, 1)
    translation = poses[second, :, 3] - np.einsum("kij,kj->ki", rotation, poses[first, :, 3])
    return rotation, translation


def first_vggt_poses(poses: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """T_first^-1 T_second of world_to_camera poses whose world has become the first camera. Not a relative pose."""
    turned = orthonormal(poses)
    rotation = turned @ turned[0].T
    translation = poses[:, :, 3] - rotation @ poses[0, :, 3]
    back = rotation[first].transpose(0, 2, 1)
    return back @ rotation[second], np.einsum("kij,kj->ki", back, translation[second] - translation[first])


def orthonormal(poses: np.ndarray) -> np.ndarray:
    """The nearest orthonormal matrices (N, 3, 3) to the left of poses (N, 3, 4); NaN where a pose is not finite."""
    left, _, right = np.linalg.svd(np.nan_to_num(poses[:, :, :3], posinf=0.0, neginf=0.0))
    turned = left @ right
    turned[~np.isfinite(poses).all((1, 2))] = np.nan
    return turned


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-15)


def auc(errors: np.ndarray, threshold: int) -> float:
    """AUC@threshold in [0, 1] by the histogram definition of VGGT and Pi3.

    One-degree bins, the last closed on the right. `errors` is the larger of rotation and translation error of each
    pair. Empty input gives NaN.
    """
    errors = np.asarray(errors, np.float64)
    if errors.size == 0:
        return float("nan")
    counts, _ = np.histogram(errors, bins=np.arange(threshold + 1))
    return float(np.mean(np.cumsum(counts) / errors.size))


def auc_step(errors: np.ndarray, threshold: float) -> float:
    """AUC@threshold in [0, 1] as the exact integral of the share of errors below t."""
    errors = np.asarray(errors, np.float64)
    return float(np.mean(np.maximum(threshold - errors, 0.0)) / threshold) if errors.size else float("nan")


def auc_trapezoid(errors: np.ndarray, threshold: float) -> float:
    """AUC@threshold in [0, 1] by the trapezoid rule of SuperGlue, LoFTR and RoMa; for ScanNet-1500."""
    errors = np.sort(np.asarray(errors, np.float64))
    if errors.size == 0:
        return float("nan")
    inside = errors[errors < threshold]
    x = np.concatenate([[0.0], inside, [threshold]])
    y = np.concatenate([[0.0], np.arange(1, len(inside) + 1) / errors.size, [len(inside) / errors.size]])
    return float(np.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1])) / 2 / threshold)


def share_below(errors: np.ndarray, threshold: float) -> float:
    """RRA@threshold or RTA@threshold in [0, 1]: the share of errors strictly below it."""
    errors = np.asarray(errors, np.float64)
    return float(np.mean(errors < threshold)) if errors.size else float("nan")


def depth_errors(predicted: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """AbsRel and delta < 1.25 over the valid pixels of one scene (N, H, W), with one scale for the whole scene.

    The scale is the median of truth / predicted over all valid pixels; AbsRel without it is `abs_rel_raw`.
    """
    p, t = predicted[valid].astype(np.float64), truth[valid].astype(np.float64)
    if p.size == 0:
        return {"abs_rel": float("nan"), "abs_rel_raw": float("nan"), "delta_1": float("nan")}
    scaled = p * np.median(t / p)
    ratio = np.maximum(scaled / t, t / scaled)
    return {
        "abs_rel": float(np.mean(np.abs(scaled - t) / t)),
        "abs_rel_raw": float(np.mean(np.abs(p - t) / t)),
        "delta_1": float(np.mean(ratio < 1.25)),
    }
