"""Trajectory errors: invariance, known sizes, and the identity between the two kinds of ATE."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from manyview.evaluation.alignment import DegenerateError, Similarity, umeyama
from manyview.evaluation.trajectory import fastvggt_errors, inverse, procrustes_ate, trajectory_errors


def trajectory(count: int = 12, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.random(count, rng=random).as_matrix()
    poses[:, :3, 3] = np.cumsum(random.normal(size=(count, 3)), 0)
    return poses


def similarity() -> Similarity:
    return Similarity(0.3, Rotation.from_rotvec([0.2, 1.0, -0.4]).as_matrix(), np.array([4.0, 5.0, 6.0]))


def test_world_frame_and_scale_do_not_matter() -> None:
    for value in trajectory_errors(similarity().apply_to_cameras(trajectory()), trajectory()).values():
        assert value == pytest.approx(0, abs=1e-9)


def test_ate_is_the_rms_after_alignment() -> None:
    truth, noisy = trajectory(), trajectory()
    noisy[:, :3, 3] += 0.1 * np.random.default_rng(1).normal(size=(12, 3))
    aligned = umeyama(noisy[:, :3, 3], truth[:, :3, 3]).apply(noisy[:, :3, 3])
    expected = np.sqrt(np.mean(np.sum((aligned - truth[:, :3, 3]) ** 2, 1)))
    assert trajectory_errors(noisy, truth)["ate"] == pytest.approx(expected)


def test_rotation_errors_of_known_size() -> None:
    truth, turned = trajectory(), trajectory()
    turned[:, :3, :3] = turned[:, :3, :3] @ Rotation.from_euler("x", 3, degrees=True).as_matrix()
    assert trajectory_errors(turned, truth)["are_deg"] == pytest.approx(3.0)
    drifting = trajectory()
    for index in range(len(drifting)):
        drifting[index, :3, :3] = (
            drifting[index, :3, :3] @ Rotation.from_euler("y", 2 * (index % 2), degrees=True).as_matrix()
        )
    assert trajectory_errors(drifting, truth)["rpe_rotation_deg"] > 1.0


def test_procrustes_ate_identity() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(25, 3))
    predicted = similarity().apply(truth) + 0.01 * random.normal(size=(25, 3))
    rmse = np.sqrt(np.mean(np.sum((umeyama(predicted, truth).apply(predicted) - truth) ** 2, 1)))
    spread = np.linalg.norm(truth - truth.mean(0))
    assert procrustes_ate(predicted, truth) == pytest.approx(rmse / (np.sqrt(3) * spread), rel=1e-6)


def test_a_mirrored_trajectory_fools_procrustes_only() -> None:
    truth, mirrored = trajectory(), trajectory()
    mirrored[:, 0, 3] *= -1
    assert procrustes_ate(mirrored[:, :3, 3], truth[:, :3, 3]) == pytest.approx(0, abs=1e-9)
    assert trajectory_errors(mirrored, truth)["ate"] > 0.1


def test_degenerate_trajectories_raise() -> None:
    still = np.tile(np.eye(4), (5, 1, 1))
    with pytest.raises(DegenerateError):
        trajectory_errors(still, trajectory(5))
    with pytest.raises(ValueError, match="not finite"):
        procrustes_ate(np.full((5, 3), np.nan), trajectory(5)[:, :3, 3])
    with pytest.raises(ValueError, match="must both be"):
        trajectory_errors(still, trajectory(4))


def test_inverse() -> None:
    np.testing.assert_allclose(inverse(trajectory()) @ trajectory(), np.tile(np.eye(4), (12, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(inverse(trajectory()[:, :3]), inverse(trajectory()))


def test_the_fastvggt_form_is_another_number() -> None:
    truth, noisy = trajectory(), trajectory()
    noisy[:, :3, 3] += 0.2 * np.random.default_rng(2).normal(size=(12, 3))
    legacy = fastvggt_errors(inverse(noisy)[:, :3], inverse(truth)[:, :3])
    assert legacy["legacy_ate"] > 1.05 * trajectory_errors(noisy, truth)["ate"]
    assert set(legacy) == {"legacy_ate", "legacy_are_deg", "legacy_rpe_translation", "legacy_rpe_rotation_deg"}
    same = fastvggt_errors(inverse(truth)[:, :3], inverse(truth)[:, :3])
    assert max(same.values()) == pytest.approx(0, abs=1e-5)


def test_equals_evo() -> None:
    pytest.importorskip("evo", reason="evo is not installed (pip install evo)")
    from evo.core import metrics as evo
    from evo.core.trajectory import PosePath3D

    truth, noisy = trajectory(40), trajectory(40)
    random = np.random.default_rng(3)
    noisy = similarity().apply_to_cameras(noisy)
    noisy[:, :3, 3] += 0.02 * random.normal(size=(40, 3))
    noisy[:, :3, :3] = noisy[:, :3, :3] @ Rotation.from_rotvec(0.05 * random.normal(size=(40, 3))).as_matrix()
    ours = trajectory_errors(noisy, truth)
    reference, estimate = PosePath3D(poses_se3=list(truth)), PosePath3D(poses_se3=list(noisy))
    estimate.align(reference, correct_scale=True)

    def theirs(metric) -> float:
        metric.process_data((reference, estimate))
        return metric.get_statistic(evo.StatisticsType.rmse)

    step = {"delta": 1, "delta_unit": evo.Unit.frames, "all_pairs": True}
    assert ours["ate"] == pytest.approx(theirs(evo.APE(evo.PoseRelation.translation_part)))
    assert ours["are_deg"] == pytest.approx(theirs(evo.APE(evo.PoseRelation.rotation_angle_deg)))
    assert ours["rpe_translation"] == pytest.approx(theirs(evo.RPE(evo.PoseRelation.translation_part, **step)))
    assert ours["rpe_rotation_deg"] == pytest.approx(theirs(evo.RPE(evo.PoseRelation.rotation_angle_deg, **step)))
