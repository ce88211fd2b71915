"""Neural RGB-D: OpenGL poses, names without zeros, a scene of one frame."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manyview.evaluation.datasets.nrgbd import INTRINSICS, NeuralRgbd, opencv_axes, read_poses


def write_scene(root: Path, world, name: str, count: int, stride: int, lost: int | None = None) -> None:
    """Only the frames that are read; poses of all, 4 lines each, with OpenGL axes."""
    poses = world.cameras(count)
    lines = []
    for i, pose in enumerate(poses):
        turned = pose.copy()
        turned[:, 1:3] *= -1
        lines.append("nan nan nan nan\n" * 4 if i == lost else world.matrix_text(turned))
        if i % stride == 0:
            world.save_picture(root / name / "images" / f"img{i}.png", world.picture(i // stride))
            (root / name / "depth").mkdir(exist_ok=True)
            depth = np.round(world.depth(pose, INTRINSICS) * 1000).astype(np.uint16)
            Image.fromarray(depth).save(root / name / "depth" / f"depth{i}.png")
    world.write_text(root / name / "poses.txt", "".join(lines))


def test_axes() -> None:
    np.testing.assert_array_equal(opencv_axes(np.eye(4)[None])[0], np.diag([1.0, -1, -1, 1]))


def test_truth_lies_on_the_plane(tmp_path: Path, world) -> None:
    write_scene(tmp_path, world, "morning_apartment", 501, 500)
    benchmark = NeuralRgbd(tmp_path)
    scene = benchmark.load("morning_apartment")
    assert scene.frames == ("0", "500")
    world.on_plane(scene, tolerance=1e-3)
    assert world.scored(scene, benchmark.rules)["chamfer"] == pytest.approx(0, abs=1e-6)
    assert len(benchmark.missing()) == 8 and len(benchmark.scenes()) == 9


def test_numbers_are_not_sorted_as_text(tmp_path: Path, world) -> None:
    write_scene(tmp_path, world, "thin_geometry", 301, 100)
    scene = NeuralRgbd(tmp_path, "dense").load("thin_geometry")
    assert scene.frames == ("0", "100", "200", "300")
    brightness = scene.images.mean((1, 2, 3)).numpy() * 255
    np.testing.assert_allclose(brightness, [20, 30, 40, 50], atol=0.5)


def test_one_frame_is_enough(tmp_path: Path, world) -> None:
    write_scene(tmp_path, world, "thin_geometry", 2, 500)
    benchmark = NeuralRgbd(tmp_path)
    scene = benchmark.load("thin_geometry")
    numbers = world.scored(scene, benchmark.rules)
    assert numbers["accuracy"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(numbers["auc_30"])  # one frame has no pairs


def test_lost_poses(tmp_path: Path, world) -> None:
    write_scene(tmp_path, world, "thin_geometry", 2, 500, lost=0)
    with pytest.raises(ValueError, match="no valid pose for frame 0"):
        NeuralRgbd(tmp_path).load("thin_geometry")
    world.write_text(tmp_path / "poses.txt", "1 2 3")
    with pytest.raises(ValueError, match="16 numbers a frame"):
        read_poses(tmp_path / "poses.txt")
    with pytest.raises(ValueError, match="sparse, dense"):
        NeuralRgbd(tmp_path, "other")
