"""Numbers that are not finite: the view or the pixels are left out, told, and everything else stays."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from manyview.nodes.export import export
from manyview.nodes.graph.packets import scene_of
from manyview.nodes.point_cloud import point_cloud
from manyview.scene.export import read_npz, write_colmap, write_npz
from manyview.scene.reconstruction import Reconstruction
from manyview.scene.soundness import sound, sound_with_cloud

BAD_VIEWS = {
    "NaN pose": ("world_to_camera", np.nan),
    "infinite pose": ("world_to_camera", np.inf),
    "rotation of nothing": ("world_to_camera", 0.0),
    "NaN intrinsics": ("intrinsics", np.nan),
    "infinite focal length": ("intrinsics", np.inf),
    "no focal length": ("intrinsics", 0.0),
    "NaN depth": ("depth", np.nan),
    "infinite depth": ("depth", np.inf),
    "NaN confidence": ("confidence", np.nan),
}


@pytest.mark.parametrize("field, value", BAD_VIEWS.values(), ids=BAD_VIEWS)
def test_a_bad_view_is_left_out_and_all_else_stays(room: Reconstruction, field: str, value: float) -> None:
    whole = room.depth.copy()
    getattr(room, field)[1] = value
    found = scene_of(room.to_dict())
    assert found.names == ("view 0.png", "view 2.png", "view 3.png") and found.left_out == (1,)
    np.testing.assert_array_equal(found.depth, whole[[0, 2, 3]])
    assert any(note.startswith("left out: 1 view ") and "view 1.png" in note for note in found.notes)
    assert sound(found) is found and scene_of(found.to_dict()) == found


@pytest.mark.parametrize("field", ["depth", "confidence"])
def test_a_bad_pixel_is_a_pixel_of_which_nothing_is_known(room: Reconstruction, field: str) -> None:
    getattr(room, field)[1, 2, 3] = np.nan
    before = len(point_cloud(room, confidence_percentile=0, edge_filter=0))
    found = sound(room)
    assert len(found) == 4 and found.left_out == () and found.depth[1, 2, 3] == found.confidence[1, 2, 3] == 0
    assert found.notes == ("left out: 1 pixels in 1 view, because their depth or confidence is not finite.",)
    assert len(point_cloud(found, confidence_percentile=0, edge_filter=0)) == before > 0.9 * room.depth.size
    assert np.isfinite(found.confidence).all()


def test_places_are_counted_among_all_images_even_twice(make_room) -> None:
    room = make_room(5)
    room.world_to_camera[1] = np.nan
    found = sound(room)
    found.intrinsics[2] = np.nan  # the fourth image
    found = sound(found)
    assert found.left_out == (1, 3) and found.names == ("view 0.png", "view 2.png", "view 4.png")
    assert len(found.notes) == 2


def test_points_keep_their_pixels_when_frames_are_counted_anew(room: Reconstruction) -> None:
    cloud = point_cloud(room)
    room.intrinsics[0] = np.nan
    scene, rest = sound_with_cloud(room, cloud)
    assert set(rest.frame) == {0, 1, 2} and len(rest) == np.count_nonzero(cloud.frame)
    np.testing.assert_array_equal(scene.images[rest.frame, rest.pixel[:, 1], rest.pixel[:, 0]], rest.colors)


def test_cameras_stay_where_no_view_has_a_depth(room: Reconstruction, tmp_path: Path) -> None:
    room.depth[:] = np.nan
    export(room, point_cloud(room), tmp_path, ["ply", "glb", "colmap", "npz", "depth"])
    assert len(read_npz(tmp_path / "scene.npz")) == 4
    assert len(trimesh.load(tmp_path / "scene.glb").geometry) == 4


def test_original_images_go_with_the_views_that_are_left(room: Reconstruction, tmp_path: Path) -> None:
    pictures = [np.full((42, 56, 3), frame, np.uint8) for frame in range(4)]
    room.world_to_camera[1] = np.nan
    write_colmap(sound(room), point_cloud(sound(room)), tmp_path / "colmap", pictures=pictures)
    found = {path.name: np.asarray(Image.open(path)).max() for path in (tmp_path / "colmap" / "images").iterdir()}
    assert found == {"view 0.png": 0, "view 2.png": 2, "view 3.png": 3}


def test_no_finite_camera_is_one_sentence(room: Reconstruction) -> None:
    room.world_to_camera[:] = np.nan
    with pytest.raises(ValueError, match=r"None of the 4 cameras of this scene is finite.*precision float32"):
        sound(room)


@pytest.mark.parametrize("field, value", BAD_VIEWS.values(), ids=BAD_VIEWS)
def test_every_export_of_a_scene_that_went_bad_is_whole(
    room: Reconstruction, field: str, value: float, tmp_path: Path
) -> None:
    getattr(room, field)[1] = value
    cloud = point_cloud(room)
    export(room, cloud, tmp_path / "out", ["ply", "glb", "colmap", "npz", "depth"], colmap_text=True)
    found = read_npz(tmp_path / "out" / "scene.npz")
    assert len(found) == 3 and len(cloud) > 0.5 * room.depth.size
    assert len(list((tmp_path / "out" / "depth").glob("*.png"))) == 3
    assert len(trimesh.load(tmp_path / "out" / "scene.glb").geometry) == 1 + 3
    text = (tmp_path / "out" / "colmap" / "sparse" / "0" / "images.txt").read_text()
    assert "nan" not in text and text.count(".png") == 3


def test_an_npz_with_bad_numbers_is_read_without_them(room: Reconstruction, tmp_path: Path) -> None:
    write_npz(room, tmp_path / "scene.npz")
    with np.load(tmp_path / "scene.npz") as file:
        arrays = dict(file)
    arrays["world_to_camera"][2] = np.nan
    np.savez(tmp_path / "bad.npz", **arrays)
    assert read_npz(tmp_path / "bad.npz").left_out == (2,)
    assert json.loads(str(arrays["meta"]))["left_out"] == []
