"""Reconstructions from model outputs, and what they answer."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from manyview.models import geometry
from manyview.models.networks import pi3, vggt
from manyview.scene.reconstruction import Reconstruction


@pytest.fixture
def images(room):
    names = ("images", "names", "original_sizes", "scale_offset", "masks", "paths", "video_frames", "notes")
    return SimpleNamespace(**{name: getattr(room, name) for name in names})


def vggt_output(room, **changes):
    """What a VGGT that knows the room would say."""
    pose = geometry.encode_pose(
        torch.from_numpy(room.world_to_camera), torch.from_numpy(room.intrinsics), room.image_size
    ).float()
    points = torch.from_numpy(room.points("depth")) + 1
    values = {
        "pose_passes": torch.stack((torch.zeros_like(pose) + 1, pose))[:, None],
        "depth": torch.from_numpy(room.depth)[None],
        "depth_confidence": torch.from_numpy(1 / (1 - room.confidence))[None],
        "world_points": points[None],
        "world_points_confidence": torch.full((1, *room.depth.shape), 4.0),
        "tracks": None,
        "track_visibility": None,
        "track_confidence": None,
        "density": None,
    }
    return SimpleNamespace(**{**values, **changes})


def test_vggt_output_becomes_cameras_points_and_confidence(make_room, images):
    room = make_room(pixel_center=0.0)
    result = Reconstruction.from_prediction(
        vggt.prediction_of(vggt_output(room), images.images.shape[1:3]), images, model="perfect", timings={"all": 1.0}
    )
    np.testing.assert_allclose(result.world_to_camera, room.world_to_camera, atol=1e-5)
    np.testing.assert_allclose(result.intrinsics, room.intrinsics, rtol=1e-5)
    np.testing.assert_allclose(result.confidence, room.confidence, rtol=1e-5)
    np.testing.assert_allclose(result.points(), room.points(), atol=1e-4)
    np.testing.assert_allclose(result.points("points"), room.points() + 1)
    assert (result.model, result.timings, result.names) == ("perfect", {"all": 1.0}, room.names)
    assert result.world_to_camera.dtype == np.float64 and result.depth.dtype == np.float32


def test_vggt_points_agree_with_the_published_unprojection(make_room, images):
    room = make_room(pixel_center=0.0)
    result = Reconstruction.from_prediction(vggt.prediction_of(vggt_output(room), images.images.shape[1:3]), images)
    published = geometry.unproject_depth(
        torch.from_numpy(result.depth),
        *(torch.from_numpy(a).float() for a in (result.world_to_camera, result.intrinsics)),
    )
    np.testing.assert_allclose(result.points(), published.numpy(), atol=1e-5)


def test_vggt_without_depth_takes_it_from_points(make_room, images):
    room = make_room(pixel_center=0.0)
    output = vggt_output(room, depth=None, depth_confidence=None, world_points=torch.from_numpy(room.points())[None])
    result = Reconstruction.from_prediction(vggt.prediction_of(output, images.images.shape[1:3]), images)
    assert result.point_source == "points"
    np.testing.assert_allclose(result.depth, room.depth, atol=1e-4)
    np.testing.assert_allclose(result.confidence, 0.75)


def test_vggt_tracks_and_density_are_kept(room, images):
    output = vggt_output(
        room,
        tracks=torch.arange(2 * 4 * 3 * 2.0).view(2, 1, 4, 3, 2),
        track_visibility=torch.ones(1, 4, 3),
        track_confidence=torch.ones(1, 4, 3),
        density=torch.ones(5, 1, 2),
    )
    result = Reconstruction.from_prediction(vggt.prediction_of(output, images.images.shape[1:3]), images)
    assert result.density.shape == (5, 2)
    np.testing.assert_array_equal(result.tracks["positions"], np.arange(24, 48).reshape(4, 3, 2))
    assert result.tracks["visibility"].shape == (4, 3)


def test_pi3_output_gets_intrinsics_from_its_points(room, images):
    local = geometry.unproject_to_camera(
        torch.from_numpy(room.depth), torch.from_numpy(room.intrinsics).float(), pixel_center=0.5
    )
    output = SimpleNamespace(
        points=torch.from_numpy(room.points())[None],
        local_points=local[None],
        confidence_logits=torch.logit(torch.from_numpy(room.confidence))[None],
        camera_to_world=torch.from_numpy(room.camera_to_world).float()[None],
        density=None,
    )
    result = Reconstruction.from_prediction(pi3.prediction_of(output), images)
    np.testing.assert_allclose(result.intrinsics, room.intrinsics, rtol=1e-5)
    np.testing.assert_allclose(result.world_to_camera, room.world_to_camera, atol=1e-5)
    np.testing.assert_allclose(result.confidence, room.confidence, rtol=1e-5)
    np.testing.assert_allclose(result.points("depth"), result.points("points"), atol=1e-4)
    assert result.point_source == "points"


def test_models_must_give_enough(room, images):
    with pytest.raises(ValueError, match="cameras"):
        Reconstruction.from_prediction(
            vggt.prediction_of(vggt_output(room, pose_passes=None), images.images.shape[1:3]), images
        )
    with pytest.raises(ValueError, match="one scene"):
        two = vggt_output(room)
        two.pose_passes = two.pose_passes.expand(-1, 2, -1, -1)
        Reconstruction.from_prediction(vggt.prediction_of(two, images.images.shape[1:3]), images)


def test_original_intrinsics_see_the_same_rays(make_room):
    room = make_room(scale_offset=(3.0, 2.5, -4.0, 7.0), pixel_center=0.0)
    x, y = 11, 30  # a model pixel; its centre in the original image:
    original = np.array([(x + 0.5) * 3.0 - 4, (y + 0.5) * 2.5 + 7, 1])
    ray = np.linalg.inv(room.original_intrinsics()[0]) @ original
    camera = geometry.unproject_to_camera(torch.from_numpy(room.depth[0]), torch.from_numpy(room.intrinsics[0]))[y, x]
    np.testing.assert_allclose(ray, camera.numpy() / camera.numpy()[2], rtol=1e-6)
    centred = make_room(scale_offset=(3.0, 3.0, 6.0, -9.0))
    np.testing.assert_allclose(centred.original_intrinsics()[:, :2, 2], centred.original_sizes / 2)


def test_confidence_rank_is_the_share_of_less_trusted_pixels(room):
    rank = room.confidence_rank()
    assert rank.min() == 0 and rank.max() == 1
    pick = room.confidence[1, 20, 20]
    assert np.isclose(rank[1, 20, 20], (room.confidence < pick).mean(), atol=1e-3)
    room.confidence[:] = 0.5
    assert np.allclose(room.confidence_rank(), 0.5)


def test_dictionary_round_trip_is_plain(make_room):
    room = make_room(settings={"a": 1})
    values = room.to_dict()
    json.dumps({name: value for name, value in values.items() if not isinstance(value, np.ndarray)})
    again = Reconstruction.from_dict(values)
    np.testing.assert_array_equal(again.depth, room.depth)
    assert again.names == room.names and again.settings == {"a": 1}
    with pytest.raises(ValueError, match="colour"):
        Reconstruction.from_dict({**values, "colour": 1})


def test_shapes_and_sources_are_checked(make_room):
    with pytest.raises(ValueError, match="intrinsics"):
        make_room(intrinsics=np.eye(3))
    with pytest.raises(ValueError, match="names"):
        make_room(names=("one",))
    with pytest.raises(ValueError, match="point head"):
        make_room().points("points")
    with pytest.raises(ValueError, match="one of depth, points"):
        make_room().points("mesh")
