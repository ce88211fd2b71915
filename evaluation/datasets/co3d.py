"""CO3Dv2, 10 frames of 2506 sequences, pose of pairs (Pi3's protocol, or pooled by category as VGGT does)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..sampling import seeded_draws
from ..scene import Card, EvaluationScene, ScoringRules, Truth
from .files import absent_line, first_absent, frame_list, pose_images, vggt_images

CARD = Card(
    name="co3d",
    title="CO3Dv2",
    source="https://github.com/facebookresearch/co3d: ROOT/<category>/<sequence>/images, and of each category either "
    "frame_annotations.jgz, sequence_annotations.jgz and set_lists/set_lists_fewview_dev.json as released, or "
    "<category>_test.jgz prepared as for PoseDiffusion, in ROOT or ROOT/annotations",
    licence="CC BY-NC 4.0",
    frames="10 of each of 2506 sequences of 51 categories, seed 42, in the order drawn (frames/co3d.json)",
)
TOO_FAR = 1e5
LEAST_FRAMES = 50
LEAST_QUALITY = 0.5


class Co3d:
    """view "pi3": pairs of all sequences pooled, width 512, no crop; "vggt": by category, width 518 with crop."""

    card = CARD

    def __init__(self, root: Path, view: str = "pi3") -> None:
        if view not in ("pi3", "vggt"):
            raise ValueError(f"The views of co3d are pi3 and vggt, got {view!r}.")
        self.root = root
        self.view = view
        self.name = f"co3d-{view}"
        self.rules = ScoringRules(("pairs",), pooling="pairs" if view == "pi3" else "groups")
        self.listed = frame_list("co3d")
        self.draws = seeded_draws(self.listed["counts"], self.listed["draw"], self.listed["seed"])

    def scenes(self) -> Sequence[str]:
        """Sequence names, in the list's order."""
        return list(self.draws)

    def missing(self) -> list[str]:
        """Sequences that no annotation on disk knows, or whose frames are not there."""
        lines = []
        for name, chosen in self.draws.items():
            if name not in self.annotations:
                lines.append(f"{name}: no annotation below {self.root} has this sequence.")
                continue
            _, frames = self.annotations[name]
            wanted = [self.root / frames[i]["filepath"] for i in chosen if i < len(frames)]
            lines += absent_line(name, first_absent(wanted))
        return lines

    @cached_property
    def annotations(self) -> dict[str, tuple[str, list[dict[str, Any]]]]:
        """Sequence -> its category and listed frames, of all categories on disk; short and broken ones are out."""
        found = {}
        prepared = sorted([*self.root.glob("*_test.jgz"), *self.root.glob("annotations/*_test.jgz")])
        for file in prepared:
            category = file.name.removesuffix("_test.jgz")
            found |= {name: (category, frames) for name, frames in read_gzip(file).items()}
        for file in sorted(self.root.glob("*/frame_annotations.jgz")):
            if file.parent.name not in {category for category, _ in found.values()}:
                found |= {name: (file.parent.name, frames) for name, frames in released_frames(file.parent).items()}
        return {name: entry for name, entry in found.items() if is_usable(entry[1])}

    def load(self, scene: str) -> EvaluationScene:
        """Ten frames in the order drawn."""
        if scene not in self.annotations:
            raise FileNotFoundError(f"{scene}: no annotation below {self.root} has this sequence.")
        category, frames = self.annotations[scene]
        expected = self.listed["counts"][scene]
        if len(frames) != expected:
            raise ValueError(
                f"{scene} lists {len(frames)} frames instead of {expected}; its draw would be another one."
            )
        chosen = [frames[i] for i in self.draws[scene]]
        paths = [self.root / frame["filepath"] for frame in chosen]
        images = pose_images(paths) if self.view == "pi3" else vggt_images(paths)
        poses = np.stack([opencv_pose(frame["R"], frame["T"]) for frame in chosen])
        names = tuple(Path(frame["filepath"]).name for frame in chosen)
        return EvaluationScene(scene, images, names, Truth(poses), group=category)


def opencv_pose(rotation: Sequence, translation: Sequence) -> np.ndarray:
    """world_to_camera (3, 4) with OpenCV axes of PyTorch3D's R and T (row vectors, x left, y up)."""
    turned = np.array(rotation, np.float64)
    turned[:, :2] *= -1
    moved = np.array(translation, np.float64)
    moved[:2] *= -1
    return np.concatenate([turned.T, moved[:, None]], 1)


def is_usable(frames: Sequence[Mapping[str, Any]]) -> bool:
    """At least 50 frames and no camera beyond reason (the published test is on the signed sum)."""
    return len(frames) >= LEAST_FRAMES and all(sum(frame["T"]) <= TOO_FAR for frame in frames)


def released_frames(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The test frames of a category from its released files, by sequence, in the order of the frame annotations."""
    quality = {
        entry["sequence_name"]: entry.get("viewpoint_quality_score") or 0.0
        for entry in read_gzip(folder / "sequence_annotations.jgz")
    }
    listed = json.loads((folder / "set_lists" / "set_lists_fewview_dev.json").read_text(encoding="utf-8"))["test"]
    test = {path for _, _, path in listed}
    found: dict[str, list[dict[str, Any]]] = {}
    for frame in read_gzip(folder / "frame_annotations.jgz"):
        path, name = frame["image"]["path"], frame["sequence_name"]
        if path in test and quality.get(name, 0.0) > LEAST_QUALITY:
            view = frame["viewpoint"]
            found.setdefault(name, []).append({"filepath": path, "R": view["R"], "T": view["T"]})
    return found


def read_gzip(file: Path) -> Any:
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        return json.load(opened)
