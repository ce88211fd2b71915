"""GLB files, read by trimesh and pygltflib."""

import numpy as np
import pygltflib
import trimesh

from manyview.scene.export import write_glb
from manyview.scene.export.glb import linear_from_srgb
from manyview.scene.pointcloud import point_cloud

TYPES = {5121: np.uint8, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


def accessor_values(gltf, index):
    """The array of an accessor, taken from pygltflib's own view of the file."""
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    blob = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    assert view.byteOffset % 4 == 0
    return np.frombuffer(blob, TYPES[accessor.componentType]).reshape(accessor.count, WIDTHS[accessor.type])


def srgb_from_linear(linear):
    low, high = linear * 12.92, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    return np.rint(255 * np.where(linear <= 0.0031308, low, high)).astype(np.uint8)


def test_pygltflib_reads_points_colors_cameras_and_extras(room, tmp_path):
    cloud = point_cloud(room)
    extras = {"workflow": {"nodes": [1, 2]}, "prompt": "x"}
    write_glb(cloud, room, tmp_path / "room.glb", extras=extras)
    gltf = pygltflib.GLTF2().load(str(tmp_path / "room.glb"))
    assert gltf.asset.version == "2.0" and gltf.asset.extras == extras
    primitive = gltf.meshes[gltf.nodes[0].mesh].primitives[0]
    assert primitive.mode == pygltflib.POINTS
    positions = accessor_values(gltf, primitive.attributes.POSITION)
    np.testing.assert_array_equal(positions * np.float32((1, -1, -1)), cloud.points)
    np.testing.assert_array_equal(gltf.accessors[primitive.attributes.POSITION].min, positions.min(0))
    np.testing.assert_array_equal(gltf.accessors[primitive.attributes.POSITION].max, positions.max(0))
    np.testing.assert_array_equal(srgb_from_linear(accessor_values(gltf, primitive.attributes.COLOR_0)), cloud.colors)
    assert len(gltf.cameras) == len(room)
    assert [node.mesh is None for node in gltf.nodes[1:]] == [False, True] * len(room)
    for frame, node in enumerate(gltf.nodes[2::2]):
        pose = np.reshape(node.matrix, (4, 4)).T  # glTF camera to glTF world
        np.testing.assert_allclose(pose[:3, 3] * (1, -1, -1), room.camera_positions[frame], atol=1e-12)
        np.testing.assert_allclose(-pose[:3, 2] * (1, -1, -1), room.camera_to_world[frame, :3, 2], atol=1e-12)
        assert (node.extras["image"], node.extras["frame"]) == (room.names[frame], frame)
        assert node.extras["size"] == list(room.image_size[::-1])
        np.testing.assert_allclose(node.extras["intrinsics"], room.intrinsics[frame])
    assert gltf.scenes[0].extras["verdict"]["level"] == "not rated"


def test_trimesh_reads_points_and_frusta(room, tmp_path):
    cloud = point_cloud(room)
    write_glb(cloud, room, tmp_path / "room.glb")
    scene = trimesh.load(tmp_path / "room.glb")
    points = scene.geometry["points"]
    np.testing.assert_array_equal(points.vertices.astype(np.float32) * np.float32((1, -1, -1)), cloud.points)
    np.testing.assert_array_equal(points.colors[:, :3], np.rint(255 * linear_from_srgb(cloud.colors)))
    assert len(scene.geometry) == 1 + len(room)
    for frame, name in enumerate(room.names):
        transform, geometry = scene.graph[f"camera {frame}: {name}"]
        mesh = scene.geometry[geometry].copy().apply_transform(transform)
        tip = room.camera_positions[frame] * (1, -1, -1)
        size = np.linalg.norm(mesh.extents)
        assert np.linalg.norm(mesh.vertices - tip, axis=1).min() < 0.05 * size
        ahead = (mesh.vertices.mean(0) - tip) * (1, -1, -1) @ room.camera_to_world[frame, :3, 2]
        assert 0.2 * size < ahead < size


def test_srgb_bytes_can_be_stored_as_they_are(room, tmp_path):
    cloud = point_cloud(room)
    write_glb(cloud, None, tmp_path / "room.glb", linear_colors=False)
    scene = trimesh.load(tmp_path / "room.glb")
    np.testing.assert_array_equal(scene.geometry["points"].colors[:, :3], cloud.colors)
    assert list(scene.geometry) == ["points"]


def test_a_file_without_points_or_cameras_is_valid(room, tmp_path):
    empty = point_cloud(room, confidence_threshold=1.0)
    write_glb(empty, room, tmp_path / "cameras.glb")
    assert len(trimesh.load(tmp_path / "cameras.glb").geometry) == len(room)
    write_glb(empty, room, tmp_path / "nothing.glb", cameras=False)
    assert pygltflib.GLTF2().load(str(tmp_path / "nothing.glb")).nodes == []
