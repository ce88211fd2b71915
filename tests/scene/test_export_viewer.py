"""Files for the 3D viewer."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import plyfile
import pytest
from PIL import Image

from manyview.scene.export import write_cameras, write_viewer
from manyview.scene.export.viewer import thumbnail_px
from manyview.scene.pointcloud import point_cloud

FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.fixture
def document(room, tmp_path: Path) -> dict:
    write_viewer(point_cloud(room), room, tmp_path / "view")
    return json.loads((tmp_path / "view" / "cameras.json").read_text())


def test_cameras_project_points_to_their_pixels(room, document: dict, tmp_path: Path) -> None:
    cloud = point_cloud(room)
    vertex = plyfile.PlyData.read(tmp_path / "view" / "points.ply")["vertex"]
    points = np.stack((vertex["x"], vertex["y"], vertex["z"]), axis=1)
    assert document["format"] == "manyview-cameras" and document["version"] == 1
    for camera in document["cameras"]:
        mine = vertex["view_id"] == camera["frame"]
        pose, k = np.array(camera["camera_to_world"]), np.array(camera["intrinsics"])
        local = (points[mine] - pose[:3, 3]) @ pose[:3, :3] * (1, -1, -1)  # from glTF's axes to OpenCV's
        pixels = local[:, :2] / local[:, 2:] * k[[0, 1], [0, 1]] + k[:2, 2]
        np.testing.assert_allclose(pixels, cloud.pixel[mine] + 0.5, atol=1e-2)
        assert camera["name"] == room.names[camera["frame"]]
        assert camera["size"] == [room.image_size[1], room.image_size[0]]


def test_the_corner_is_the_origin_whatever_the_model_counts_from(make_room, tmp_path: Path) -> None:
    files = []
    for pixel_center in (0.0, 0.5):
        write_cameras(make_room(pixel_center=pixel_center), tmp_path / f"{pixel_center}.json")
        files.append(json.loads((tmp_path / f"{pixel_center}.json").read_text())["cameras"][0]["intrinsics"])
    np.testing.assert_allclose(np.subtract(files[0], files[1])[:2, 2], 0.5)


def test_thumbnails_are_the_photos(room, document: dict) -> None:
    for camera, image in zip(document["cameras"], room.images, strict=True):
        start, data = camera["thumbnail"].split(",")
        assert start == "data:image/jpeg;base64"
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), dtype=int)
        assert picture.shape == image.shape
        assert np.abs(picture - image).mean() < 8


def test_thumbnails_shrink_when_there_are_many() -> None:
    assert thumbnail_px(4, (392, 518)) == 512
    assert thumbnail_px(4, (42, 56)) == 56
    sizes = [thumbnail_px(frames, (392, 518)) for frames in (50, 200, 1000, 100_000)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == 96
    assert 200 * sizes[1] ** 2 * 392 / 518 <= 16e6


def test_up_points_up(room, document: dict) -> None:
    assert np.dot(document["up"], (0, 1, 0)) > 0.99
    assert document["meters_per_unit"] is None


def test_normals_look_at_the_cameras(room, document: dict, tmp_path: Path) -> None:
    vertex = plyfile.PlyData.read(tmp_path / "view" / "points.ply")["vertex"]
    normals = np.stack([vertex[name] for name in ("nx", "ny", "nz")], axis=1)
    points = np.stack([vertex[name] for name in "xyz"], axis=1)
    eyes = np.array([np.array(camera["camera_to_world"])[:3, 3] for camera in document["cameras"]])[vertex["view_id"]]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert (((eyes - points) * normals).sum(axis=1) > 0).mean() > 0.99
    floor = points[:, 1] < points[:, 1].min() + 0.05
    assert np.median(normals[floor, 1]) > 0.95


def test_the_scale_is_kept(room, tmp_path: Path) -> None:
    write_cameras(room, tmp_path / "metric.json", meters_per_unit=1.5)
    assert json.loads((tmp_path / "metric.json").read_text())["meters_per_unit"] == 1.5
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive number"):
            write_cameras(room, tmp_path / "wrong.json", meters_per_unit=wrong)


def test_nothing_is_overwritten_silently(room, tmp_path: Path) -> None:
    cloud = point_cloud(room)
    write_viewer(cloud, room, tmp_path)
    with pytest.raises(FileExistsError, match="exists already"):
        write_viewer(cloud, room, tmp_path)
    write_viewer(cloud, room, tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cameras.json", "points.ply"]


def test_progress_is_told_and_may_cancel(room, tmp_path: Path) -> None:
    told = []
    write_viewer(point_cloud(room), room, tmp_path / "a", progress=lambda *step: told.append(step))
    assert told == [("thumbnails", frame, 4) for frame in range(4)]

    def cancel(*step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_viewer(point_cloud(room), room, tmp_path / "b", progress=cancel)
    assert not (tmp_path / "b").exists()
