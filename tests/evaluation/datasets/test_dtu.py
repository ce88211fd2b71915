"""DTU: millimetres, eroded masks, MVSNet cameras, the official files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manyview.evaluation.datasets.dtu import Dtu, eroded, read_camera
from manyview.evaluation.scoring import score
from manyview.evaluation.trajectory import inverse

K = np.array([[600.0, 0, 250], [0, 600, 190], [0, 0, 1]])


@pytest.fixture
def root(tmp_path: Path, world) -> Path:
    """scan1 in millimetres: the plane z = 3000."""
    world.unit = 1000.0
    folder = tmp_path / "scan1"
    for i, pose in zip(range(0, 50, 5), world.cameras(10), strict=True):
        world.save_picture(folder / "images" / f"{i:08d}.jpg", world.picture(i // 5))
        (folder / "depths").mkdir(exist_ok=True)
        np.save(folder / "depths" / f"{i:08d}.npy", world.depth(pose, K).astype(np.float32))
        text = "extrinsic\n" + world.matrix_text(inverse(pose[None])[0]) + "\nintrinsic\n" + world.matrix_text(K)
        world.write_text(folder / "cams" / f"{i:08d}_cam.txt", text + "\n425.0 2.5\n")
        mask = np.zeros((392, 518), np.uint8)
        mask[:, 259:] = 255
        (folder / "binary_masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(folder / "binary_masks" / f"{i:08d}.png")
    return tmp_path


def test_truth_lies_on_the_plane(root: Path, world) -> None:
    benchmark = Dtu(root)
    scene = benchmark.load("scan1")
    assert scene.frames[1] == "00000005" and len(scene.frames) == 10
    world.on_plane(scene, tolerance=1e-2)
    assert not scene.truth.valid[:, :, :264].any() and scene.truth.valid[:, :, 264:].all()  # half, less 5 pixels
    numbers = world.scored(scene, benchmark.rules)
    assert numbers["chamfer"] == pytest.approx(0, abs=1e-5)
    assert benchmark.rules.icp_distance == 100
    assert len(benchmark.missing()) == 21 and len(benchmark.scenes()) == 22


def test_erosion_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    mask = (np.random.default_rng(0).random((60, 80)) > 0.01).astype(np.uint8)
    expected = cv2.erode(mask, np.ones((10, 10), np.uint8), iterations=1)
    np.testing.assert_array_equal(eroded(mask * 255, (80, 60)), expected.astype(bool))


def test_the_official_distance(root: Path, world) -> None:
    from plyfile import PlyData, PlyElement
    from scipy.io import savemat

    benchmark = Dtu(root, "official")
    assert any("stl001_total.ply" in line for line in benchmark.missing())
    x, y = np.meshgrid(np.arange(-200, 200, 10.0), np.arange(-200, 200, 10.0))
    scan = np.stack([x.ravel(), y.ravel(), np.full(x.size, 3002.0)], 1).astype(np.float32)  # 2 mm behind the plane
    vertices = np.array([tuple(p) for p in scan], dtype=[("x", "f4"), ("y", "f4"), ("z", "f4")])
    (root / "Points" / "stl").mkdir(parents=True)
    PlyData([PlyElement.describe(vertices, "vertex")]).write(str(root / "Points" / "stl" / "stl001_total.ply"))
    (root / "ObsMask").mkdir()
    volume = {"ObsMask": np.ones((41, 41, 21), bool), "BB": [[-200, -200, 2900], [200, 200, 3100]], "Res": 10.0}
    savemat(root / "ObsMask" / "ObsMask1_10.mat", volume)
    savemat(root / "ObsMask" / "Plane1.mat", {"P": np.array([[0.0], [0], [1], [0]])})
    scene = benchmark.load("scan1")
    every_8th = np.zeros_like(scene.truth.valid)
    every_8th[:, ::8, ::8] = scene.truth.valid[:, ::8, ::8]
    scene = replace(scene, truth=replace(scene.truth, valid=every_8th))
    numbers = score(scene, world.perfect(scene), benchmark.rules).numbers
    assert 2 <= numbers["dtu_accuracy"] < 10 and 2 <= numbers["dtu_completion"] < 20
    assert numbers["dtu_overall"] == pytest.approx((numbers["dtu_accuracy"] + numbers["dtu_completion"]) / 2)
    assert "accuracy" not in numbers


def test_bad_files(root: Path) -> None:
    (root / "bad.txt").write_text("nothing here")
    with pytest.raises(ValueError, match="no MVSNet camera file"):
        read_camera(root / "bad.txt")
    with pytest.raises(ValueError, match="pi3 and official"):
        Dtu(root, "other")
