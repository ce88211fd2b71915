"""Sizes, nearest depth and the published bias of scaled intrinsics."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from manyview.evaluation.datasets.files import nearest, point_view, pose_images, vggt_images


def save(path: Path, size: tuple[int, int]) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("source", "pose", "vggt"),
    [((640, 360), (294, 504), (294, 518)), ((640, 480), (378, 504), (392, 518)), ((180, 320), (910, 504), (518, 518))],
)
def test_sizes(source: tuple, pose: tuple, vggt: tuple, tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", source)
    for images, size in ((pose_images([file]), pose), (vggt_images([file]), vggt)):
        assert images.shape == (1, 3, *size)
        assert images.min() >= 0 and images.max() <= 1


def test_the_first_picture_rules(tmp_path: Path) -> None:
    files = [save(tmp_path / "a.png", (640, 360)), save(tmp_path / "b.png", (360, 640))]
    assert pose_images(files).shape == (2, 3, 294, 504)


def test_nearest_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    depth = np.random.default_rng(1).random((480, 640)).astype(np.float32)
    np.testing.assert_array_equal(nearest(depth, (518, 392)), cv2.resize(depth, (518, 392), interpolation=0))


def test_one_factor_for_both_axes() -> None:
    intrinsics = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])
    picture, depth, scaled = point_view(np.zeros((480, 640, 3), np.uint8), np.ones((480, 640)), intrinsics)
    assert picture.shape == (392, 518, 3) and depth.shape == (392, 518)
    factor = 392 / 480  # .8167, although x shrinks by .8094
    assert scaled[0, 0] == scaled[1, 1] == pytest.approx(525 * factor)
    assert scaled[0, 2] == pytest.approx((320.5) * factor - 0.5)
    assert scaled[0, 2] - (320.5 * 518 / 640 - 0.5) == pytest.approx(2.3, abs=0.1)
