"""Metrics against hand-made cases and the golden values of the definitions."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from manyview.evaluation.metrics import auc, auc_step, auc_trapezoid, depth_errors, pair_errors, share_below
from manyview.evaluation.synthetic import summary

ERRORS = np.array([0.5, 1.0, 2.5, 4.999, 5.0, 7.0, 14.5, 29.99, 30.0, 30.001, 89.0])


GOLDEN = (  # threshold, histogram, exact step integral, trapezoid
    (3, 0.181818, 0.151515, 0.189394),
    (5, 0.254545, 0.200018, 0.245464),
    (10, 0.372727, 0.354555, 0.386373),
    (15, 0.436364, 0.421218, 0.465158),
    (20, 0.486364, 0.475005, 0.507959),
    (30, 0.542424, 0.528821, 0.574261),
)


@pytest.mark.parametrize(("threshold", "histogram", "step", "trapezoid"), GOLDEN)
def test_auc_golden_values(threshold: int, histogram: float, step: float, trapezoid: float) -> None:
    assert auc(ERRORS, threshold) == pytest.approx(histogram, abs=1e-6)
    assert auc_step(ERRORS, threshold) == pytest.approx(step, abs=1e-6)
    assert auc_trapezoid(ERRORS, threshold) == pytest.approx(trapezoid, abs=1e-6)


def test_thresholds_are_closed_in_the_histogram_and_open_in_shares() -> None:
    assert auc(np.array([5.0]), 5) == pytest.approx(1 / 5)
    assert auc(np.array([5.0 + 1e-9]), 5) == 0
    assert share_below(np.array([5.0, 4.999]), 5) == 0.5


def test_auc_counts_failures() -> None:
    assert auc(np.array([0.5, 180.0]), 5) == 0.5
    for area in (auc, auc_step, auc_trapezoid, share_below):
        assert np.isnan(area(np.array([]), 5))


def random_poses(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    rotation = Rotation.random(count, rng=random).as_matrix()
    return np.concatenate([rotation, random.normal(size=(count, 3, 1))], 2)


def test_pair_errors_ignore_world_frame_and_scale() -> None:
    truth = random_poses(5, 0)
    turn = random_poses(1, 1)[0]
    moved = truth.copy()  # X_camera = R (turn X' + t) + t_c with everything twice as large
    moved[:, :, :3] = truth[:, :, :3] @ turn[:, :3]
    moved[:, :, 3] = 2.0 * (truth[:, :, :3] @ turn[:, 3] + truth[:, :, 3])
    rotation, translation = pair_errors(moved, truth)
    assert rotation.shape == translation.shape == (10,)
    np.testing.assert_allclose(rotation, 0, atol=1e-5)
    np.testing.assert_allclose(translation, 0, atol=1e-5)


def test_the_first_vggt_form_depends_on_the_world() -> None:
    truth, noise = random_poses(6, 3), random_poses(6, 4)
    predicted = truth.copy()
    predicted[:, :, 3] += 0.1 * noise[:, :, 3]
    turn = random_poses(1, 5)[0]

    def in_another_world(poses: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [poses[:, :, :3] @ turn[:, :3], (poses[:, :, :3] @ turn[:, 3] + poses[:, :, 3])[..., None]], 2
        )

    for form, stays in (("relative", True), ("first_vggt", False)):
        before = pair_errors(predicted, truth, form)
        # the gauge bug: one world for both, but seen from another first camera
        after = pair_errors(predicted[::-1], truth[::-1], form)
        same = np.allclose(np.sort(before[1]), np.sort(after[1]), atol=1e-5)
        assert same is stays
        moved = pair_errors(in_another_world(predicted), in_another_world(truth), form)
        np.testing.assert_allclose(moved[1], before[1], atol=1e-5)
    with pytest.raises(ValueError, match="Unknown form"):
        pair_errors(truth, truth, "other")


def test_translation_error_of_a_camera_that_stands_still() -> None:
    truth = np.tile(np.eye(3, 4), (2, 1, 1))
    predicted = truth.copy()
    predicted[1, 0, 3] = 1.0
    assert pair_errors(predicted, truth)[1][0] == pytest.approx(90.0)


def test_pair_errors_of_known_size() -> None:
    truth = np.tile(np.eye(3, 4), (2, 1, 1))
    truth[1, :, 3] = [1, 0, 0]
    turned = truth.copy()
    turned[1, :, :3] = Rotation.from_euler("y", 10, degrees=True).as_matrix()
    turned[1, :, 3] = [np.cos(0.3), np.sin(0.3), 0]
    rotation, translation = pair_errors(turned, truth)
    assert rotation[0] == pytest.approx(10.0)
    assert translation[0] == pytest.approx(np.degrees(0.3))
    turned[1, :, 3] *= -1  # the sign of a direction does not count
    assert pair_errors(turned, truth)[1][0] == pytest.approx(np.degrees(0.3))


def test_pair_errors_of_broken_poses() -> None:
    truth = random_poses(3, 2)
    broken = truth.copy()
    broken[1] = np.nan
    rotation, translation = pair_errors(broken, truth)
    assert sorted(rotation.round()) == sorted(translation.round()) == [0, 180, 180]
    with pytest.raises(ValueError, match="must both be"):
        pair_errors(truth[:2], truth)


def test_depth_errors() -> None:
    truth = np.array([[[1.0, 2.0, 4.0, 8.0]]])
    valid = np.array([[[True, True, True, False]]])
    perfect = depth_errors(3.0 * truth, truth, valid)
    assert perfect["abs_rel"] == pytest.approx(0.0)
    assert perfect["abs_rel_raw"] == pytest.approx(2.0)
    assert perfect["delta_1"] == 1.0
    off = depth_errors(np.array([[[1.0, 2.0, 6.0, 99.0]]]), truth, valid)
    assert off["abs_rel"] == pytest.approx(0.5 / 3)
    assert off["delta_1"] == pytest.approx(2 / 3)
    assert np.isnan(depth_errors(truth, truth, np.zeros_like(valid))["abs_rel"])


def test_summary_is_in_percent() -> None:
    result = summary(
        np.array([0.5, 0.5]), np.array([0.2, 40.0]), [{"abs_rel": 0.1, "abs_rel_raw": 0.2, "delta_1": 0.9}]
    )
    assert result["auc_30"] == pytest.approx(50.0)
    assert result["abs_rel"] == pytest.approx(10.0)
