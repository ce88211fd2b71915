"""Errors of camera trajectories: ATE and RPE as evo defines them, and the Procrustes ATE of Tanks & Temples.

Poses are camera_to_world (N, 4, 4), OpenCV axes. evo is not needed; a test compares with it where it is installed.
"""

from __future__ import annotations

import numpy as np

from .alignment import Similarity, umeyama


def trajectory_errors(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """ATE, ARE and RPE of camera_to_world poses (N, 4, 4) after one similarity alignment of the centres.

    ate: RMSE of the centres, in units of the truth. are_deg: RMSE of the absolute rotation angle. rpe_translation and
    rpe_rotation_deg: RMSE over steps of one frame. DegenerateError if the centres do not determine the alignment.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or predicted.shape[1:] != (4, 4):
        raise ValueError(f"Trajectories must both be (N, 4, 4), got {predicted.shape} and {truth.shape}.")
    return errors_after(umeyama(predicted[:, :3, 3], truth[:, :3, 3]), predicted, truth)


def errors_after(alignment: Similarity, predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The four errors once the alignment is known."""
    return pose_errors(alignment.apply_to_cameras(predicted), truth)


def pose_errors(moved: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The four errors of poses in the same frame and scale."""
    centre = np.linalg.norm(moved[:, :3, 3] - truth[:, :3, 3], axis=1)
    absolute = angles(truth[:, :3, :3].transpose(0, 2, 1) @ moved[:, :3, :3])
    step = inverse(relative_steps(truth)) @ relative_steps(moved)  # (N - 1, 4, 4)
    return {
        "ate": rms(centre),
        "are_deg": rms(absolute),
        "rpe_translation": rms(np.linalg.norm(step[:, :3, 3], axis=1)),
        "rpe_rotation_deg": rms(angles(step[:, :3, :3])),
    }


def relative_steps(poses: np.ndarray) -> np.ndarray:
    """Pose of every frame seen from the one before it, (N - 1, 4, 4)."""
    return inverse(poses[:-1]) @ poses[1:]


def inverse(poses: np.ndarray) -> np.ndarray:
    """Rigid poses (N, 3, 4) or (N, 4, 4) the other way round, (N, 4, 4), in closed form."""
    result = np.tile(np.eye(4), (len(poses), 1, 1))
    result[:, :3, :3] = poses[:, :3, :3].transpose(0, 2, 1)
    result[:, :3, 3] = -np.einsum("nij,nj->ni", result[:, :3, :3], poses[:, :3, 3])
    return result


def homogeneous(poses: np.ndarray) -> np.ndarray:
    """Poses (N, 3, 4) or (N, 4, 4) as (N, 4, 4) float64."""
    result = np.tile(np.eye(4), (len(poses), 1, 1))
    result[:, :3] = np.asarray(poses)[:, :3]
    return result


def angles(rotations: np.ndarray) -> np.ndarray:
    """Angles (N,) of rotations (N, 3, 3) in degrees, exact near 0 too."""
    skew = rotations - rotations.transpose(0, 2, 1)
    sine = np.linalg.norm(np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], 1), axis=1) / 2
    return np.degrees(np.arctan2(sine, (np.trace(rotations, axis1=1, axis2=2) - 1) / 2))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def procrustes_ate(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Unitless ATE of camera centres (N, 3) after scipy's Procrustes analysis (FlowMap, MASt3R-SfM, Light3R-SfM).

    Reflections are allowed, and it shrinks like 1 / sqrt(N): never compare it between different numbers of frames.
    ValueError if all centres of one side coincide.
    """
    from scipy.spatial import procrustes

    if not np.isfinite(predicted).all():
        raise ValueError("Predicted camera centres are not finite.")
    a, b, _ = procrustes(truth, predicted)
    return float(np.sqrt(np.mean((a - b) ** 2)))


def fastvggt_errors(predicted_w2c: np.ndarray, truth_w2c: np.ndarray) -> dict[str, float]:
    """The ScanNet-50 numbers as FastVGGT publishes them: world_to_camera matrices taken for a trajectory.

    Both worlds become the first camera. After the similarity of the "centres" the first poses are made to coincide, as
    evo 1.31 to 1.34.2 did when both options were on. Not an error of the cameras: report `trajectory_errors` beside it.
    """
    predicted, truth = (homogeneous(x) @ inverse(homogeneous(x)[:1]) for x in (predicted_w2c, truth_w2c))
    moved = umeyama(predicted[:, :3, 3], truth[:, :3, 3]).apply_to_cameras(predicted)
    moved = truth[:1] @ inverse(moved[:1]) @ moved
    return {f"legacy_{name}": value for name, value in pose_errors(moved, truth).items()}
