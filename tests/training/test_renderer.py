"""The renderer against geometry that it does not share: single shapes with known depth, and views of one scene."""

import pytest
import torch

from manyview.training.batches import draw_seeded_scenes, make_batch, world_points
from manyview.training.cameras import Cameras, look_at
from manyview.training.renderer import frame_tables, render
from manyview.training.scenes import FAR_AWAY_M, KIND_GROUPS, Scenes

SIZE = (21, 28)  # H, W


def lone_shape(index: int) -> Scenes:
    """A drawn scene in which only the shape `index` is left, a unit shape at (0, 3, 1.5) in a room of 10 m."""
    scenes, _ = draw_seeded_scenes([3], 1, "cpu")
    scenes.centers[:] = FAR_AWAY_M
    scenes.centers[0, index] = torch.tensor([0.0, 3.0, 1.5])
    scenes.rotations[0, index] = torch.eye(3)
    scenes.half_sizes[0, index] = 1.0
    scenes.open_air[:] = False
    scenes.room_low[:] = torch.tensor([-5.0, -5.0, 0.0])
    scenes.room_high[:] = torch.tensor([5.0, 5.0, 4.0])
    return scenes


def camera_at_origin() -> Cameras:
    """Looks along +y from height 1.5 m with a horizontal field of view of 90 degrees."""
    position = torch.tensor([[[0.0, 0.0, 1.5]]])
    rotation = look_at(position, torch.tensor([[[0.0, 1.0, 1.5]]]))
    return Cameras(position, rotation, torch.tensor([[0.5]]))


@pytest.mark.parametrize("index", [0, KIND_GROUPS[1][0], KIND_GROUPS[2][0]], ids=["box", "sphere", "cylinder"])
def test_depth_of_single_shapes(index: int) -> None:
    images, depth, valid = render(frame_tables(lone_shape(index), camera_at_origin(), SIZE), *SIZE)
    assert depth[0, SIZE[0] // 2, SIZE[1] // 2].item() == pytest.approx(2.0, abs=0.01)  # its front is 1 m before 3 m
    assert depth[0, SIZE[0] // 2, 0].item() == pytest.approx(5.0, abs=1e-4)  # the wall behind
    assert depth[0, 0, 0].item() == pytest.approx(2.5 / 0.75, abs=1e-4)  # the ceiling, 2.5 m up on a slope of 0.75
    assert valid.all()
    assert images.shape == (1, 3, *SIZE)
    assert torch.isfinite(images).all()
    assert 0.0 <= images.min() <= images.max() <= 1.0


def test_shadow_falls_behind_a_box() -> None:
    scenes = lone_shape(0)
    scenes.light[:] = torch.tensor([0.0, -4.0, 1.5])  # behind the camera: the box shades the wall
    scenes.ambient[:] = 0.1
    scenes.colors[:] = 1.0
    lit = render(frame_tables(scenes, camera_at_origin(), SIZE), *SIZE)[0][0].mean(0)
    side = camera_at_origin()
    side.position[..., 0] = 4.5
    seen = render(frame_tables(scenes, side, SIZE), *SIZE)
    assert seen[0][0].mean(0).min() < 0.35 * lit.max()


def test_views_agree_on_the_scene() -> None:
    """What one camera sees at a pixel lies, for another camera, on its own depth map or behind it."""
    batch = make_batch(*draw_seeded_scenes([11, 12], 3, "cpu"), (56, 56))
    points = world_points(batch.depth, batch.world_to_camera, batch.intrinsics)
    for other in range(3):
        pose, k = batch.world_to_camera[:, other], batch.intrinsics[:, other]
        camera = torch.einsum("bij,bnhwj->bnhwi", pose[..., :3], points) + pose[:, None, None, None, :, 3]
        pixel = torch.einsum("bij,bnhwj->bnhwi", k, camera)
        u, v = (pixel[..., :2] / pixel[..., 2:]).round().long().unbind(-1)
        inside = (pixel[..., 2] > 0.01) & (u >= 0) & (u < 56) & (v >= 0) & (v < 56) & batch.valid
        scene = torch.arange(2)[:, None, None, None].expand_as(u)
        seen = batch.depth[scene[inside], other, v[inside], u[inside]]
        behind = camera[..., 2][inside] - seen
        assert (behind > -0.1 * seen).float().mean() > 0.97
        assert (behind.abs() < 0.05 * seen).float().mean() > 0.25


def test_normalised_frame() -> None:
    batch = make_batch(*draw_seeded_scenes([5], 4, "cpu"), (42, 56), torch.Generator().manual_seed(0))
    identity = torch.cat([torch.eye(3), torch.zeros(3, 1)], 1)
    torch.testing.assert_close(batch.world_to_camera[0, 0], identity, atol=1e-5, rtol=0)
    distance = world_points(batch.depth, batch.world_to_camera, batch.intrinsics).norm(dim=-1)
    assert distance[batch.valid].mean().item() == pytest.approx(1.0, abs=0.1)
    rotation = batch.world_to_camera[..., :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0)
    assert batch.images.shape == (1, 4, 3, 42, 56)


def test_seeds_name_scenes() -> None:
    one = make_batch(*draw_seeded_scenes([7], 2, "cpu"), (28, 28))
    batch = make_batch(*draw_seeded_scenes([6, 7], 2, "cpu"), (28, 28))
    torch.testing.assert_close(one.images[0], batch.images[1])
    torch.testing.assert_close(one.depth[0], batch.depth[1])
    assert not torch.equal(batch.images[0], batch.images[1])


def test_cameras_stand_in_free_space() -> None:
    scenes, cameras = draw_seeded_scenes(list(range(20)), 6, "cpu")
    low, high = scenes.room_low[:, None], scenes.room_high[:, None]
    assert ((cameras.position > low) & (cameras.position < high)).all()
    offset = cameras.position[:, :, None] - scenes.centers[:, None]
    local = torch.einsum("snkd,skde->snke", offset, scenes.rotations).abs() - scenes.half_sizes[:, None]
    assert (local.amax(-1) > 0).all()
