"""Which way is up."""

import numpy as np
import pytest

from manyview.scene.upright import up_direction


def pose(pitch: float, yaw: float, roll: float = 0.0) -> np.ndarray:
    """camera_to_world (4, 4), OpenCV axes, of a camera in a world whose y points down; angles in degrees."""
    p, y, r = np.radians((pitch, yaw, roll))
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    result = np.eye(4)
    result[:3, :3] = about_y @ about_x @ about_z
    return result


def test_cameras_that_look_down_from_all_sides_are_level() -> None:
    poses = np.stack([pose(-35, yaw) for yaw in (0, 20, 50, 80)])
    np.testing.assert_allclose(up_direction(poses), (0, -1, 0), atol=1e-9)
    mean = -poses[:, :3, 1].mean(axis=0)
    assert mean @ (0, -1, 0) / np.linalg.norm(mean) < 0.9, "the average of the cameras' own up is far off"


def test_a_world_that_is_turned_turns_up() -> None:
    turn = pose(25, 10, 40)
    poses = turn @ np.stack([pose(-20, yaw) for yaw in (0, 40, 90)])
    np.testing.assert_allclose(up_direction(poses), turn[:3, :3] @ (0, -1, 0), atol=1e-9)


@pytest.mark.parametrize("poses", [[pose(0, 0)], [pose(0, 3)] * 2, [pose(0, 0), pose(-2, 0), pose(2, 0)]])
def test_few_or_alike_cameras_say_it_themselves(poses: list[np.ndarray]) -> None:
    np.testing.assert_allclose(up_direction(np.stack(poses)), (0, -1, 0), atol=0.01)


def test_upside_down_cameras_do_not_cancel_out() -> None:
    poses = np.stack([pose(0, 0), pose(0, 0, 180)])
    np.testing.assert_allclose(up_direction(poses), (0, -1, 0), atol=1e-9)


def test_a_plane_that_contradicts_the_cameras_is_not_believed() -> None:
    rolled = np.stack([pose(0, 0, roll) for roll in (-60, 0, 60)])  # x axes span a plane that is not level
    up = up_direction(rolled)
    np.testing.assert_allclose(up, (0, -1, 0), atol=1e-9)
