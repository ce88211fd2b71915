"""ETH3D: raw depth with an image's ending, fisheye cameras, strides over names."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from manyview.evaluation.datasets.eth3d import Eth3d, read_cameras, undistorted
from manyview.evaluation.trajectory import inverse

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
K = np.array([[400.0, 0, 130], [0, 400, 98], [0, 0, 1]])
COEFFICIENTS = np.array([0.05, -0.02, 0.0, 0.0])
SIZE = (259, 196)


def fisheye_depth(pose: np.ndarray) -> np.ndarray:
    """Depth of the plane z = 3 at the pixels of the distorted picture."""
    u, v = np.meshgrid(np.arange(SIZE[0], dtype=np.float64), np.arange(SIZE[1], dtype=np.float64))
    pixels = np.stack([u, v], -1).reshape(-1, 1, 2)
    rays = cv2.fisheye.undistortPoints(pixels, K, COEFFICIENTS)[:, 0]
    rays = np.concatenate([rays, np.ones((len(rays), 1))], 1)
    return ((3.0 - pose[2, 3]) / (rays @ pose[2, :3])).reshape(SIZE[1], SIZE[0])


@pytest.fixture
def root(tmp_path: Path, world) -> Path:
    """The scene pipes: 14 pictures, of which 0, 5, 10 count, with real content in those."""
    folder, poses = tmp_path / "pipes", world.cameras(14)
    lines = ["# Image list with two lines of data per image"]
    for i, pose in enumerate(poses):
        name = f"DSC_{i:04d}.JPG"
        world.save_picture(folder / "images" / "dslr_images" / name, world.picture(i, SIZE))
        x, y, z, w = Rotation.from_matrix(inverse(pose[None])[0, :3, :3]).as_quat()
        t = inverse(pose[None])[0, :3, 3]
        lines += [f"{i + 1} {w} {x} {y} {z} {t[0]} {t[1]} {t[2]} 7 dslr_images/{name}", "1.0 2.0 -1 3.0 4.0 5"]
        depth = fisheye_depth(pose).astype("<f4")
        depth[90:106, 122:138] = np.inf
        (folder / "ground_truth_depth" / "dslr_images").mkdir(parents=True, exist_ok=True)
        depth.tofile(folder / "ground_truth_depth" / "dslr_images" / name)
    world.write_text(folder / "dslr_calibration_jpg" / "images.txt", "\n".join(lines) + "\n")
    camera = f"7 THIN_PRISM_FISHEYE {SIZE[0]} {SIZE[1]} 400 400 130 98 0.05 -0.02 .1 .2 0 0 .3 .4"
    world.write_text(folder / "dslr_calibration_jpg" / "cameras.txt", "# cameras\n" + camera + "\n")
    return tmp_path


def test_truth_lies_on_the_plane(root: Path, world) -> None:
    benchmark = Eth3d(root)
    scene = benchmark.load("pipes")
    assert scene.frames == ("DSC_0000.JPG", "DSC_0005.JPG", "DSC_0010.JPG")
    assert scene.images.shape == (3, 3, 392, 518)
    assert not scene.truth.valid[:, 186:206, 250:270].any()  # infinity is no depth
    world.on_plane(scene, tolerance=0.02)  # depth moves to whole pixels
    numbers = world.scored(scene, benchmark.rules)
    assert numbers["chamfer"] < 1e-3 and numbers["auc_3"] == 100


def test_the_tangential_and_prism_parts_are_ignored(root: Path) -> None:
    intrinsics, coefficients = read_cameras(root / "pipes" / "dslr_calibration_jpg" / "cameras.txt")[7]
    np.testing.assert_array_equal(intrinsics, K)
    np.testing.assert_array_equal(coefficients, COEFFICIENTS)


def test_undistortion_without_depth() -> None:
    _, depth, _ = undistorted(np.zeros((196, 259, 3), np.uint8), np.zeros((196, 259)), K, COEFFICIENTS)
    assert not depth.any()


def test_wrong_files(root: Path) -> None:
    assert len(Eth3d(root).missing()) == 12
    with pytest.raises(FileNotFoundError):
        Eth3d(root).load("office")
    (root / "pipes" / "ground_truth_depth" / "dslr_images" / "DSC_0005.JPG").write_bytes(b"1234")
    with pytest.raises(ValueError, match=r"DSC_0005\.JPG has 1 values"):
        Eth3d(root).load("pipes")
    for i in range(10, 14):
        (root / "pipes" / "images" / "dslr_images" / f"DSC_{i:04d}.JPG").unlink()
    with pytest.raises(ValueError, match="has 10 images; every 5th should be 3"):
        Eth3d(root).load("pipes")
    file = root / "pipes" / "dslr_calibration_jpg" / "cameras.txt"
    file.write_text("1 PINHOLE 4 4 1 1 1 1\n")
    with pytest.raises(ValueError, match="a camera PINHOLE"):
        read_cameras(file)
