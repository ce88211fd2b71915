"""RealEstate10K, prepared and as released."""

import json
from pathlib import Path

import numpy as np
import pytest

from manyview.evaluation.datasets.re10k import RealEstate10K
from manyview.evaluation.scoring import score
from manyview.evaluation.trajectory import inverse

SCENE = "000c3ab189999a83"  # the first of the list: 279 frames
SIZE = (64, 36)


@pytest.fixture
def data(tmp_path: Path, world) -> tuple[Path, np.ndarray]:
    """Annotations of all frames, pictures of those that are drawn."""
    poses = inverse(world.cameras(279))
    for i in (30, 126, 199, 142, 254, 237, 97, 206, 258, 144):
        world.save_picture(tmp_path / SCENE / "images" / f"{i:04d}.png", world.picture(i % 20, SIZE))
    records = [
        {
            "idx": i,
            "filepath": f"{SCENE}/images/{i:04d}.png",
            "intrinsics": np.eye(3).tolist(),
            "extrinsics": p.tolist(),
        }
        for i, p in enumerate(poses)
    ]
    world.write_text(tmp_path / SCENE / "annotations.json", json.dumps(records))
    return tmp_path, poses


def test_frames_in_the_order_drawn(data: tuple[Path, np.ndarray]) -> None:
    benchmark = RealEstate10K(data[0])
    assert len(benchmark.scenes()) == 1719 and benchmark.scenes()[0] == SCENE
    scene = benchmark.load(SCENE)
    order = [30, 126, 199, 142, 254, 237, 97, 206, 258, 144]
    assert scene.frames == tuple(f"{i:04d}" for i in order)
    assert scene.images.shape == (10, 3, 294, 504)
    brightness = scene.images.mean((1, 2, 3)).numpy() * 255
    np.testing.assert_allclose(brightness, [20 + 10 * (i % 20) for i in order], atol=0.5)
    np.testing.assert_allclose(scene.truth.world_to_camera, data[1][order, :3])


def test_numbers_from_end_to_end(data: tuple[Path, np.ndarray], world) -> None:
    benchmark = RealEstate10K(data[0])
    scene = benchmark.load(SCENE)
    numbers = world.scored(scene, benchmark.rules)
    assert numbers["auc_3"] == numbers["rra_5"] == numbers["rta_30"] == 100
    shuffled = world.perfect(scene)
    shuffled.world_to_camera = shuffled.world_to_camera[::-1]
    assert score(scene, shuffled, benchmark.rules).numbers["auc_5"] < 50


def test_the_released_text_file(data: tuple[Path, np.ndarray], world) -> None:
    root, poses = data
    (root / SCENE / "annotations.json").unlink()
    lines = ["https://www.youtube.com/watch?v=x"]
    lines += [f"{i} .9 1.6 .5 .5 0 0 " + " ".join(repr(float(x)) for x in p[:3].ravel()) for i, p in enumerate(poses)]
    world.write_text(root / f"{SCENE}.txt", "\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="10 images for 279 poses"):
        RealEstate10K(root).load(SCENE)  # the trap: frames that could not be cut
    for i in range(279):
        if not (file := root / SCENE / "images" / f"{i:04d}.png").exists():
            world.save_picture(file, world.picture(0, (8, 8)))
    assert RealEstate10K(root).load(SCENE).truth.world_to_camera[1] == pytest.approx(poses[126, :3])


def test_another_number_of_frames_is_refused(data: tuple[Path, np.ndarray], world) -> None:
    root, _ = data
    file = root / SCENE / "annotations.json"
    file.write_text(json.dumps(json.loads(file.read_text())[:-1]))
    with pytest.raises(ValueError, match="278 frames instead of 279"):
        RealEstate10K(root).load(SCENE)


def test_missing(data: tuple[Path, np.ndarray]) -> None:
    lines = RealEstate10K(data[0]).missing()
    assert len(lines) == 1718 and not any(line.startswith(SCENE) for line in lines)
    (data[0] / SCENE / "images" / "0030.png").unlink()
    assert any("0030.png" in line for line in RealEstate10K(data[0]).missing())
