"""Preview pictures: sizes, scales and where things are drawn."""

import numpy as np
import pytest
from PIL import Image

from manyview.scene import preview
from manyview.scene.pointcloud import PointCloud, point_cloud
from manyview.scene.render import View, overview, render_cloud, surface_normals


def test_depth_pictures_share_one_scale_and_mark_what_is_unknown(make_room):
    masks = np.ones((4, 42, 56), dtype=bool)
    masks[0, :5] = False
    room = make_room(masks=masks)
    room.depth[2, 7, 7] = np.nan
    pictures = preview.depth_pictures(room)
    assert pictures.shape == (4, 42, 56, 3) and pictures.dtype == np.uint8
    assert (pictures[0, :5] == preview.UNUSED).all() and (pictures[2, 7, 7] == preview.UNUSED).all()
    near, far = room.depth[1].argmin(), room.depth[1].argmax()
    light = pictures[1].reshape(-1, 3).astype(int).sum(1)
    assert light[near] > light[far]
    np.testing.assert_array_equal(preview.depth_picture(room, 3), pictures[3])


def test_confidence_pictures_go_from_red_to_green(room):
    room.confidence[:] = np.linspace(0, 0.9, 56, dtype=np.float32)
    pictures = preview.confidence_pictures(room)
    low, high = pictures[0, 20, 0].astype(int), pictures[0, 20, 55].astype(int)
    assert low[0] > low[1] and high[1] > high[0]
    np.testing.assert_array_equal(preview.confidence_picture(room, 1), pictures[1])


def test_colors_of_values_outside_the_range_are_the_ends():
    picture = preview.colorize(np.array([-1.0, 0, 1, 2, np.nan]), ((0, 0, 0), (200, 100, 50)))
    np.testing.assert_array_equal(picture[:4], [[0, 0, 0], [0, 0, 0], [200, 100, 50], [200, 100, 50]])


def test_sheets_hold_any_number_of_frames(make_room):
    one, many = preview.frames_sheet(make_room(1)), preview.frames_sheet(make_room(9), most=7, columns=3, tile_width=56)
    assert one.shape[2] == many.shape[2] == 3
    assert many.shape[1] == 3 * (56 + 6) + 6
    assert many.shape[0] == 3 * (6 + preview.LABEL_PX + 3 * (42 + 6)) + preview.LABEL_PX  # and the verdict


def test_a_point_is_drawn_where_it_projects_in_its_own_color():
    cloud = PointCloud(
        points=np.float32([[0, 0, 2], [0.5, 0, 2], [0.5, 0, 5]]),
        colors=np.uint8([[250, 10, 10], [10, 250, 10], [10, 10, 250]]),
        confidence=np.ones(3, np.float32),
        frame=np.zeros(3, np.int32),
        pixel=np.zeros((3, 2), np.int32),
    )
    view = View(np.zeros(3), np.array([0.0, 0, 1]), np.array([0.0, -1, 0]), fov_degrees=90)
    picture = render_cloud(cloud, size=(200, 100), view=view)
    assert picture.shape == (100, 200, 3)
    focal = 100
    red = np.argwhere(picture[..., 0] > 150)
    green = np.argwhere(picture[..., 1] > 150)
    np.testing.assert_allclose(red.mean(0), (49.5, 99.5), atol=1)
    np.testing.assert_allclose(green.mean(0), (49.5, 99.5 + 0.25 * focal), atol=1)
    assert (picture[50, 99 + 26] == picture[50, 125]).all()


def test_overview_shows_scene_and_cameras_entirely(make_room):
    room = make_room(6)
    cloud = point_cloud(room)
    for size in ((400, 300), (200, 400)):
        view = overview(cloud, room, size=size)
        pose = view.world_to_view()
        focal = 0.5 * size[0] / np.tan(np.radians(view.fov_degrees) / 2)
        for points, share in ((cloud.points, 0.95), (room.camera_positions, 1.0)):
            seen = points @ pose[:, :3].T + pose[:, 3]
            pixel = seen[:, :2] / seen[:, 2:] * focal + np.array(size) / 2
            inside = (seen[:, 2] > 0) & (pixel >= 0).all(1) & (pixel <= size).all(1)
            assert inside.mean() >= share
        middle = cloud.points.mean(0)
        assert np.linalg.norm(pose[:, :3].T @ pose[:, 3] + middle) > np.ptp(cloud.points, axis=0).max() / 2


def test_walls_do_not_hide_the_room(make_room):
    room = make_room(8, (84, 112))
    cloud = point_cloud(room, confidence_percentile=0)
    behind = View(
        np.array([0.0, 0.2, 12.0]), np.array([0.0, 0.2, 0.0]), np.array([0.0, -1, 0])
    )  # through the back wall
    closed = render_cloud(cloud, room, size=(160, 120), view=behind, hide_backs=False, cameras=False)
    opened = render_cloud(cloud, room, size=(160, 120), view=behind, cameras=False)
    assert (closed != opened).any(axis=-1).mean() > 0.2


def test_normals_turn_to_the_camera(room):
    cloud = point_cloud(room)
    normals = surface_normals(cloud, room)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    assert ((cloud.points - room.camera_positions[cloud.frame]) * normals).sum(1).max() <= 0
    floor = (cloud.points[:, 1] > 1.399) & (np.abs(cloud.points[:, 0]) < 2)
    assert np.median(normals[floor] @ (0, -1, 0)) > 0.999


def test_cameras_are_drawn_in_their_colors(make_room):
    room = make_room(3, (84, 112))
    cloud = point_cloud(room)
    with_cameras, without = (render_cloud(cloud, room, size=(320, 240), cameras=drawn) for drawn in (True, False))
    assert 50 < (with_cameras != without).any(axis=-1).sum() < 0.2 * 320 * 240


@pytest.mark.parametrize("frames", [1, 3])
def test_empty_and_tiny_clouds_give_a_picture(make_room, frames):
    room = make_room(frames)
    empty = point_cloud(room, confidence_threshold=1.0)
    one = point_cloud(room, max_points=1)
    for cloud in (empty, one):
        assert render_cloud(cloud, room, size=(64, 48)).shape == (48, 64, 3)
        assert render_cloud(cloud, size=(64, 48)).shape == (48, 64, 3)


def test_previews_are_written_for_every_frame(room, tmp_path):
    files = preview.write_previews(room, point_cloud(room), tmp_path / "previews", size=(160, 120))
    assert len(files) == 3 + 2 * len(room) and files[0].name == "cloud.png"
    for path in files:
        with Image.open(path) as picture:
            assert picture.mode == "RGB"
    with pytest.raises(FileExistsError):
        preview.write_previews(room, point_cloud(room), tmp_path / "previews", size=(160, 120))


def test_one_picture_is_written(tmp_path):
    preview.write_picture(np.zeros((4, 5, 3), np.uint8), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (5, 4)


def test_depth_maps_are_near_to_far_on_one_scale(make_room):
    masks = np.ones((4, 42, 56), dtype=bool)
    masks[0, :5] = False
    room = make_room(masks=masks)
    room.depth[2, 7, 7] = np.nan
    maps = preview.depth_maps(room)
    assert maps.shape == (4, 42, 56) and maps.dtype == np.float32 and maps.min() == 0 and maps.max() == 1
    assert (maps[0, :5] == 0).all() and maps[2, 7, 7] == 0
    order = np.argsort(room.depth[1], axis=None)
    assert (np.diff(maps[1].reshape(-1)[order]) <= 0).all()
