"""Cloud distances on clouds whose distances are known."""

import numpy as np
import pytest

from manyview.evaluation.clouds import (
    cloud_errors,
    estimate_normals,
    f_score,
    fastvggt_chamfer,
    normals_by_tree,
    voxel_means,
)


def plane(height: float = 0.0, side: int = 20) -> np.ndarray:
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) / side
    return np.concatenate([grid, np.full((len(grid), 1), height)], 1)


def test_a_cloud_with_itself() -> None:
    random = np.random.default_rng(0).normal(size=(200, 3))
    errors = cloud_errors(random, random)
    assert errors["accuracy"] == errors["completion"] == errors["chamfer"] == 0
    assert errors["normal_consistency"] == pytest.approx(1.0)
    assert errors["normal_consistency_median"] == pytest.approx(1.0)


def test_a_plane_that_is_off() -> None:
    errors = cloud_errors(plane(0.01), plane())
    for name in ("accuracy", "accuracy_median", "completion", "completion_median", "chamfer"):
        assert errors[name] == pytest.approx(0.01)
    assert errors["normal_consistency"] == pytest.approx(1.0)
    assert "normal_consistency" not in cloud_errors(plane(0.01), plane(), normals=False)


def test_accuracy_and_completion_are_not_the_same() -> None:
    half = plane()[plane()[:, 0] < 0.5]
    errors = cloud_errors(half, plane())
    assert errors["accuracy"] == 0 and errors["completion"] > 0.05
    assert errors["chamfer"] == pytest.approx(errors["completion"] / 2)


def test_f_score_is_strict() -> None:
    step = 2.0**-7
    assert f_score(plane(step), plane(), 2 * step)["f_score"] == 1.0
    assert f_score(plane(step), plane(), step) == {"precision": 0.0, "recall": 0.0, "f_score": 0.0}
    assert f_score(np.empty((0, 3)), plane(), 1.0)["f_score"] == 0.0


def test_bad_clouds_are_refused() -> None:
    with pytest.raises(ValueError, match="predicted cloud must be"):
        cloud_errors(np.empty((0, 3)), plane())
    with pytest.raises(ValueError, match="not finite"):
        cloud_errors(plane() * np.nan, plane())


def test_normals_of_a_sphere_point_outwards_or_inwards() -> None:
    directions = np.random.default_rng(1).normal(size=(3000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for normals in (normals_by_tree(directions, chunk=1000), estimate_normals(directions)):
        assert np.abs(np.sum(normals * directions, 1)).min() > 0.98
    assert normals_by_tree(directions[:2]).shape == (2, 3)


def test_normals_equal_open3d() -> None:
    pytest.importorskip("open3d", reason="open3d is not installed (pip install open3d)")
    points = np.random.default_rng(2).normal(size=(500, 3)) * [1, 1, 0.05]
    alike = np.abs(np.sum(normals_by_tree(points) * estimate_normals(points), 1))
    assert alike.min() > 1 - 1e-6


def test_voxels_hold_their_mean() -> None:
    found = voxel_means(np.array([[0.0, 0, 0], [0.2, 0, 0], [5.0, 0, 0]]), 1.0)
    np.testing.assert_allclose(found[found[:, 0].argsort()], [[0.1, 0, 0], [5, 0, 0]])


def test_fastvggt_chamfer_ignores_scale_and_place_but_not_turns() -> None:
    random = np.random.default_rng(3).uniform(size=(4000, 3)) * [3, 2, 1]
    assert fastvggt_chamfer(0.1 * random + 7, random) < 0.02
    turned = random[:, [1, 0, 2]]
    assert fastvggt_chamfer(turned, random) > 0.1
    assert fastvggt_chamfer(random, random + [0, 0, 0]) == pytest.approx(0)
    far = np.concatenate([random, [[1000.0, 0, 0]]])  # one outlier ruins the box
    assert 0.5 < fastvggt_chamfer(far, random) <= 1.0  # a sum of two clipped means
    with pytest.raises(ValueError, match="single point"):
        fastvggt_chamfer(np.ones((3, 3)), random)
