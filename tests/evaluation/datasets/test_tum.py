"""TUM: association by time, every third match, quaternions x y z w."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from manyview.evaluation.datasets.tum import TumDynamic, associate
from manyview.evaluation.trajectory import inverse

SCENE = "rgbd_dataset_freiburg3_sitting_halfsphere"


def test_association_takes_the_best_first() -> None:
    assert associate([0.0, 1.0, 2.0], [0.005, 0.995, 1.012, 5.0], 0.02) == [(0, 0), (1, 1)]
    # both want 1.0; the closer one gets it, the other one has nothing left
    assert associate([0.99, 1.001], [1.0], 0.02) == [(1, 0)]
    assert associate([0.0], [0.02], 0.02) == []


def test_frames_and_numbers(tmp_path: Path, world) -> None:
    folder = tmp_path / SCENE
    poses = world.cameras(20)
    pictures, truth = ["# color images"], ["# ground truth"]
    for i, pose in enumerate(poses):
        world.save_picture(folder / "rgb" / f"{i}.png", world.picture(i, (64, 48)))
        pictures.append(f"{i / 30:.6f} rgb/{i}.png")
        numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        truth.append(f"{i / 30 + 0.004:.4f} " + " ".join(map(repr, map(float, numbers))))
        truth.append(f"{i / 30 + 0.013:.4f} 9 9 9 0 0 0 1")  # further away in time
    world.write_text(folder / "rgb.txt", "\n".join(pictures))
    world.write_text(folder / "groundtruth.txt", "\n".join(truth))
    benchmark = TumDynamic(tmp_path)
    scene = benchmark.load(SCENE)
    assert len(scene.frames) == 7
    np.testing.assert_allclose(scene.truth.world_to_camera, inverse(poses[::3])[:, :3], atol=1e-9)
    assert world.scored(scene, benchmark.rules)["ate"] == pytest.approx(0, abs=1e-9)
    assert len(benchmark.missing()) == 7
    world.write_text(folder / "groundtruth.txt", "1000.0 0 0 0 0 0 0 1")
    with pytest.raises(ValueError, match="0 frames with a pose"):
        benchmark.load(SCENE)
