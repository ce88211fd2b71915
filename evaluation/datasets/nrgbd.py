"""Neural RGB-D synthetic scenes, point maps (Pi3's protocol)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..scene import Card, EvaluationScene, ScoringRules
from ..trajectory import inverse
from .files import absent_line, first_absent, frame_list, point_scene, point_view, read_picture
from .seven_scenes import metres, read_depth

CARD = Card(
    name="nrgbd",
    title="Neural RGB-D",
    source="https://github.com/dazinovic/neural-rgbd-surface-reconstruction, synthetic data: "
    "ROOT/<scene>/images/img0.png ..., depth/depth0.png ... (the clean depth, not depth_filtered or "
    "depth_with_noise) and poses.txt",
    licence="as its authors say; the scenes are Blender models under several CC licences",
    frames="9 scenes, stride 500 (sparse) or 100 (dense) (frames/nrgbd.json)",
)
FOCAL = 554.2562584220408
INTRINSICS = np.array([[FOCAL, 0, 320.0], [0, FOCAL, 240.0], [0, 0, 1.0]])


class NeuralRgbd:
    """view: "sparse" or "dense". File numbers have no leading zeros, so names are made, never sorted."""

    card = CARD
    rules = ScoringRules(("points", "pairs"), icp_distance=0.1, normals=True)

    def __init__(self, root: Path, view: str = "sparse") -> None:
        lists = frame_list("nrgbd")["views"]
        if view not in lists:
            raise ValueError(f"The views of nrgbd are {', '.join(lists)}, got {view!r}.")
        self.root = root
        self.name = f"nrgbd-{view}"
        self.lists: dict[str, list[int]] = lists[view]

    def scenes(self) -> Sequence[str]:
        """Scene names."""
        return list(self.lists)

    def missing(self) -> list[str]:
        """Scenes that lack a frame or the poses."""
        lines = []
        for name, chosen in self.lists.items():
            folder = self.root / name
            wanted = [folder / "poses.txt"]
            wanted += [folder / part.format(i) for i in chosen for part in ("images/img{}.png", "depth/depth{}.png")]
            lines += absent_line(name, first_absent(wanted))
        return lines

    def load(self, scene: str) -> EvaluationScene:
        """Views at width 518."""
        folder, chosen = self.root / scene, self.lists[scene]
        poses = read_poses(folder / "poses.txt")
        lost = [i for i in chosen if i >= len(poses) or not np.isfinite(poses[i]).all()]
        if lost:
            raise ValueError(f"{scene} has no valid pose for frame {lost[0]}.")
        views = [
            point_view(
                read_picture(folder / "images" / f"img{i}.png"),
                metres(read_depth(folder / "depth" / f"depth{i}.png")),
                INTRINSICS,
            )
            for i in chosen
        ]
        images, truth = point_scene(views, inverse(poses[chosen])[:, :3])
        return EvaluationScene(scene, images, tuple(map(str, chosen)), truth)


def read_poses(file: Path) -> np.ndarray:
    """camera_to_world (N, 4, 4) with OpenCV axes; the file has OpenGL axes and NaN where a pose is unknown."""
    numbers = np.array(file.read_text(encoding="utf-8").split(), np.float64)
    if numbers.size % 16:
        raise ValueError(f"{file} must hold 16 numbers a frame, it has {numbers.size} in all.")
    return opencv_axes(numbers.reshape(-1, 4, 4))


def opencv_axes(camera_to_world: np.ndarray) -> np.ndarray:
    """Poses (N, 4, 4) of OpenGL cameras (y up, z backward) as OpenCV cameras: columns 1 and 2 change sign."""
    turned = camera_to_world.copy()
    turned[:, :, 1:3] *= -1
    return turned
