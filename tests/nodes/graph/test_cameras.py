"""Cameras for other nodes."""

import json

import numpy as np
import pytest
import torch

from manyview.models.geometry import quaternion_to_rotation
from manyview.nodes.graph.cameras import UNITS, VIEWER, camera_matrices, run_cameras, viewer_camera, viewer_frame
from manyview.nodes.graph.packets import points_packet, scene_packet
from manyview.scene.export.axes import FLIP
from manyview.scene.pointcloud import PointCloud
from manyview.scene.reconstruction import Reconstruction


@pytest.fixture
def scene() -> Reconstruction:
    """Two frames, the second turned and moved."""
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    poses = np.stack([np.eye(3, 4), np.concatenate((turn, [[1.0], [2], [3]]), axis=1)])
    intrinsics = np.tile(np.array([[50.0, 0, 20], [0, 50, 15], [0, 0, 1]]), (2, 1, 1))
    shape = (2, 30, 40)
    return Reconstruction(
        images=np.zeros((*shape, 3), np.uint8),
        depth=np.full(shape, 4.0, np.float32),
        confidence=np.ones(shape, np.float32),
        world_to_camera=poses,
        intrinsics=intrinsics,
        names=("a", "b"),
        original_sizes=np.full((2, 2), 40),
        scale_offset=np.tile([1.0, 1, 0, 0], (2, 1)),
        pixel_center=0.0,
    )


def cloud_of(points: np.ndarray) -> PointCloud:
    count = len(points)
    colors, confidence = np.zeros((count, 3), np.uint8), np.ones(count, np.float32)
    frame, pixel = np.zeros(count, np.int32), np.zeros((count, 2), np.int32)
    return PointCloud(points.astype(np.float32), colors, confidence, frame, pixel)


def test_matrices(scene: Reconstruction) -> None:
    extrinsics, intrinsics = camera_matrices(scene)
    np.testing.assert_allclose(extrinsics[:, :3], scene.world_to_camera)
    assert extrinsics[:, 3].tolist() == [[0, 0, 0, 1]] * 2
    assert intrinsics[0].tolist() == [[50, 0, 20.5], [0, 50, 15.5], [0, 0, 1]]
    assert scene.intrinsics[0, 0, 2] == 20  # the scene's own stay as they are


@pytest.mark.parametrize("frame", [0, 1])
def test_viewer_camera_looks_where_the_camera_looked(scene: Reconstruction, frame: int) -> None:
    camera = viewer_camera(scene, frame)
    rotation = quaternion_to_rotation(torch.tensor([camera["quaternion"][axis] for axis in "xyzw"])).numpy()
    position = np.array([camera["position"][axis] for axis in "xyz"])
    target = np.array([camera["target"][axis] for axis in "xyz"])
    np.testing.assert_allclose(position, FLIP[:3, :3] @ scene.camera_positions[frame], atol=1e-6)
    np.testing.assert_allclose(rotation @ [0, 0, -4], target - position, atol=1e-5)  # 4 is the depth everywhere
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-6)
    assert camera["fov"] == pytest.approx(2 * np.degrees(np.arctan(15 / 50))) and camera["aspect"] == 40 / 30


def test_viewer_camera_follows_the_viewers_own_scaling(scene: Reconstruction) -> None:
    corners = np.array([[0.0, 0, 0], [2, 0, 0], [0, -4, 6]])
    center, radius = viewer_frame(cloud_of(corners))
    np.testing.assert_allclose(center, [1, 2, -3])  # y up, z backward
    assert radius == pytest.approx(np.sqrt(14))
    free, fitted = viewer_camera(scene, 1), viewer_camera(scene, 1, cloud_of(corners))
    for axis, middle in zip("xyz", center, strict=True):
        assert fitted["position"][axis] == pytest.approx((free["position"][axis] - middle) / radius)
    assert fitted["quaternion"] == free["quaternion"]


def test_nothing_to_look_at(scene: Reconstruction) -> None:
    assert viewer_frame(cloud_of(np.zeros((0, 3))))[1] == 1.0
    scene.depth[:] = 0
    assert viewer_camera(scene, 0)["target"]["z"] == pytest.approx(-1)


def test_node_gives_matrices_text_and_one_camera(host, scene: Reconstruction) -> None:
    packet = scene_packet(scene)
    extrinsics, intrinsics, camera, fov, text = run_cameras(host, scene=packet, frame=1, coordinates=UNITS).outputs
    assert extrinsics.shape == (2, 4, 4) and intrinsics.shape == (2, 3, 3)
    assert camera == viewer_camera(scene, 1) and fov == camera["fov"]
    views = json.loads(text)["views"]
    assert [view["name"] for view in views] == ["a", "b"] and views[0]["width"] == 40
    np.testing.assert_allclose(views[1]["world_to_camera"], scene.world_to_camera[1])
    fitted = run_cameras(host, scene=packet, frame=1, coordinates=VIEWER).outputs[2]
    assert fitted["position"] != camera["position"]
    points = points_packet(cloud_of(np.eye(3)))
    assert run_cameras(host, scene=packet, points=points, frame=1, coordinates=VIEWER).outputs[2] != fitted
    with pytest.raises(ValueError, match="frame is 2, but the scene has 2 views"):
        run_cameras(host, scene=packet, frame=2, coordinates=UNITS)
