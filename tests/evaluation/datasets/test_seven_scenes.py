"""7-Scenes: units, invalid depth, and depth that has to be moved into the colour camera."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manyview.evaluation.datasets.seven_scenes import (
    DEPTH_TO_COLOUR,
    SevenScenes,
    in_colour_camera,
    metres,
)
from manyview.evaluation.trajectory import inverse

COLOUR = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])


def save_depth(path: Path, depth_m: np.ndarray) -> None:
    raw = np.round(depth_m * 1000).astype(np.uint16)
    raw[0, 0] = 65535
    Image.fromarray(raw).save(path)


def write_sequence(root: Path, world, frames: range, suffix: str = "proj") -> None:
    folder = root / "stairs" / "seq-01"
    for i, pose in zip(frames, world.cameras(len(frames)), strict=True):
        world.save_picture(folder / f"frame-{i:06d}.color.png", world.picture(i // 200))
        world.write_text(folder / f"frame-{i:06d}.pose.txt", world.matrix_text(pose))
        save_depth(folder / f"frame-{i:06d}.depth.{suffix}.png", world.depth(pose, COLOUR))


def test_truth_lies_on_the_plane(tmp_path: Path, world) -> None:
    write_sequence(tmp_path, world, range(0, 500, 200))
    benchmark = SevenScenes(tmp_path)
    scene = benchmark.load("stairs/seq-01")
    assert scene.frames == ("000000", "000200", "000400")
    assert not scene.truth.valid[:, 0, 0].any()  # 65535
    world.on_plane(scene, tolerance=1e-3)  # depth in millimetres
    np.testing.assert_allclose(scene.truth.world_to_camera, inverse(world.cameras(3))[:, :3])
    numbers = world.scored(scene, benchmark.rules)
    assert numbers["accuracy"] == pytest.approx(0, abs=1e-6)
    assert numbers["normal_consistency"] > 0.999
    assert len(benchmark.missing()) == 17 and len(benchmark.scenes()) == 18


def test_views_and_frames(tmp_path: Path) -> None:
    sparse, dense = SevenScenes(tmp_path), SevenScenes(tmp_path, "dense")
    assert sum(map(len, sparse.lists.values())) == 86
    assert sum(map(len, dense.lists.values())) == 426
    assert (sparse.name, dense.name) == ("7scenes-sparse", "7scenes-dense")
    with pytest.raises(ValueError, match="sparse, dense"):
        SevenScenes(tmp_path, "medium")


def test_impossible_depth_is_0() -> None:
    np.testing.assert_allclose(metres(np.array([[65535, 10_001, 0, 2500]])), [[0, 0, 0, 2.5]])


def test_released_depth_moves_into_the_colour_camera() -> None:
    """A plane in front of the depth camera is the same plane, seen from the colour camera."""
    depth = np.full((480, 640), 2.0)
    moved = in_colour_camera(depth)
    assert (moved > 0).mean() > 0.7
    v, u = np.nonzero(moved)
    z = moved[v, u]
    points = np.stack([(u - 320) / 525 * z, (v - 240) / 525 * z, z], 1)
    rotation, translation = DEPTH_TO_COLOUR[:, :3], DEPTH_TO_COLOUR[:, 3]
    back = (points - translation) @ rotation  # in the depth camera
    assert np.abs(back[:, 2] - 2.0).max() < 0.01
    single = np.zeros((480, 640))
    single[240, 320] = 2.0
    assert np.argwhere(in_colour_camera(single)).tolist() == [[236, 309]]  # 4 rows up, 11 columns left


def test_the_nearest_wins() -> None:
    depth = np.zeros((480, 640))
    depth[100:140, 100:140] = 4.0
    depth[120, 120] = 1.0
    near = in_colour_camera(depth)
    at = np.argwhere((near > 0) & (near < 2))
    assert len(at) == 1


def test_released_names(tmp_path: Path, world) -> None:
    write_sequence(tmp_path, world, range(0, 500, 200), suffix="x")
    folder = tmp_path / "stairs" / "seq-01"
    for file in folder.glob("*.depth.x.png"):
        file.rename(file.with_name(file.name.replace(".x.", ".")))
    scene = SevenScenes(tmp_path).load("stairs/seq-01")
    assert 0.5 < scene.truth.valid.mean() < 0.99  # moving leaves holes
