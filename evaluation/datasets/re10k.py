"""RealEstate10K, 10 frames of 1719 sequences, pose of pairs (Pi3's protocol)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..sampling import seeded_draws
from ..scene import Card, EvaluationScene, ScoringRules, Truth
from .files import absent_line, first_absent, frame_list, pose_images

CARD = Card(
    name="re10k",
    title="RealEstate10K",
    source="camera files from https://google.github.io/realestate10k, frames cut from the videos they name: "
    "ROOT/<sequence>/images/0000.png ... and annotations.json (filepath, intrinsics 3x3 in pixels, "
    "extrinsics 4x4 world to camera), or ROOT/<sequence>.txt as released beside ROOT/<sequence>/images",
    licence="camera files CC BY 4.0; the videos belong to their owners",
    frames="10 of each of 1719 sequences, seed 42, fed in the order drawn (frames/re10k.json)",
)


class RealEstate10K:
    """Sequences whose number of frames on disk is not the listed one fail: images and poses would be shifted."""

    card = CARD
    name = "re10k"
    rules = ScoringRules(("pairs",), thresholds=(3, 5, 15, 30))

    def __init__(self, root: Path) -> None:
        self.root = root
        self.listed = frame_list("re10k")
        self.draws = seeded_draws(self.listed["counts"], self.listed["draw"], self.listed["seed"])

    def scenes(self) -> Sequence[str]:
        """Sequence ids, in the list's order."""
        return list(self.draws)

    def missing(self) -> list[str]:
        """Sequences without annotations or without their frames."""
        lines = []
        for name in self.draws:
            notes = [self.root / name / "annotations.json", self.root / f"{name}.txt"]
            if not any(path.exists() for path in notes):
                lines += absent_line(name, notes[0])
            else:
                wanted = [self.root / name / "images" / f"{i:04d}.png" for i in self.draws[name]]
                lines += absent_line(name, first_absent(wanted))
        return lines

    def load(self, scene: str) -> EvaluationScene:
        """Ten frames in the order drawn; poses in float64."""
        annotations = self.root / scene / "annotations.json"
        if annotations.exists():
            paths, poses = self.read_annotations(annotations)
        else:
            paths, poses = self.read_release(scene)
        expected = self.listed["counts"][scene]
        if len(paths) != expected:
            raise ValueError(
                f"{scene} has {len(paths)} frames instead of {expected}; images and poses may be shifted, so it is out."
            )
        chosen = self.draws[scene]
        images = pose_images([paths[i] for i in chosen])
        return EvaluationScene(
            scene, images, tuple(f"{i:04d}" for i in chosen), Truth(np.stack([poses[i] for i in chosen]))
        )

    def read_annotations(self, file: Path) -> tuple[list[Path], list[np.ndarray]]:
        """Frames and world_to_camera (3, 4) of a prepared sequence."""
        records = json.loads(file.read_text(encoding="utf-8"))
        paths = [self.root / record["filepath"] for record in records]
        return paths, [np.array(record["extrinsics"], np.float64)[:3] for record in records]

    def read_release(self, scene: str) -> tuple[list[Path], list[np.ndarray]]:
        """The same from the released text file: a URL, then a line a frame ending in 12 numbers, world_to_camera."""
        lines = (self.root / f"{scene}.txt").read_text(encoding="utf-8").strip().splitlines()[1:]
        poses = [np.array(line.split()[-12:], np.float64).reshape(3, 4) for line in lines]
        paths = sorted((self.root / scene / "images").glob("*.png"))
        if len(paths) != len(poses):
            raise ValueError(
                f"{scene} has {len(paths)} images for {len(poses)} poses; a frame that could not be cut shifts all "
                "later ones, so it is out."
            )
        return paths, poses
