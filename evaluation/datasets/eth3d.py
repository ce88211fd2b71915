"""ETH3D high-resolution training scenes, point maps (Pi3's protocol), from the released distorted images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..scene import Card, EvaluationScene, ScoringRules
from .files import absent_line, first_absent, frame_list, point_scene, point_view, read_picture

CARD = Card(
    name="eth3d",
    title="ETH3D",
    source="https://www.eth3d.net/datasets, high-res multi-view, training: dslr_jpg and dslr_depth, unpacked so "
    "that ROOT/<scene>/ holds images/dslr_images, dslr_calibration_jpg and ground_truth_depth/dslr_images",
    licence="CC BY-NC-SA 4.0",
    frames="every 5th image in the order of names, 97 in 13 scenes (frames/eth3d.json)",
)


class Eth3d:
    """Images are undistorted with the fisheye part of the calibration, depth is moved pixel by pixel, as Pi3 does."""

    card = CARD
    name = "eth3d"
    rules = ScoringRules(("points", "pairs"), icp_distance=0.1, normals=True)

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lists: dict[str, list[int]] = frame_list("eth3d")["views"]["all"]

    def scenes(self) -> Sequence[str]:
        """Scene names."""
        return list(self.lists)

    def missing(self) -> list[str]:
        """Scenes without images, calibration or depth."""
        parts = ("images/dslr_images", "dslr_calibration_jpg/cameras.txt", "dslr_calibration_jpg/images.txt")
        parts = (*parts, "ground_truth_depth/dslr_images")
        wanted = {name: [self.root / name / part for part in parts] for name in self.lists}
        return [line for name in self.lists for line in absent_line(name, first_absent(wanted[name]))]

    def load(self, scene: str) -> EvaluationScene:
        """Undistorted views at width 518."""
        folder = self.root / scene
        files = sorted((folder / "images" / "dslr_images").glob("*.JPG"))
        chosen = self.lists[scene]
        if not files:
            raise FileNotFoundError(f"{folder / 'images' / 'dslr_images'} has no .JPG files.")
        if len(files[::5]) != len(chosen):
            raise ValueError(f"{scene} has {len(files)} images; every 5th should be {len(chosen)} of them.")
        cameras = read_cameras(folder / "dslr_calibration_jpg" / "cameras.txt")
        poses = read_poses(folder / "dslr_calibration_jpg" / "images.txt")
        views, world_to_camera = [], []
        for file in (files[i] for i in chosen):
            pose, camera = poses[file.name]
            picture = read_picture(file)
            raw = np.fromfile(folder / "ground_truth_depth" / "dslr_images" / file.name, np.dtype("<f4"))
            if raw.size != picture.shape[0] * picture.shape[1]:
                raise ValueError(
                    f"The depth of {scene}/{file.name} has {raw.size} values for {picture.shape[:2]} pixels."
                )
            views.append(point_view(*undistorted(picture, raw.reshape(picture.shape[:2]), *cameras[camera])))
            world_to_camera.append(pose)
        images, truth = point_scene(views, np.stack(world_to_camera))
        return EvaluationScene(scene, images, tuple(files[i].name for i in chosen), truth)


def read_cameras(file: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Camera id -> intrinsics (3, 3) and fisheye coefficients (4,) of THIN_PRISM_FISHEYE cameras."""
    cameras = {}
    for line in content_lines(file):
        number, model, _, _, *values = line.split()
        if model != "THIN_PRISM_FISHEYE":
            raise ValueError(f"{file} has a camera {model}; the distorted JPG calibration is THIN_PRISM_FISHEYE.")
        fx, fy, cx, cy, k1, k2, _, _, k3, k4 = map(float, values[:10])
        cameras[int(number)] = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), np.array([k1, k2, k3, k4])
    return cameras


def read_poses(file: Path) -> dict[str, tuple[np.ndarray, int]]:
    """Base name -> world_to_camera (3, 4) and camera id; every second line, with the keypoints, is skipped."""
    from scipy.spatial.transform import Rotation

    poses = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        parts = line.split()
        if line.startswith("#") or len(parts) < 10 or not parts[9].upper().endswith(".JPG"):
            continue
        w, x, y, z, *translation = map(float, parts[1:8])
        rotation = Rotation.from_quat([x, y, z, w]).as_matrix()
        poses[Path(parts[9]).name] = np.concatenate([rotation, np.array(translation)[:, None]], 1), int(parts[8])
    return poses


def content_lines(file: Path) -> list[str]:
    return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]


def undistorted(
    picture: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, coefficients: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, depth and intrinsics without the fisheye distortion; the tangential and prism parts are ignored.

    Depth pixels move to where they belong, rounded; the last one written wins, holes are 0.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError("ETH3D needs OpenCV: pip install opencv-python-headless") from error
    flat = cv2.fisheye.undistortImage(picture, intrinsics, coefficients, Knew=intrinsics)
    rows, columns = np.nonzero(np.isfinite(depth) & (depth > 0))
    pixels = np.stack([columns, rows], 1).astype(np.float64)[:, None]
    moved = np.zeros_like(depth)
    if len(pixels):
        at = cv2.fisheye.undistortPoints(pixels, intrinsics, coefficients, P=intrinsics)[:, 0]
        at = np.round(np.nan_to_num(at, nan=-1.0)).astype(np.int64)
        inside = (at >= 0).all(1) & (at[:, 0] < depth.shape[1]) & (at[:, 1] < depth.shape[0])
        moved[at[inside, 1], at[inside, 0]] = depth[rows[inside], columns[inside]]
    return flat, moved, intrinsics
