"""COLMAP projects, read by pycolmap, and opened as a splatting trainer would."""

import numpy as np
import pycolmap
import pytest
from PIL import Image

from manyview.scene.export import write_colmap
from manyview.scene.pointcloud import point_cloud

CROPPED = (3.5, 3.5, 12.0, -6.0)  # sx, sy, ox, oy: a crop on the sides and padding above and below


def projections(model, image):
    """Observed pixels (K, 2), where their points project (K, 2), and the points' ids, by pycolmap's own cameras."""
    observed = [each for each in image.points2D if each.has_point3D()]
    points = np.array([model.points3D[each.point3D_id].xyz for each in observed])
    camera = model.cameras[image.camera_id]
    inside = points @ image.cam_from_world().matrix()[:, :3].T + image.cam_from_world().matrix()[:, 3]
    return np.array([each.xy for each in observed]), camera.img_from_cam(inside), [each.point3D_id for each in observed]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("pixel_center", [0.0, 0.5])
def test_pycolmap_reads_cameras_points_and_tracks(make_room, tmp_path, text, pixel_center):
    room = make_room(scale_offset=CROPPED, pixel_center=pixel_center)
    cloud = point_cloud(room, max_points=3000)
    write_colmap(room, cloud, tmp_path / "room", binary=not text, text=text, copy_images=False)
    model = pycolmap.Reconstruction(tmp_path / "room" / "sparse" / "0")
    assert (len(model.images), len(model.cameras), len(model.points3D)) == (4, 1, len(cloud))
    camera = model.cameras[1]
    width, height = room.original_sizes[0]
    assert (camera.model.name, camera.width, camera.height) == ("PINHOLE", width, height)
    shift = (0.5 - pixel_center) * 3.5
    np.testing.assert_allclose(
        camera.params, (0.8 * 56 * 3.5, 0.8 * 56 * 3.5, width / 2 + shift, height / 2 + shift), rtol=1e-12
    )
    for frame, name in enumerate(room.names):
        image = model.find_image_with_name(name.replace(" ", "_") if text else name)
        np.testing.assert_allclose(image.cam_from_world().matrix(), room.world_to_camera[frame], atol=1e-12)
        observed, projected, _ = projections(model, image)
        assert len(observed) > 200
        assert np.linalg.norm(observed - projected, axis=1).max() < 0.01
        assert (observed >= 0).all() and (observed <= (width, height)).all()
    for index in range(0, len(cloud), 97):
        point = model.points3D[index + 1]
        np.testing.assert_allclose(point.xyz, cloud.points[index], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(point.color, cloud.colors[index])
        own = [each for each in point.track.elements if each.image_id == cloud.frame[index] + 1]
        expected = (cloud.pixel[index] + 0.5) * 3.5 + (12, -6)
        assert len(own) == (expected > 0).all() & (expected < (width, height)).all()
        if own:
            pixel = model.images[own[0].image_id].points2D[own[0].point2D_idx].xy
            np.testing.assert_allclose(pixel, expected)


def test_tracks_join_frames_that_really_see_the_point(make_room, tmp_path):
    room = make_room()
    cloud = point_cloud(room, confidence_percentile=0)
    write_colmap(room, cloud, tmp_path / "room", copy_images=False)
    model = pycolmap.Reconstruction(tmp_path / "room" / "sparse" / "0")
    assert 2 < model.compute_mean_track_length() <= 4
    checked = 0
    for image in model.images.values():
        observed, _, ids = projections(model, image)
        pixel = np.floor(observed).astype(int)
        colors = room.images[image.image_id - 1][pixel[:, 1], pixel[:, 0]].astype(int)
        own = np.array([model.points3D[each].color for each in ids]).astype(int)
        checked += (np.abs(colors - own).max(axis=1) < 60).mean()
    assert checked / 4 > 0.9  # chequered walls: a wrong frame would differ half of the time


@pytest.mark.parametrize(("most", "mean"), [(0, 0.0), (1, 1.0), (2, 1.8)])
def test_track_length_is_a_limit(room, tmp_path, most, mean):
    write_colmap(room, point_cloud(room), tmp_path / "room", copy_images=False, track_length=most)
    model = pycolmap.Reconstruction(tmp_path / "room" / "sparse" / "0")
    lengths = [point.track.length() for point in model.points3D.values()]
    assert max(lengths) == most and np.mean(lengths) >= mean


def test_every_differing_frame_gets_its_own_camera(room, tmp_path):
    room.intrinsics = room.intrinsics.copy()
    room.intrinsics[2, 0, 0] += 1
    write_colmap(room, point_cloud(room), tmp_path / "room", copy_images=False)
    model = pycolmap.Reconstruction(tmp_path / "room" / "sparse" / "0")
    assert [model.images[index].camera_id for index in (1, 2, 3, 4)] == [1, 1, 2, 1]
    assert model.cameras[2].focal_length_x == room.intrinsics[2, 0, 0]


def test_originals_are_copied_byte_by_byte_and_turned_upright(make_room, tmp_path):
    names = ("a b.png", "sub/turned.jpg", "film 0001", "gone.jpg")
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (84, 112, 3), dtype=np.uint8))
    picture.save(folder / names[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / names[1], exif=exif)
    (folder / "film.mp4").write_bytes(b"no picture")
    paths = (folder / names[0], folder / names[1], folder / "film.mp4", folder / names[3])
    room = make_room(scale_offset=(2.0, 2.0, 0.0, 0.0), names=names, paths=paths)
    write_colmap(room, point_cloud(room), tmp_path / "room")
    model = pycolmap.Reconstruction(tmp_path / "room" / "sparse" / "0")
    assert [model.images[index].name for index in (1, 2, 3, 4)] == [*names[:2], "film 0001.png", names[3]]
    assert (tmp_path / "room" / "images" / names[0]).read_bytes() == paths[0].read_bytes()
    for image in model.images.values():
        camera = model.cameras[image.camera_id]
        with Image.open(tmp_path / "room" / "images" / image.name) as opened:
            assert opened.size == (camera.width, camera.height)
            assert opened.getexif().get(0x0112, 1) == 1
        observed, projected, _ = projections(model, image)
        assert np.linalg.norm(observed - projected, axis=1).max() < 0.01
    sizes = [model.cameras[model.images[index].camera_id].width for index in (1, 2, 3, 4)]
    assert sizes == [112, 112, 56, 56]


def test_names_without_spaces_stay_different(make_room, tmp_path):
    room = make_room(names=("a b.png", "a_b.png", "a\tb.png", "c.png"))
    write_colmap(room, point_cloud(room), tmp_path / "room", text=True)
    model = pycolmap.Reconstruction(tmp_path / "room" / "sparse" / "0")
    names = {model.images[index].name for index in (1, 2, 3, 4)}
    assert names == {"_a_b.png", "a_b.png", "a_b_2.png", "c.png"}
    assert names == {path.name for path in (tmp_path / "room" / "images").iterdir()}


def test_points_off_their_rays_get_no_observation(room, tmp_path):
    cloud = point_cloud(room)
    cloud.points[::2] += 0.5
    write_colmap(room, cloud, tmp_path / "room", copy_images=False)
    model = pycolmap.Reconstruction(tmp_path / "room" / "sparse" / "0")
    for image in model.images.values():
        observed, projected, _ = projections(model, image)
        assert np.linalg.norm(observed - projected, axis=1).max() < 2.01


def test_wrong_requests_are_refused_and_leave_nothing(make_room, tmp_path):
    room = make_room()
    with pytest.raises(ValueError, match="at least one"):
        write_colmap(room, point_cloud(room), tmp_path / "room", binary=False)
    assert list(tmp_path.iterdir()) == []
    write_colmap(room, point_cloud(room), tmp_path / "room")
    (tmp_path / "room" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        write_colmap(room, point_cloud(room), tmp_path / "room")
    write_colmap(room, point_cloud(room, max_points=10), tmp_path / "room", overwrite=True)
    assert len(pycolmap.Reconstruction(tmp_path / "room" / "sparse" / "0").points3D) == 10
    assert (tmp_path / "room" / "notes.txt").read_text() == "mine"


def test_cancelling_leaves_nothing_behind(room, tmp_path):
    def cancel(stage, done, total):
        if stage == "tracks" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_colmap(room, point_cloud(room), tmp_path / "room", progress=cancel)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_a_video_keep_their_resolution(make_room, tmp_path):
    cv2 = pytest.importorskip("cv2")
    video = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"MJPG"), 10, (112, 84))
    for level in (20, 90, 160, 230):
        writer.write(np.full((84, 112, 3), level, np.uint8))
    writer.release()
    names = tuple(f"clip_{number}.png" for number in (3, 1, 0))
    source = {"paths": (video,) * 3, "video_frames": (3, 1, 0), "names": names}
    room = make_room(frames=3, scale_offset=(2.0, 2.0, 0.0, 0.0), **source)
    write_colmap(room, point_cloud(room, max_points=500), tmp_path / "room")
    for name, level in zip(names, (230, 90, 20), strict=True):
        with Image.open(tmp_path / "room" / "images" / name) as opened:
            picture = np.asarray(opened)
        assert picture.shape == (84, 112, 3)
        assert abs(picture.mean() - level) < 8
    model = pycolmap.Reconstruction(tmp_path / "room" / "sparse" / "0")
    assert {(camera.width, camera.height) for camera in model.cameras.values()} == {(112, 84)}
    video.write_bytes(b"gone")  # the model's images stand in, with cameras of their size, and that is told
    notes = write_colmap(room, point_cloud(room, max_points=500), tmp_path / "again")
    with Image.open(tmp_path / "again" / "images" / names[0]) as opened:
        assert opened.size == (56, 42)
    assert "56 x 42 picture" in notes[0] and "3 of 3 originals: clip.avi" in notes[0]
