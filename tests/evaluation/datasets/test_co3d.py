"""CO3Dv2: conversion of cameras, filters, prepared and released annotations."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from manyview.evaluation.datasets.co3d import Co3d, opencv_pose
from manyview.evaluation.trajectory import inverse

SCENE, COUNT = "110_13051_23361", 202  # the first of the list
DRAWN = [95, 15, 30, 159, 186, 115, 69, 172, 161, 45]


def write_gzip(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump(content, file)


def pytorch3d(pose: np.ndarray) -> dict:
    """The R and T that stand for an OpenCV world_to_camera."""
    rotation, translation = pose[:3, :3].T.copy(), pose[:3, 3].copy()
    rotation[:, :2] *= -1
    translation[:2] *= -1
    return {"R": rotation.tolist(), "T": translation.tolist()}


@pytest.fixture
def frames(tmp_path: Path, world) -> list[dict]:
    """Frames of one sequence; pictures of those that are drawn."""
    poses = inverse(world.cameras(COUNT))
    for i in DRAWN:
        path = tmp_path / "apple" / SCENE / "images" / f"frame{i + 1:06d}.jpg"
        world.save_picture(path, world.picture(0, (90, 160)))
    return [{"filepath": f"apple/{SCENE}/images/frame{i + 1:06d}.jpg"} | pytorch3d(p) for i, p in enumerate(poses)]


def test_conversion() -> None:
    pose = opencv_pose(np.eye(3), [0, 0, 2])
    np.testing.assert_array_equal(pose, [[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 2]])


def test_prepared_annotations(frames: list[dict], tmp_path: Path, world) -> None:
    write_gzip(tmp_path / "annotations" / "apple_test.jgz", {SCENE: frames, "short": frames[:49]})
    benchmark = Co3d(tmp_path)
    assert len(benchmark.scenes()) == 2506
    scene = benchmark.load(SCENE)
    assert scene.group == "apple" and scene.frames[0] == f"frame{96:06d}.jpg"
    assert scene.images.shape == (10, 3, 910, 504)  # upright and not cropped
    np.testing.assert_allclose(scene.truth.world_to_camera, inverse(world.cameras(COUNT))[DRAWN, :3], atol=1e-12)
    assert world.scored(scene, benchmark.rules)["auc_3"] == 100
    assert "short" not in benchmark.annotations
    assert len(benchmark.missing()) == 2505
    assert Co3d(tmp_path, "vggt").load(SCENE).images.shape == (10, 3, 518, 518)
    assert Co3d(tmp_path, "vggt").rules.pooling == "groups"


def test_sequences_with_cameras_beyond_reason_are_out(frames: list[dict], tmp_path: Path) -> None:
    frames[3]["T"] = [2e5, 0, 0]
    write_gzip(tmp_path / "apple_test.jgz", {SCENE: frames})
    with pytest.raises(FileNotFoundError, match="no annotation"):
        Co3d(tmp_path).load(SCENE)
    frames[3]["T"] = [-2e5, 0, 0]  # the published test has a sign
    write_gzip(tmp_path / "apple_test.jgz", {SCENE: frames})
    assert len(Co3d(tmp_path).load(SCENE).frames) == 10


def test_released_annotations(frames: list[dict], tmp_path: Path) -> None:
    folder = tmp_path / "apple"
    released = [
        {"sequence_name": SCENE, "image": {"path": f["filepath"]}, "viewpoint": {"R": f["R"], "T": f["T"]}}
        for f in frames
    ]
    write_gzip(folder / "frame_annotations.jgz", [*released, released[0] | {"image": {"path": "not listed"}}])
    write_gzip(folder / "sequence_annotations.jgz", [{"sequence_name": SCENE, "viewpoint_quality_score": 0.6}])
    listed = [[SCENE, i, f["filepath"]] for i, f in enumerate(frames)]
    (folder / "set_lists").mkdir()
    (folder / "set_lists" / "set_lists_fewview_dev.json").write_text(json.dumps({"train": [], "test": listed}))
    assert Co3d(tmp_path).load(SCENE).frames[0] == f"frame{96:06d}.jpg"
    write_gzip(folder / "sequence_annotations.jgz", [{"sequence_name": SCENE, "viewpoint_quality_score": 0.5}])
    with pytest.raises(FileNotFoundError):
        Co3d(tmp_path).load(SCENE)


def test_another_length_is_refused(frames: list[dict], tmp_path: Path) -> None:
    write_gzip(tmp_path / "apple_test.jgz", {SCENE: frames[:-1]})
    with pytest.raises(ValueError, match="201 frames instead of 202"):
        Co3d(tmp_path).load(SCENE)
    with pytest.raises(ValueError, match="pi3 and vggt"):
        Co3d(tmp_path, "other")
