"""One stored prediction and the truth of its scene -> numbers. Pure, so scores can be made again at any time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .alignment import DegenerateError, Similarity, icp, umeyama
from .clouds import cloud_errors, f_score, fastvggt_chamfer
from .dtu_official import dtu_errors
from .metrics import auc, depth_errors, pair_errors, share_below
from .scene import EvaluationScene, Prediction, ScoringRules, Truth
from .trajectory import fastvggt_errors, inverse, procrustes_ate, trajectory_errors

FASTVGGT_CONFIDENCE = 3.0


@dataclass(frozen=True)
class Score:
    """`numbers` of one scene by name: shares in percent, angles in degrees, lengths in the unit of the data set.

    `pairs`: "rotation" and "translation", the errors of all pairs, if pairs were scored.
    """

    numbers: dict[str, float]
    pairs: dict[str, np.ndarray] = field(default_factory=dict)


def score(scene: EvaluationScene, prediction: Prediction, rules: ScoringRules) -> Score:
    """All metrics that the rules ask for; ValueError with one sentence if the prediction cannot be scored."""
    truth, numbers, pairs = scene.truth, {}, {}
    for metric in rules.metrics:
        if metric in ("pairs", "two_view"):
            pairs = dict(
                zip(("rotation", "translation"), scored_pairs(prediction, truth, rules.relative_form), strict=True)
            )
            numbers |= pair_numbers(pairs["rotation"], pairs["translation"], rules.thresholds)
        elif metric in ("trajectory", "procrustes"):
            numbers |= trajectory_numbers(metric, prediction, truth)
        elif metric == "depth":
            maps = resized(prediction.depth[..., None], truth.depth.shape[1:])[..., 0]
            errors = depth_errors(maps, truth.depth, truth.valid)
            numbers |= {name: 100 * value for name, value in errors.items()}
        elif metric == "points":
            numbers |= point_numbers(prediction, truth, rules)
        elif metric == "dtu_official":
            numbers |= dtu_errors(aligned_points(prediction, truth)[0], truth.dtu)
        elif metric == "focal":
            numbers |= focal_numbers(prediction, truth)
        elif metric == "scannet50":
            numbers |= scannet50_numbers(prediction, truth)
        else:
            raise ValueError(f"There is no metric {metric!r}.")
    return Score({name: float(value) for name, value in numbers.items()}, pairs)


def scored_pairs(prediction: Prediction, truth: Truth, form: str) -> tuple[np.ndarray, np.ndarray]:
    if prediction.world_to_camera is None:
        raise ValueError("The method gives no cameras, so their pairs cannot be scored.")
    return pair_errors(prediction.world_to_camera, truth.world_to_camera, form)


def pair_numbers(rotation: np.ndarray, translation: np.ndarray, thresholds: tuple[int, ...]) -> dict[str, float]:
    """AUC of the larger error, of each error alone, and shares below each threshold, in percent; medians in degrees."""
    worst = np.maximum(rotation, translation)
    numbers = {f"auc_{threshold}": 100 * auc(worst, threshold) for threshold in thresholds}
    for threshold in thresholds:
        numbers[f"rra_{threshold}"] = 100 * share_below(rotation, threshold)
        numbers[f"rta_{threshold}"] = 100 * share_below(translation, threshold)
        numbers[f"rotation_auc_{threshold}"] = 100 * auc(rotation, threshold)
        numbers[f"translation_auc_{threshold}"] = 100 * auc(translation, threshold)
    numbers["rotation_median_deg"] = float(np.median(rotation)) if rotation.size else float("nan")
    numbers["translation_median_deg"] = float(np.median(translation)) if translation.size else float("nan")
    return numbers


def focal_numbers(prediction: Prediction, truth: Truth) -> dict[str, float]:
    """Median error of the focal length in percent, and the median of predicted over true."""
    if prediction.intrinsics is None:
        return {}  # a method without intrinsics is scored on its poses alone
    known = np.isfinite(truth.focal)
    if not known.any():
        return {}
    ratio = prediction.intrinsics[known, 0, 0] / truth.focal[known]
    return {"focal_error": 100 * float(np.median(np.abs(ratio - 1))), "focal_ratio": float(np.median(ratio))}


def trajectory_numbers(metric: str, prediction: Prediction, truth: Truth) -> dict[str, float]:
    if prediction.world_to_camera is None:
        raise ValueError("The method gives no cameras, so their trajectory cannot be scored.")
    if not np.isfinite(prediction.world_to_camera).all():
        raise ValueError("The predicted cameras are not finite.")
    predicted, true = inverse(prediction.world_to_camera), inverse(truth.world_to_camera)
    if metric == "trajectory":
        if on_a_line(true[:, :3, 3]):
            return {}  # also every pair of cameras: the scene says nothing about a trajectory
        return trajectory_errors(predicted, true)
    return {"procrustes_ate": procrustes_ate(predicted[:, :3, 3], true[:, :3, 3])}


def on_a_line(centres: np.ndarray) -> bool:
    """True if true camera centres (N, 3) do not determine an alignment."""
    try:
        umeyama(centres, centres)
    except DegenerateError:
        return True
    return False


def point_numbers(prediction: Prediction, truth: Truth, rules: ScoringRules) -> dict[str, float]:
    """Similarity over all valid pixels, then ICP, then distances (Spann3R, CUT3R, Pi3)."""
    moved, true = aligned_points(prediction, truth)
    if rules.point_limit is not None and len(true) > rules.point_limit:
        chosen = np.random.default_rng(0).choice(len(true), rules.point_limit, replace=False)
        moved, true = moved[chosen], true[chosen]
    if rules.icp_distance is not None:
        moved = icp(moved, true, rules.icp_distance).apply(moved)
    numbers = cloud_errors(moved, true, normals=rules.normals)
    if rules.f_threshold is not None:
        numbers |= {name: 100 * value for name, value in f_score(moved, true, rules.f_threshold).items()}
    return numbers


def aligned_points(prediction: Prediction, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Predicted points (M, 3) of all valid pixels after the similarity to the true ones, and those."""
    predicted = resized(prediction.world_points(), truth.valid.shape[1:])[truth.valid]
    true = truth.points[truth.valid]
    if len(true) == 0:
        raise ValueError("No pixel of this scene has a true depth.")
    if not np.isfinite(predicted).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(predicted).all(1))} predicted points are not finite.")
    return umeyama(predicted, true).apply(predicted), true


