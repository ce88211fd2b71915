"""7-Scenes, point maps (Pi3's protocol); Kinect depth is moved into the colour camera if it was not yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..scene import Card, EvaluationScene, ScoringRules
from ..trajectory import inverse
from .files import absent_line, first_absent, frame_list, point_scene, point_view, read_matrix, read_picture

CARD = Card(
    name="7scenes",
    title="7-Scenes",
    source="https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes: "
    "ROOT/<scene>/seq-XX/frame-000000.color.png, .pose.txt and .depth.png as released (or "
    ".depth.proj.png, already moved into the colour camera)",
    licence="Microsoft Research licence, non-commercial",
    frames="18 test sequences, stride 200 (sparse) or 40 (dense) (frames/7scenes.json)",
)
FOCAL, CENTRE = 525.0, (320.0, 240.0)  # of the colour camera, as Pi3's evaluator has it since August 2025
DEPTH_FOCAL = 585.0
INVALID = 65535
FARTHEST_M, NEAREST_M = 10.0, 1e-3
# Depth camera to colour camera, metres: LIRIS' Kinect calibration, which everybody uses for this data set.
DEPTH_TO_COLOUR = np.array(
    [
        [9.9996518012567637e-01, 2.6765126468950343e-03, -7.9041012313000904e-03, -2.5558943178152542e-02],
        [-2.7409311281316700e-03, 9.9996302803027592e-01, -8.1504520778013286e-03, 1.0109636268061706e-04],
        [7.8819942130445332e-03, 8.1718328771890631e-03, 9.9993554558014031e-01, 2.0318321729487039e-03],
    ]
)


class SevenScenes:
    """view: "sparse" or "dense"."""

    card = CARD
    rules = ScoringRules(("points", "pairs"), icp_distance=0.1, normals=True)

    def __init__(self, root: Path, view: str = "sparse") -> None:
        lists = frame_list("7scenes")["views"]
        if view not in lists:
            raise ValueError(f"The views of 7scenes are {', '.join(lists)}, got {view!r}.")
        self.root = root
        self.name = f"7scenes-{view}"
        self.lists: dict[str, list[int]] = lists[view]

    def scenes(self) -> Sequence[str]:
        """<scene>/seq-XX."""
        return list(self.lists)

    def missing(self) -> list[str]:
        """Sequences that lack a frame."""
        lines = []
        for name, chosen in self.lists.items():
            stems = [self.root / name / f"frame-{i:06d}" for i in chosen]
            wanted = [Path(f"{stem}{end}") for stem in stems for end in (".color.png", ".pose.txt")]
            wanted += [self.depth_file(stem) for stem in stems]
            lines += absent_line(name, first_absent(wanted))
        return lines

    def depth_file(self, stem: Path) -> Path:
        """Depth in the colour camera, if it was prepared, else as released."""
        prepared = Path(f"{stem}.depth.proj.png")
        return prepared if prepared.exists() else Path(f"{stem}.depth.png")

    def load(self, scene: str) -> EvaluationScene:
        """Views at width 518."""
        chosen = self.lists[scene]
        intrinsics = np.array([[FOCAL, 0, CENTRE[0]], [0, FOCAL, CENTRE[1]], [0, 0, 1.0]])
        views, poses = [], []
        for i in chosen:
            stem = self.root / scene / f"frame-{i:06d}"
            file = self.depth_file(stem)
            depth = metres(read_depth(file))
            if not file.name.endswith(".proj.png"):
                depth = in_colour_camera(depth)
            views.append(point_view(read_picture(Path(f"{stem}.color.png")), depth, intrinsics))
            poses.append(read_matrix(Path(f"{stem}.pose.txt")))
        images, truth = point_scene(views, inverse(np.stack(poses))[:, :3])
        return EvaluationScene(scene, images, tuple(f"{i:06d}" for i in chosen), truth)


def read_depth(file: Path) -> np.ndarray:
    """A 16-bit depth picture (H, W), as it is."""
    from PIL import Image

    with Image.open(file, formats=["PNG"]) as opened:
        return np.asarray(opened).astype(np.int64)


def metres(raw: np.ndarray) -> np.ndarray:
    """Millimetres -> metres; unknown (65535), more than 10 m and less than 1 mm become 0."""
    depth = np.where(raw == INVALID, 0, raw) / 1000.0
    return np.where((depth > FARTHEST_M) | (depth < NEAREST_M), 0.0, depth)


def in_colour_camera(depth: np.ndarray) -> np.ndarray:
    """Depth of the Kinect's depth camera as the colour camera sees it, rounded to pixels and mm; the nearest wins."""
    height, width = depth.shape
    rows, columns = np.nonzero(depth)
    z = depth[rows, columns]
    points = np.stack([(columns - CENTRE[0]) / DEPTH_FOCAL * z, (rows - CENTRE[1]) / DEPTH_FOCAL * z, z], 1)
    moved = points @ DEPTH_TO_COLOUR[:, :3].T + DEPTH_TO_COLOUR[:, 3]
    u = np.round(FOCAL * moved[:, 0] / moved[:, 2] + CENTRE[0]).astype(np.int64)
    v = np.round(FOCAL * moved[:, 1] / moved[:, 2] + CENTRE[1]).astype(np.int64)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height) & (moved[:, 2] > 0)
    result = np.full((height, width), np.inf)
    np.minimum.at(result, (v[inside], u[inside]), np.round(moved[inside, 2] * 1000) / 1000)
    return np.where(np.isfinite(result), result, 0.0)
