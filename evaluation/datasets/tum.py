"""TUM RGB-D with moving people, 90 frames, trajectories (MonST3R's and Pi3's protocol), from the released files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..scene import Card, EvaluationScene, ScoringRules, Truth
from ..trajectory import inverse
from .files import absent_line, first_absent, frame_list, pose_images

CARD = Card(
    name="tum",
    title="TUM RGB-D, dynamic",
    source="https://cvg.cit.tum.de/data/datasets/rgbd-dataset, freiburg3 sitting and walking: "
    "ROOT/<sequence>/rgb.txt, rgb/, groundtruth.txt",
    licence="CC BY 4.0",
    frames="RGB and poses within 0.02 s, best first, every 3rd match, the first 90 (frames/tum.json)",
)
TOLERANCE_S, STRIDE, FRAMES = 0.02, 3, 90


class TumDynamic:
    """Eight sequences; poses are those of the tracker, nothing is interpolated."""

    card = CARD
    name = "tum"
    rules = ScoringRules(("trajectory",))

    def __init__(self, root: Path) -> None:
        self.root = root

    def scenes(self) -> Sequence[str]:
        """Sequence names."""
        return frame_list("tum")["scenes"]

    def missing(self) -> list[str]:
        """Sequences that lack a list or the images."""
        parts = ("rgb.txt", "groundtruth.txt", "rgb")
        return [
            line
            for name in self.scenes()
            for line in absent_line(name, first_absent([self.root / name / part for part in parts]))
        ]

    def load(self, scene: str) -> EvaluationScene:
        """90 frames at width 512."""
        folder = self.root / scene
        pictures, poses = read_list(folder / "rgb.txt"), read_list(folder / "groundtruth.txt")
        matches = associate([float(p[0]) for p in pictures], [float(p[0]) for p in poses], TOLERANCE_S)
        chosen = matches[::STRIDE][:FRAMES]
        if len(chosen) < 3:
            raise ValueError(f"{scene} has {len(chosen)} frames with a pose within {TOLERANCE_S} s; it takes 3.")
        images = pose_images([folder / pictures[i][1] for i, _ in chosen])
        truth = Truth(inverse(np.stack([tum_pose(poses[j][1:8]) for _, j in chosen]))[:, :3])
        return EvaluationScene(scene, images, tuple(pictures[i][0] for i, _ in chosen), truth)


def read_list(file: Path) -> list[list[str]]:
    """The words of each line that is no comment."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]


def associate(first: Sequence[float], second: Sequence[float], tolerance: float) -> list[tuple[int, int]]:
    """Pairs of indices in time order: closest pairs first, each time used once, no pair further apart than allowed."""
    other = np.asarray(second)
    order = np.argsort(other, kind="stable")
    pairs = []
    for i, time in enumerate(first):
        low, high = np.searchsorted(other[order], [time - tolerance, time + tolerance])
        pairs += [(abs(time - other[j]), i, int(j)) for j in order[low:high]]
    used_first: set[int] = set()
    used_second: set[int] = set()
    kept = []
    for apart, i, j in sorted(pairs):
        if apart < tolerance and i not in used_first and j not in used_second:
            used_first.add(i)
            used_second.add(j)
            kept.append((i, j))
    return sorted(kept, key=lambda pair: first[pair[0]])


def tum_pose(words: Sequence[str]) -> np.ndarray:
    """camera_to_world (4, 4) of tx ty tz qx qy qz qw."""
    from scipy.spatial.transform import Rotation

    numbers = [float(word) for word in words]
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(numbers[3:]).as_matrix()
    pose[:3, 3] = numbers[:3]
    return pose
