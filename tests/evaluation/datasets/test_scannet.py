"""ScanNet: pairs, long sequences with lost poses, 90 frames."""

from pathlib import Path

import numpy as np
import pytest

from manyview.evaluation.datasets.scannet import ScanNet50, ScanNet90, ScanNet1500
from manyview.evaluation.scoring import score
from manyview.evaluation.trajectory import inverse

SIZE = (64, 48)


def write_frames(folder: Path, world, numbers: list[int], lost: tuple[int, ...] = ()) -> np.ndarray:
    poses = world.cameras(len(numbers))
    for index, (i, pose) in enumerate(zip(numbers, poses, strict=True)):
        world.save_picture(folder / "color" / f"{i}.jpg", world.picture(index % 20, SIZE))
        text = "-inf -inf -inf -inf\n" * 4 if i in lost else world.matrix_text(pose)
        world.write_text(folder / "pose" / f"{i}.txt", text)
    return poses


def test_pairs(tmp_path: Path, world) -> None:
    poses = write_frames(tmp_path / "scene0707_00", world, [15, 585])
    benchmark = ScanNet1500(tmp_path)
    assert len(benchmark.scenes()) == 1500 and benchmark.scenes()[0] == "scene0707_00/15-585"
    scene = benchmark.load("scene0707_00/15-585")
    assert scene.images.shape == (2, 3, 378, 504)
    np.testing.assert_allclose(scene.truth.world_to_camera, inverse(poses)[:, :3])
    assert world.scored(scene, benchmark.rules)["rra_5"] == 100
    assert len(benchmark.missing()) == 1499
    write_frames(tmp_path / "scene0707_00", world, [15, 585], lost=(15,))
    with pytest.raises(ValueError, match="not finite"):
        benchmark.load("scene0707_00/15-585")


def write_scan(root: Path, scene: str, points: np.ndarray) -> None:
    from plyfile import PlyData, PlyElement

    vertices = np.array([tuple(p) for p in points], dtype=[("x", "f4"), ("y", "f4"), ("z", "f4")])
    (root / "scans" / scene).mkdir(parents=True)
    PlyData([PlyElement.describe(vertices, "vertex")]).write(str(root / "scans" / scene / f"{scene}_vh_clean_2.ply"))


def test_long_sequences(tmp_path: Path, world) -> None:
    name = "scene0000_00"
    numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20]
    poses = write_frames(tmp_path / name, world, numbers, lost=(0, 3))
    cloud = np.random.default_rng(0).uniform(-1, 1, size=(3000, 3))
    write_scan(tmp_path, name, cloud)
    benchmark = ScanNet50(tmp_path, 5)
    scene = benchmark.load(name)
    # 1 2 4 5 6 7 8 9 10 20 have a pose, in the order of numbers; step (10 - 1) // (5 - 1) = 2
    assert scene.frames == ("1", "2", "5", "7", "9")
    kept = [numbers.index(int(frame)) for frame in scene.frames]
    np.testing.assert_allclose(scene.truth.world_to_camera, inverse(poses[kept])[:, :3], atol=1e-12)
    assert len(ScanNet50(tmp_path, 1000).load(name).frames) == 10
    assert benchmark.missing() == [f"{n}: {tmp_path / n / 'color'} is not there." for n in benchmark.scenes()[1:]]

    prediction = world.perfect(scene)
    first = np.vstack([scene.truth.world_to_camera[0], [0, 0, 0, 1]])  # the model's world is its first camera
    prediction.world_to_camera = (np.vstack([scene.truth.world_to_camera]) @ inverse(first[None]))[:, :3]
    count = 5 * 24 * 25
    seen = np.concatenate([cloud, np.ones((count, 1))], 1)[:count] @ first.T
    prediction.points = 0.5 * seen[:, :3].reshape(5, 24, 25, 3)
    prediction.confidence = np.full((5, 24, 25), 3.0)
    found = score(scene, prediction, benchmark.rules).numbers
    assert found["ate"] == pytest.approx(0, abs=1e-9) and found["legacy_ate"] == pytest.approx(0, abs=1e-6)
    assert found["fastvggt_chamfer"] < 0.05
    prediction.points[0, 0, 0] = 1000.0  # an outlier that the confidence removes
    prediction.confidence[0, 0, 0] = 2.9
    assert score(scene, prediction, benchmark.rules).numbers["fastvggt_chamfer"] < 0.05
    prediction.confidence[:] = 1.0
    with pytest.raises(ValueError, match="confidence of at least 3"):
        score(scene, prediction, benchmark.rules)


def test_90_frames_raw_and_prepared(tmp_path: Path, world) -> None:
    poses = write_frames(tmp_path / "scene0707_00", world, list(range(0, 270, 3)))
    benchmark = ScanNet90(tmp_path)
    raw = benchmark.load("scene0707_00")
    assert len(raw.frames) == 90 and raw.frames[-1] == "267"
    assert world.scored(raw, benchmark.rules)["ate"] == pytest.approx(0, abs=1e-9)
    folder = tmp_path / "scene0708_00"
    for i in range(90):
        world.save_picture(folder / "color_90" / f"frame_{i:04d}.jpg", world.picture(i % 20, SIZE))
    world.write_text(folder / "pose_90.txt", world.matrix_text(poses.reshape(90, 16)))
    np.testing.assert_allclose(benchmark.load("scene0708_00").truth.world_to_camera, raw.truth.world_to_camera)
    assert len(benchmark.missing()) == 98
    (tmp_path / "scene0707_00" / "pose" / "3.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"3\.txt is not there"):
        benchmark.load("scene0707_00")
