"""Which pixels become points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyview.scene.pointcloud import PointCloud, depth_steps, far_outliers, point_cloud

EVERYTHING = {"confidence_percentile": 0, "edge_filter": None, "outlier_filter": False}


def test_everything_can_be_kept_exactly(room):
    cloud = point_cloud(room, **EVERYTHING)
    assert len(cloud) == room.depth.size
    x, y = cloud.pixel.T
    np.testing.assert_array_equal(cloud.colors, room.images[cloud.frame, y, x])
    np.testing.assert_array_equal(cloud.confidence, room.confidence[cloud.frame, y, x])
    np.testing.assert_array_equal(cloud.points, room.points()[cloud.frame, y, x])
    assert (cloud.points.dtype, cloud.colors.dtype, cloud.frame.dtype, cloud.pixel.dtype) == (
        np.float32,
        np.uint8,
        np.int32,
        np.int32,
    )


@settings(max_examples=20, deadline=None)
@given(percentile=st.floats(0, 100))
def test_percentile_leaves_that_share(percentile):
    confidence = np.random.default_rng(0).random((2, 30, 40)).astype(np.float32)
    cloud = point_cloud(flat_reconstruction(confidence), **{**EVERYTHING, "confidence_percentile": percentile})
    assert abs(len(cloud) - (1 - percentile / 100) * confidence.size) <= 2
    assert cloud.confidence.min() >= np.percentile(confidence, percentile) - 1e-6


def flat_reconstruction(confidence, depth=None):
    from manyview.scene.reconstruction import Reconstruction

    frames, height, width = confidence.shape
    k = np.array([[40.0, 0, width / 2], [0, 40.0, height / 2], [0, 0, 1]])
    return Reconstruction(
        images=np.zeros((frames, height, width, 3), np.uint8),
        depth=np.ones_like(confidence) if depth is None else depth,
        confidence=confidence,
        world_to_camera=np.stack([np.eye(4)[:3]] * frames),
        intrinsics=np.stack([k] * frames),
        names=tuple(f"{index}" for index in range(frames)),
        original_sizes=np.array([[width, height]] * frames),
        scale_offset=np.array([[1.0, 1, 0, 0]] * frames),
    )


def test_threshold_masks_frames_and_bad_depths_are_obeyed(make_room):
    masks = np.ones((4, 42, 56), dtype=bool)
    masks[:, :, :10] = False
    room = make_room(masks=masks)
    room.depth[1, 20:22, 20:24] = (np.nan, np.inf, 0, -1)
    cloud = point_cloud(room, **{**EVERYTHING, "confidence_threshold": 0.6, "frames": [3, 1, 1]})
    assert set(cloud.frame) == {1, 3} and cloud.confidence.min() >= 0.6 and cloud.pixel[:, 0].min() == 10
    assert np.isfinite(cloud.points).all()
    allowed = masks & (room.confidence >= 0.6) & np.isfinite(room.depth) & (room.depth > 0)
    assert len(cloud) == allowed[[1, 3]].sum()
    unmasked = point_cloud(room, **EVERYTHING, use_masks=False)
    assert len(unmasked) == room.depth.size - 8


def test_points_of_the_point_head_can_be_used(make_room):
    given_points = np.random.default_rng(0).random((4, 42, 56, 3)).astype(np.float32)
    given_points[0, 0, 0] = np.nan
    room = make_room(world_points=given_points)
    cloud = point_cloud(room, **EVERYTHING, source="points")
    np.testing.assert_array_equal(cloud.points, given_points.reshape(-1, 3)[1:])


def test_depth_edges_go_and_slanted_planes_stay():
    y, x = np.mgrid[:60, :80] + 0.5
    floor = (1.0 / (0.02 * y)).astype(np.float32)  # seen ever flatter towards the top
    step = np.where(x < 40, floor, 1.5 * floor).astype(np.float32)
    assert not depth_steps(floor, 0.03)[25:].any()
    found = depth_steps(step, 0.03)
    assert found[25:, 39:41].all() and not found[25:, :38].any() and not found[25:, 42:].any()
    assert depth_steps(floor, 0.03)[:6].any()  # too steep to be trusted
    room = flat_reconstruction(np.ones((1, 60, 80), np.float32), step[None])
    cloud = point_cloud(room, confidence_percentile=0, outlier_filter=False)
    assert 0 < 60 * 80 - len(cloud) < 60 * 80 / 2
    assert not ((cloud.pixel[:, 0] >= 39) & (cloud.pixel[:, 0] <= 40) & (cloud.pixel[:, 1] > 25)).any()


def test_far_outliers_go_and_the_scene_stays():
    random = np.random.default_rng(0)
    scene = random.uniform(-1, 1, (5000, 3)).astype(np.float32)
    far = np.float32([[100, 0, 0], [0, -50, 3]])
    assert far_outliers(np.concatenate((scene, far))).tolist() == [False] * 5000 + [True] * 2
    corridor = scene * (1, 1, 20)
    assert not far_outliers(corridor.astype(np.float32)).any()


@pytest.mark.parametrize("reduce", ["voxel", "random"])
@pytest.mark.parametrize("most", [1, 10, 500, 4000, 10**7])
def test_at_most_so_many_points(room, reduce, most):
    cloud = point_cloud(room, **EVERYTHING, max_points=most, reduce=reduce)
    assert 0.9 * min(most, room.depth.size) <= len(cloud) <= most
    x, y = cloud.pixel.T
    np.testing.assert_array_equal(cloud.colors, room.images[cloud.frame, y, x])
    again = point_cloud(room, **EVERYTHING, max_points=most, reduce=reduce)
    np.testing.assert_array_equal(again.points, cloud.points)


def test_thinning_works_in_pieces_when_pixels_are_many(room, monkeypatch):
    import manyview.scene.pointcloud as module

    monkeypatch.setattr(module, "MANY_POINTS", 1000)
    assert 480 <= len(point_cloud(room, **EVERYTHING, max_points=500)) <= 500


def test_voxels_thin_evenly_and_keep_the_most_trusted():
    confidence = np.linspace(0, 0.9, 40 * 60, dtype=np.float32).reshape(1, 40, 60)
    dense, loose = np.full((1, 40, 60), 0.01, np.float32), np.ones((1, 40, 60), np.float32)
    both = flat_reconstruction(np.concatenate((confidence, confidence)), np.concatenate((dense, loose)))
    cloud = point_cloud(both, **EVERYTHING, max_points=400)
    assert (cloud.frame == 0).sum() < 20 < (cloud.frame == 1).sum()
    near = cloud.take(cloud.frame == 0)
    assert near.confidence.mean() > confidence.mean()


def test_odd_scenes_do_not_break_thinning():
    one_place = flat_reconstruction(np.ones((1, 20, 20), np.float32), np.full((1, 20, 20), 1e-30, np.float32))
    assert 1 <= len(point_cloud(one_place, **EVERYTHING, max_points=10)) <= 10
    assert len(point_cloud(one_place, confidence_threshold=1.0)) <= 400


def test_wrong_options_are_refused(room):
    for options, words in (
        ({"confidence_percentile": 101}, "0 to 100"),
        ({"confidence_threshold": 2.0}, "0 to 1"),
        ({"max_points": 0}, "1 or more"),
        ({"reduce": "grid"}, "voxel, random"),
        ({"frames": [4]}, "0 to 3"),
        ({"frames": []}, "none"),
    ):
        with pytest.raises(ValueError, match=words):
            point_cloud(room, **options)


def test_progress_is_told_and_may_cancel(room):
    told = []
    point_cloud(room, progress=lambda *step: told.append(step))
    assert ("filtering", 4, 4) in told and ("points", 4, 4) in told

    def cancel(*step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        point_cloud(room, progress=cancel)


def test_taking_keeps_fields_together(room):
    cloud = point_cloud(room)
    part = cloud.take(cloud.frame == 2)
    assert isinstance(part, PointCloud) and set(part.frame) == {2} and len(part) == (cloud.frame == 2).sum()


def test_hopeless_pixels_go_together(make_room) -> None:
    """More pixels of confidence 0 than the percentile asks for: none of them stays."""
    scene = make_room()
    scene.confidence[:] = 0.5
    scene.confidence[:, : scene.confidence.shape[1] // 2] = 0.0
    cloud = point_cloud(scene, confidence_percentile=5, edge_filter=None, outlier_filter=False, max_points=None)
    assert len(cloud)
    assert (cloud.confidence > 0).all()
    scene.confidence[:] = 0.0  # nothing is better than the rest: the cloud is not emptied
    assert len(point_cloud(scene, confidence_percentile=5, edge_filter=None, outlier_filter=False, max_points=None))