def scannet50_numbers(prediction: Prediction, truth: Truth) -> dict[str, float]:
    """FastVGGT's numbers of long ScanNet sequences; the prediction's world is its first camera."""
    cameras = prediction.world_to_camera
    numbers = trajectory_numbers("trajectory", prediction, truth) | fastvggt_errors(cameras, truth.world_to_camera)
    if truth.cloud is None:
        return numbers
    points = prediction.world_points()
    sure = np.isfinite(points).all(-1)
    if prediction.confidence is not None:
        sure &= prediction.confidence >= FASTVGGT_CONFIDENCE
    if not sure.any():
        raise ValueError(f"No predicted point has a confidence of at least {FASTVGGT_CONFIDENCE}.")
    first = inverse(truth.world_to_camera[:1])[0] @ np.vstack([cameras[0], [0, 0, 0, 1]])
    placed = Similarity(1.0, first[:3, :3], first[:3, 3]).apply(points[sure])
    return numbers | {"fastvggt_chamfer": fastvggt_chamfer(placed, truth.cloud)}


def resized(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (N, H, W, C) at another size (H', W'): bilinear with antialiasing; the same size leaves them as they are."""
    if maps.shape[1:3] == tuple(size):
        return maps
    import torch
    from torch.nn.functional import interpolate

    channels = torch.from_numpy(np.ascontiguousarray(maps.transpose(0, 3, 1, 2)))
    found = interpolate(channels, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
    return found.numpy().transpose(0, 2, 3, 1)
