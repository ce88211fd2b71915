"""Differences of scenes: nothing for the same, what was done to it for another, whatever its place and size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from manyview.models.geometry import quaternion_to_rotation
from manyview.nodes.compare import compare, comparison_text, difference_pictures
from manyview.scene.reconstruction import Reconstruction
from manyview.scene.scaling import scaled


def turned(axis: int, degrees: float) -> np.ndarray:
    """A rotation about an axis."""
    quaternion = torch.zeros(4, dtype=torch.float64)
    quaternion[axis], quaternion[3] = np.sin(np.radians(degrees) / 2), np.cos(np.radians(degrees) / 2)
    return quaternion_to_rotation(quaternion).numpy()


def elsewhere(scene: Reconstruction, rotation: np.ndarray, shift: np.ndarray) -> Reconstruction:
    """The same scene with its world moved."""
    poses = scene.camera_to_world.copy()
    poses[:, :3, :3] = rotation @ poses[:, :3, :3]
    poses[:, :3, 3] = poses[:, :3, 3] @ rotation.T + shift
    return replace(scene, world_to_camera=np.linalg.inv(poses)[:, :3])


def test_a_scene_is_like_itself(make_scene) -> None:
    scene = make_scene()
    found = compare(scene, scene)
    assert np.nanmax(found.depth) == 0 and found.scale == 1
    assert found.rotation_degrees.max() < 1e-6 and found.position.max() < 1e-9
    assert "0.00 % for the median pixel" in comparison_text(found)


def test_place_and_size_of_the_world_do_not_matter(make_scene) -> None:
    scene = make_scene()
    other = scaled(elsewhere(scene, turned(1, 70), np.array([3.0, -2.0, 1.0])), 4.0)
    found = compare(other, scene)
    assert found.scale == pytest.approx(0.25, rel=1e-5)
    assert np.nanmax(found.depth) < 1e-5 and found.rotation_degrees.max() < 1e-5 and found.position.max() < 1e-5


def test_differences_are_measured(make_scene) -> None:
    scene = make_scene()
    depth = scene.depth.copy()
    depth[1, :, 5:] *= 1.2
    poses = scene.world_to_camera.copy()
    poses[2, :, :3] = turned(0, 5) @ poses[2, :, :3]
    poses[3, 2, 3] += 0.25
    found = compare(replace(scene, depth=depth, world_to_camera=poses), scene)
    assert found.depth[1, 0, -1] == pytest.approx(0.2, rel=1e-3) and found.depth[0].max() < 1e-6
    assert found.rotation_degrees[2] == pytest.approx(5) and found.rotation_degrees[1] < 1e-5
    moved = np.linalg.norm(found.position * found.extent)
    assert found.position[3] * found.extent == pytest.approx(0.25, rel=1e-3) and moved > 0
    text = comparison_text(found)
    assert "at most 5 degrees" in text and "20.00 % for one in ten" in text


def test_other_resolutions_meet_on_the_original(make_scene) -> None:
    large, small = make_scene(size=(42, 56)), make_scene(size=(21, 28), scale_offset=(2.0, 2.0, 0.0, 0.0))
    found = compare(small, large)
    assert found.depth.shape == (4, 42, 56)
    assert np.nanmedian(found.depth) < 0.03 and np.isfinite(found.depth).mean() > 0.9
    cut = make_scene(size=(42, 28), scale_offset=(1.0, 1.0, 14.0, 0.0))
    assert np.isnan(compare(cut, large).depth[0, 0, :14]).all(), "outside of the cut picture there is no depth"


def test_pictures(make_scene) -> None:
    scene = make_scene()
    depth = scene.depth.copy()
    depth[0, 0, 0], depth[0, 1, 1] = 0, 5 * depth[0, 1, 1]
    pictures = difference_pictures(compare(replace(scene, depth=depth), scene))
    assert pictures.shape == (4, 42, 56, 3) and pictures.dtype == np.uint8
    assert tuple(pictures[0, 0, 0]) == (150, 150, 150) and tuple(pictures[0, 1, 1]) == (170, 20, 40)
    assert tuple(pictures[1, 3, 3]) == (20, 28, 48)


def test_cameras_that_stand_still(make_scene) -> None:
    scene = make_scene(frames=1)
    found = compare(scene, scene)
    assert found.extent == pytest.approx(np.median(scene.depth), rel=1e-3) and found.position.max() == 0
    assert comparison_text(found)


def test_nothing_in_common(make_scene) -> None:
    scene = make_scene()
    found = compare(replace(scene, depth=np.zeros_like(scene.depth)), scene)
    assert np.isnan(found.depth).all() and "no pixel has a depth in both" in comparison_text(found)


def test_scenes_of_other_images(make_scene) -> None:
    with pytest.raises(ValueError, match=r"different images \(3 and 4 views\)"):
        compare(make_scene(frames=3), make_scene())
