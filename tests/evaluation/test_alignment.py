"""Similarity and ICP recover known transforms and refuse what has none."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from manyview.evaluation.alignment import DegenerateError, Similarity, icp, icp_by_tree, umeyama


def points(count: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3))


def known(degrees: float = 70.0, scale: float = 2.5) -> Similarity:
    rotation = Rotation.from_rotvec([degrees, 0.3 * degrees, 0.1 * degrees], degrees=True).as_matrix()
    return Similarity(scale, rotation, np.array([1.0, -2.0, 3.0]))


def test_recovers_a_similarity() -> None:
    found = umeyama(points(), known().apply(points()))
    assert found.scale == pytest.approx(2.5, abs=1e-12)
    np.testing.assert_allclose(found.rotation, known().rotation, atol=1e-12)
    np.testing.assert_allclose(found.translation, known().translation, atol=1e-12)
    assert umeyama(points(), known().apply(points()), with_scale=False).scale == 1.0


def test_a_mirrored_cloud_is_not_reflected() -> None:
    assert np.linalg.det(umeyama(points(), points() * [1, 1, -1]).rotation) == pytest.approx(1.0)


def test_a_plane_is_enough_and_a_line_is_not() -> None:
    flat = points() * [1, 1, 0]
    np.testing.assert_allclose(umeyama(flat, known().apply(flat)).rotation, known().rotation, atol=1e-9)
    for bad in (points() * [1, 0, 0], np.ones((5, 3)), np.full((5, 3), np.nan), np.empty((0, 3))):
        with pytest.raises(DegenerateError):
            umeyama(bad, bad)
    with pytest.raises(ValueError, match="must both be"):
        umeyama(points(5), points(6))


def test_cameras_move_with_the_points() -> None:
    pose = np.eye(4)[None].copy()
    pose[0, :3, 3] = [1, 2, 3]
    moved = known().apply_to_cameras(pose)
    np.testing.assert_allclose(moved[0, :3, 3], known().apply(pose[:, :3, 3])[0])
    np.testing.assert_allclose(moved[0, :3, :3], known().rotation)


def test_icp_undoes_a_small_move() -> None:
    target = points(2000)
    small = Similarity(1.0, Rotation.from_euler("z", 1, degrees=True).as_matrix(), np.array([0.01, 0.0, -0.01]))
    moved = small.apply(target)
    found = icp(moved, target, 0.2)
    assert np.abs(found.apply(moved) - target).max() < 1e-3
    assert np.abs(moved - target).max() > 0.05
    with pytest.raises(ValueError, match="must be positive"):
        icp(moved, target, 0.0)


def test_icp_without_neighbours_moves_nothing() -> None:
    found = icp_by_tree(points(20), points(20) + 100, 0.1)
    np.testing.assert_array_equal(found.rotation, np.eye(3))
    np.testing.assert_array_equal(found.translation, 0)


def test_icp_equals_open3d() -> None:
    pytest.importorskip("open3d", reason="open3d is not installed (pip install open3d)")
    target = points(3000)
    moved = Similarity(1.0, Rotation.from_euler("x", 2, degrees=True).as_matrix(), np.full(3, 0.02)).apply(target)
    theirs, ours = icp(moved, target, 0.1), icp_by_tree(moved, target, 0.1)
    np.testing.assert_allclose(ours.rotation, theirs.rotation, atol=1e-9)
    np.testing.assert_allclose(ours.translation, theirs.translation, atol=1e-9)
