"""ScanNet three times: 1500 pairs, 50 long scenes (FastVGGT), 90 frames of the test scenes (MonST3R)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..sampling import fastvggt_frames
from ..scene import Card, EvaluationScene, ScoringRules, Truth
from ..trajectory import inverse
from .dtu import read_ply_points
from .files import absent_line, first_absent, frame_list, pose_images, read_matrix, vggt_images

SOURCE = (
    "http://www.scan-net.org (ask for access), .sens files unpacked with its reader: ROOT/<scene>/color/<id>.jpg and "
    "pose/<id>.txt (4x4 camera to world)"
)
LICENCE = "ScanNet Terms of Use, non-commercial"


class ScanNet1500:
    """Poses of the model itself are scored, without correspondences or RANSAC: one of several published routes."""

    card = Card(
        name="scannet1500",
        title="ScanNet-1500, pairs",
        source=SOURCE,
        licence=LICENCE,
        frames="1500 pairs of 100 test scenes (frames/scannet1500.json); poses from the model, AUC by trapezoids",
    )
    name = "scannet1500"
    rules = ScoringRules(("two_view",), thresholds=(5, 10, 20))

    def __init__(self, root: Path) -> None:
        self.root = root
        pairs = frame_list("scannet1500")["pairs"]
        self.pairs = {f"{scene}/{a}-{b}": (scene, a, b) for scene, found in pairs.items() for a, b in found}

    def scenes(self) -> Sequence[str]:
        """<scene>/<frame>-<frame>."""
        return list(self.pairs)

    def missing(self) -> list[str]:
        """Pairs that lack an image or a pose."""
        return [
            line
            for name, (scene, a, b) in self.pairs.items()
            for line in absent_line(name, first_absent([f for i in (a, b) for f in frame_files(self.root / scene, i)]))
        ]

    def load(self, scene: str) -> EvaluationScene:
        """Two frames at width 512."""
        folder, a, b = self.pairs[scene]
        files = [frame_files(self.root / folder, i) for i in (a, b)]
        images = pose_images([image for image, _ in files])
        poses = np.stack([read_matrix(pose) for _, pose in files])
        if not np.isfinite(poses).all():
            raise ValueError(f"{scene} has a pose that is not finite.")
        return EvaluationScene(scene, images, (str(a), str(b)), Truth(inverse(poses)[:, :3]))


class ScanNet50:
    """`views` frames at most of each of 50 scenes; all of it in one pass."""

    card = Card(
        name="scannet50",
        title="ScanNet-50, long sequences",
        source=SOURCE + "; scans in ROOT/scans/<scene>/<scene>_vh_clean_2.ply, or beside the frames",
        licence=LICENCE,
        frames="50 scenes listed in a public fork of FastVGGT (frames/scannet50.json), its rule of frames; 40 of them "
        "are in the training data of VGGT and Pi3",
    )
    rules = ScoringRules(("scannet50",))

    def __init__(self, root: Path, views: int = 1000) -> None:
        self.root = root
        self.views = views
        self.name = f"scannet50-{views}"

    def scenes(self) -> Sequence[str]:
        """Scene names."""
        return frame_list("scannet50")["scenes"]

    def missing(self) -> list[str]:
        """Scenes without frames or without a scan."""
        return [
            line
            for name in self.scenes()
            for line in absent_line(name, first_absent([self.root / name / "color", self.scan_file(name)]))
        ]

    def scan_file(self, scene: str) -> Path:
        beside = self.root / scene / f"{scene}_vh_clean_2.ply"
        return beside if beside.exists() else self.root / "scans" / scene / beside.name

    def load(self, scene: str) -> EvaluationScene:
        """Frames with a finite pose, chosen by FastVGGT's rule, at width 518."""
        folder = self.root / scene
        numbers = sorted(int(file.stem) for file in (folder / "color").glob("*.jpg"))
        poses = {i: pose for i in numbers if (pose := known_pose(folder / "pose" / f"{i}.txt")) is not None}
        if len(poses) < 3:
            raise FileNotFoundError(f"{scene} has {len(poses)} frames with a pose; it takes 3.")
        usable = list(poses)
        chosen = [usable[i] for i in fastvggt_frames(len(usable), self.views)]
        images = vggt_images([folder / "color" / f"{i}.jpg" for i in chosen])
        truth = Truth(
            inverse(np.stack([poses[i] for i in chosen]))[:, :3], cloud=read_ply_points(self.scan_file(scene))
        )
        return EvaluationScene(scene, images, tuple(map(str, chosen)), truth)


class ScanNet90:
    """The first 270 frames of the test scenes, every third."""

    card = Card(
        name="scannet90",
        title="ScanNet-90, trajectories",
        source=SOURCE + ", or ROOT/<scene>/color_90/frame_0000.jpg and pose_90.txt as prepared for MonST3R",
        licence=LICENCE,
        frames="scenes 0707 to 0806, frames 0, 3, ..., 267 (frames/scannet90.json)",
    )
    name = "scannet90"
    rules = ScoringRules(("trajectory",))

    def __init__(self, root: Path) -> None:
        self.root = root

    def scenes(self) -> Sequence[str]:
        """Scene names."""
        return frame_list("scannet90")["scenes"]

    def missing(self) -> list[str]:
        """Scenes without frames."""
        lines = []
        for name in self.scenes():
            if not (self.root / name / "color_90").exists():
                lines += absent_line(name, first_absent(list(frame_files(self.root / name, 0))))
        return lines

    def load(self, scene: str) -> EvaluationScene:
        """90 frames at width 512."""
        folder = self.root / scene
        if (folder / "color_90").exists():
            files = sorted((folder / "color_90").glob("frame_*.jpg"))
            poses = read_matrix(folder / "pose_90.txt", (len(files), 16)).reshape(-1, 4, 4)
        else:
            pairs = [frame_files(folder, i) for i in range(0, 270, 3)]
            lost = first_absent([file for pair in pairs for file in pair])
            if lost is not None:
                raise FileNotFoundError(f"{scene}: {lost} is not there.")
            files = [image for image, _ in pairs]
            poses = np.stack([read_matrix(pose) for _, pose in pairs])
        if not np.isfinite(poses).all():
            raise ValueError(f"{scene} has a pose that is not finite.")
        return EvaluationScene(scene, pose_images(files), tuple(f.stem for f in files), Truth(inverse(poses)[:, :3]))


def frame_files(folder: Path, number: int) -> tuple[Path, Path]:
    """Image and pose of a frame."""
    return folder / "color" / f"{number}.jpg", folder / "pose" / f"{number}.txt"


def known_pose(file: Path) -> np.ndarray | None:
    """camera_to_world (4, 4), None where the scanner was lost."""
    if not file.exists():
        return None
    pose = read_matrix(file)
    return pose if np.isfinite(pose).all() else None
