"""Worlds of meshes: what the ray caster sees agrees with geometry, with itself from elsewhere, and with its seed."""

import numpy as np
import pytest
import torch

pytest.importorskip("warp", reason="warp-lang is not installed", exc_type=ImportError)

from manyview.training.batches import world_points
from manyview.training.cameras import Cameras, look_at
from manyview.training.library import load_library, make_library, noise_pictures
from manyview.training.raycast import ground_height, render_worlds
from manyview.training.shapes import GROUPS, Shape
from manyview.training.solids import sphere
from manyview.training.world_batches import draw_worlds, make_world_batch
from manyview.training.worlds import sample_worlds

SIZE = (28, 42)


@pytest.fixture(scope="module")
def library():
    return load_library([], "cpu", share=0.04)


def test_depth_of_a_ball_and_a_wall() -> None:
    """A ball of radius 1 three metres ahead in a room whose wall is at five."""
    balls = [Shape.make(group, sphere(rings=48)) for group in GROUPS]
    library = make_library(
        balls, {kind: noise_pictures(0, 1) for kind in ("texture", "photo", "sky")}, torch.device("cpu")
    )
    worlds = sample_worlds(1, library, torch.Generator().manual_seed(0))
    worlds.present[:] = False
    worlds.present[0, 0] = True
    worlds.center[0, 0] = torch.tensor([0.0, 3.0, 1.5])
    worlds.rotation[0, 0], worlds.half[0, 0] = torch.eye(3), 1.0
    worlds.open_air[:] = False
    worlds.room_low[:], worlds.room_high[:] = torch.tensor([-5.0, -5.0, 0.0]), torch.tensor([5.0, 5.0, 4.0])
    position = torch.tensor([[[0.0, 0.0, 1.5]]])
    cameras = Cameras(position, look_at(position, torch.tensor([[[0.0, 1.0, 1.5]]])), torch.tensor([[0.5]]))
    image, depth, valid = render_worlds(worlds, library, cameras, SIZE)
    assert depth[0, 14, 21].item() == pytest.approx(2.0, abs=0.02)
    assert depth[0, 14, 0].item() == pytest.approx(5.0, abs=1e-3)
    assert valid.all() and torch.isfinite(image).all() and image.min() >= 0
    worlds.open_air[:] = True
    sky = render_worlds(worlds, library, cameras, SIZE)[2]
    assert not sky[0, 0, 0] and sky[0, 14, 21]


def test_views_agree_and_seeds_repeat(library) -> None:
    def batch(seed: int):
        generator = torch.Generator().manual_seed(seed)
        return make_world_batch(*draw_worlds(4, 3, library, generator), library, SIZE, generator)

    one = batch(5)
    assert one.images.shape == (4, 3, 3, *SIZE) and one.images.min() >= 0 and one.images.max() <= 1
    torch.testing.assert_close(batch(5).images, one.images)
    assert not torch.equal(batch(6).depth, one.depth)
    points = world_points(one.depth, one.world_to_camera, one.intrinsics)
    distance = points.norm(dim=-1)[one.valid]
    assert distance.mean() == pytest.approx(1.0, abs=0.5)
    pose, k = one.world_to_camera[:, 1], one.intrinsics[:, 1]
    camera = torch.einsum("bij,bnhwj->bnhwi", pose[..., :3], points) + pose[:, None, None, None, :, 3]
    u, v = (torch.einsum("bij,bnhwj->bnhwi", k, camera)[..., :2] / camera[..., 2:]).round().long().unbind(-1)
    inside = (camera[..., 2] > 0.01) & (u >= 0) & (u < SIZE[1]) & (v >= 0) & (v < SIZE[0]) & one.valid
    scene = torch.arange(4)[:, None, None, None].expand_as(u)
    seen = torch.where(one.valid, one.depth, 1e9)[scene[inside], 1, v[inside], u[inside]]
    behind = camera[..., 2][inside] - seen
    assert (behind > -0.15 * seen).float().mean() > 0.9
    assert (behind.abs() < 0.08 * seen).float().mean() > 0.25


def test_cameras_stand_above_the_ground_and_in_nothing(library) -> None:
    worlds, cameras = draw_worlds(24, 4, library, torch.Generator().manual_seed(1))
    ground = ground_height(worlds, library, cameras.position)
    assert (cameras.position[..., 2] > ground).all()
    offset = cameras.position[:, :, None] - worlds.center[:, None]
    local = torch.einsum("snkd,skde->snke", offset, worlds.rotation).abs()
    inside = (local < (library.extents[worlds.mesh] * worlds.half)[:, None]).all(-1) & worlds.present[:, None]
    assert not inside[..., :-1].any()
    assert set(worlds.kind.tolist()) == {0, 1, 2, 3}
    assert np.all(worlds.present.sum(1).numpy() > 2)
