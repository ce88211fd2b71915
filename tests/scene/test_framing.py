"""The first look goes where the trusted points are."""

import numpy as np

from manyview.scene.framing import focus
from manyview.scene.pointcloud import PointCloud


def cloud(points: np.ndarray, confidence: np.ndarray) -> PointCloud:
    count = len(points)
    return PointCloud(
        points.astype(np.float32),
        np.zeros((count, 3), np.uint8),
        confidence.astype(np.float32),
        np.zeros(count, np.int32),
        np.zeros((count, 2), np.int32),
    )


def test_an_object_before_a_doubtful_background() -> None:
    random = np.random.default_rng(0)
    thing = random.normal((1, 2, 3), 0.1, (600, 3))
    behind = random.normal((1, 2, 30), 5, (500, 3))
    found = focus(cloud(np.concatenate((thing, behind)), np.repeat((0.8, 0.1), (600, 500))))
    assert np.linalg.norm(found.center - (1, 2, 3)) < 0.05
    inside = np.linalg.norm(thing - found.center, axis=1) <= found.radius
    assert 0.1 < found.radius < 0.5 and inside.mean() > 0.8


def test_scale_and_place_are_those_of_the_points() -> None:
    points = np.random.default_rng(1).normal(size=(300, 3))
    one, other = (focus(cloud(each, np.ones(300))) for each in (points, 7 * points + 2))
    assert np.allclose(7 * one.center + 2, other.center, atol=1e-4) and np.isclose(7 * one.radius, other.radius)


def test_nothing_to_look_at() -> None:
    assert focus(cloud(np.zeros((0, 3)), np.zeros(0))) is None
    assert focus(cloud(np.ones((5, 3)), np.ones(5))) is None
