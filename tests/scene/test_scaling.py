"""Other units: everything that is a length changes alike, nothing else does."""

from dataclasses import replace

import numpy as np
import pytest

from manyview.scene.pointcloud import point_cloud
from manyview.scene.reconstruction import Reconstruction
from manyview.scene.scaling import scaled


def test_lengths_scale_and_nothing_else(room: Reconstruction) -> None:
    twice = scaled(room, 2.5)
    np.testing.assert_allclose(twice.depth, 2.5 * room.depth)
    np.testing.assert_allclose(twice.camera_positions, 2.5 * room.camera_positions, atol=1e-12)
    np.testing.assert_array_equal(twice.world_to_camera[:, :, :3], room.world_to_camera[:, :, :3])
    np.testing.assert_array_equal(twice.intrinsics, room.intrinsics)
    before, after = (point_cloud(each, outlier_filter=False) for each in (room, twice))
    np.testing.assert_allclose(after.points, 2.5 * before.points, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(after.pixel, before.pixel)


def test_points_of_a_point_head_scale(room: Reconstruction) -> None:
    points = room.points()
    headed = replace(room, world_points=points, point_source="points")
    np.testing.assert_allclose(scaled(headed, 0.5).points(), 0.5 * points, rtol=1e-6)


def test_the_original_stays(room: Reconstruction) -> None:
    before = room.world_to_camera.copy()
    scaled(room, 3).settings["x"] = 1
    np.testing.assert_array_equal(room.world_to_camera, before)
    assert "x" not in room.settings


@pytest.mark.parametrize("factor", [0, -1, np.nan, np.inf])
def test_a_scale_is_positive(room: Reconstruction, factor: float) -> None:
    with pytest.raises(ValueError, match="scale must be a positive number"):
        scaled(room, factor)
