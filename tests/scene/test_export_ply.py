"""PLY files, read by plyfile and trimesh."""

import numpy as np
import plyfile
import pytest
import trimesh

from manyview.scene.export import write_ply
from manyview.scene.pointcloud import point_cloud


def test_plyfile_reads_what_the_cloud_holds(room, tmp_path):
    cloud = point_cloud(room)
    write_ply(cloud, tmp_path / "new" / "room.ply")
    data = plyfile.PlyData.read(tmp_path / "new" / "room.ply")
    vertex = data["vertex"]
    assert not data.text and data.byte_order == "<"
    assert any("y up" in comment for comment in data.comments)
    np.testing.assert_array_equal(np.stack((vertex["x"], -vertex["y"], -vertex["z"]), 1), cloud.points)
    np.testing.assert_array_equal(np.stack((vertex["red"], vertex["green"], vertex["blue"]), 1), cloud.colors)
    np.testing.assert_array_equal(vertex["confidence"], cloud.confidence)
    np.testing.assert_array_equal(vertex["view_id"], cloud.frame)


def test_trimesh_reads_the_same(room, tmp_path):
    cloud = point_cloud(room)
    write_ply(cloud, tmp_path / "room.ply")
    loaded = trimesh.load(tmp_path / "room.ply")
    np.testing.assert_allclose(loaded.vertices, cloud.points * (1, -1, -1), rtol=1e-6)
    np.testing.assert_array_equal(loaded.colors[:, :3], cloud.colors)


def test_an_empty_cloud_is_a_valid_file(room, tmp_path):
    write_ply(point_cloud(room, confidence_threshold=1.0), tmp_path / "empty.ply")
    assert len(plyfile.PlyData.read(tmp_path / "empty.ply")["vertex"]) == 0


def test_files_are_not_overwritten_silently(room, tmp_path):
    cloud, path = point_cloud(room), tmp_path / "room.ply"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="exists already"):
        write_ply(cloud, path)
    assert path.read_text() == "precious"
    write_ply(cloud, path, overwrite=True)
    assert len(plyfile.PlyData.read(path)["vertex"]) == len(cloud)
    assert [each.name for each in tmp_path.iterdir()] == ["room.ply"]


def test_normals_are_written_when_given(room, tmp_path):
    cloud = point_cloud(room)
    normals = np.random.default_rng(0).normal(size=cloud.points.shape)
    write_ply(cloud, tmp_path / "room.ply", normals=normals)
    vertex = plyfile.PlyData.read(tmp_path / "room.ply")["vertex"]
    assert [each.name for each in vertex.properties][:6] == ["x", "y", "z", "nx", "ny", "nz"]
    found = np.stack((vertex["nx"], -vertex["ny"], -vertex["nz"]), 1)
    np.testing.assert_allclose(found, normals, rtol=1e-6)
    np.testing.assert_array_equal(vertex["view_id"], cloud.frame)
    with pytest.raises(ValueError, match="normals of"):
        write_ply(cloud, tmp_path / "wrong.ply", normals=normals[:-1])
