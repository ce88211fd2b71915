"""DTU, 22 scans, point maps in millimetres (Spann3R's archive, Pi3's protocol); optionally the official distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..dtu_official import DtuScan
from ..scene import Card, EvaluationScene, ScoringRules
from .files import absent_line, first_absent, frame_list, nearest, point_scene, point_view, read_picture

CARD = Card(
    name="dtu",
    title="DTU",
    source="the archive dtu_test of Spann3R (https://github.com/HengyiWang/spann3r): ROOT/scanN/images, depths, "
    "cams and binary_masks; for the view official also ROOT/ObsMask and ROOT/Points/stl "
    "(https://roboimagedata.compute.dtu.dk)",
    licence="DTU MVS: free for research, as its authors say",
    frames="22 scans, every 5th of 49 views (frames/dtu.json)",
)


class Dtu:
    """view "pi3": points after similarity and ICP; "official": DTU's own distance of the same points, before ICP."""

    card = CARD

    def __init__(self, root: Path, view: str = "pi3") -> None:
        if view not in ("pi3", "official"):
            raise ValueError(f"The views of dtu are pi3 and official, got {view!r}.")
        self.root = root
        self.view = view
        self.name = f"dtu-{view}"
        points = "points" if view == "pi3" else "dtu_official"
        self.rules = ScoringRules((points, "pairs"), icp_distance=100.0, normals=True)
        self.lists: dict[str, list[int]] = frame_list("dtu")["views"]["all"]

    def scenes(self) -> Sequence[str]:
        """scan1, scan4, ..."""
        return list(self.lists)

    def missing(self) -> list[str]:
        """Scans that lack a view."""
        lines = []
        for name, chosen in self.lists.items():
            parts = ("images/{:08d}.jpg", "depths/{:08d}.npy", "cams/{:08d}_cam.txt", "binary_masks/{:08d}.png")
            wanted = [self.root / name / part.format(i) for i in chosen for part in parts]
            wanted += list(official_files(self.root, name)) if self.view == "official" else []
            lines += absent_line(name, first_absent(wanted))
        return lines

    def load(self, scene: str) -> EvaluationScene:
        """Views at width 518, depth masked by the eroded masks."""
        folder, chosen = self.root / scene, self.lists[scene]
        views, poses = [], []
        for i in chosen:
            depth = np.load(folder / "depths" / f"{i:08d}.npy").astype(np.float64)
            height, width = depth.shape
            mask = eroded(read_picture(folder / "binary_masks" / f"{i:08d}.png")[..., 0], (width, height))
            pose, intrinsics = read_camera(folder / "cams" / f"{i:08d}_cam.txt")
            picture = read_picture(folder / "images" / f"{i:08d}.jpg", (width, height))
            views.append(point_view(picture, np.where(mask, depth, 0.0), intrinsics))
            poses.append(pose)
        images, truth = point_scene(views, np.stack(poses))
        if self.view == "official":
            truth = replace(truth, dtu=read_scan(*official_files(self.root, scene)))
        return EvaluationScene(scene, images, tuple(f"{i:08d}" for i in chosen), truth)


def eroded(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) 0..255 at `size` (width, height) without its outer 5 pixels: eroded once by a 10 x 10 box."""
    from scipy.ndimage import minimum_filter

    return minimum_filter(nearest(mask, size) / 255.0 > 0.5, size=10, mode="constant", cval=True)


def read_camera(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """world_to_camera (3, 4) and intrinsics (3, 3) of an MVSNet camera file."""
    words = file.read_text(encoding="utf-8").split()
    if "extrinsic" not in words or "intrinsic" not in words:
        raise ValueError(f"{file} is no MVSNet camera file: it lacks the words extrinsic and intrinsic.")
    pose, matrix = words.index("extrinsic") + 1, words.index("intrinsic") + 1
    return (
        np.array(words[pose : pose + 12], np.float64).reshape(3, 4),
        np.array(words[matrix : matrix + 9], np.float64).reshape(3, 3),
    )


def official_files(root: Path, scene: str) -> tuple[Path, Path, Path]:
    """Scan, observed volume and table plane of a scan."""
    number = int(scene.removeprefix("scan"))
    masks = root / "ObsMask"
    return (
        root / "Points" / "stl" / f"stl{number:03d}_total.ply",
        masks / f"ObsMask{number}_10.mat",
        masks / f"Plane{number}.mat",
    )


def read_scan(points: Path, volume: Path, plane: Path) -> DtuScan:
    """What DTU's evaluation needs of one scan."""
    from scipy.io import loadmat

    mask = loadmat(volume)
    return DtuScan(
        scan=read_ply_points(points),
        mask=mask["ObsMask"].astype(bool),
        bounds=mask["BB"].astype(np.float64),
        resolution=float(np.ravel(mask["Res"])[0]),
        plane=loadmat(plane)["P"].astype(np.float64).ravel(),
    )


def read_ply_points(file: Path) -> np.ndarray:
    """Vertices (M, 3) of a PLY file."""
    try:
        from plyfile import PlyData
    except ImportError as error:
        raise ImportError("Reading scans needs plyfile: pip install plyfile") from error
    vertex = PlyData.read(str(file))["vertex"]
    return np.stack([vertex["x"], vertex["y"], vertex["z"]], 1).astype(np.float64)
