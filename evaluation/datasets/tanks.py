"""Tanks & Temples, 21 scenes, pose of pairs at 5 degrees and Procrustes ATE against COLMAP's cameras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..sampling import evenly_spaced
from ..scene import Card, EvaluationScene, ScoringRules, Truth
from .files import absent_line, first_absent, frame_list, pose_images

CARD = Card(
    name="tanks",
    title="Tanks & Temples",
    source="images from https://www.tanksandtemples.org/download in ROOT/<split>/<Scene>/*.jpg; COLMAP models (ACE0's "
    "https://storage.googleapis.com/niantic-lon-static/research/acezero/colmap_raw.tar.gz) in "
    "ROOT/colmap_raw/<split>__<Scene>/0",
    licence="CC BY 4.0 (images); COLMAP models as their authors say",
    frames="evenly spaced over the registered images in the order of names: round(linspace(0, n - 1, k)); scenes with "
    "fewer images use all (frames/tanks.json). The paper does not say its rule; numbers may differ",
)


class TanksAndTemples:
    """`views` frames a scene, or all registered ones (None); the value of a benchmark is the mean of scenes."""

    card = CARD
    rules = ScoringRules(("pairs", "procrustes"), pooling="scenes", thresholds=(3, 5, 15, 30))

    def __init__(self, root: Path, views: int | None) -> None:
        self.root = root
        self.views = views
        self.name = f"tanks-{views or 'full'}"

    def scenes(self) -> Sequence[str]:
        """<split>/<Scene>."""
        return frame_list("tanks")["scenes"]

    def missing(self) -> list[str]:
        """Scenes without images or without a COLMAP model."""
        return [
            line
            for name in self.scenes()
            for line in absent_line(name, first_absent([self.root / name, self.model(name) / "images.bin"]))
        ]

    def model(self, scene: str) -> Path:
        return self.root / "colmap_raw" / scene.replace("/", "__") / "0"

    def load(self, scene: str) -> EvaluationScene:
        """Registered images whose file is there, by name."""
        cameras = read_colmap(self.model(scene))
        files = {path.name: path for path in (self.root / scene).glob("*") if path.suffix.lower() in (".jpg", ".png")}
        names = sorted(set(cameras) & set(files))
        if len(names) < 2:
            raise FileNotFoundError(f"{scene} has {len(names)} images that COLMAP knows in {self.root / scene}.")
        chosen = names if self.views is None else [names[i] for i in evenly_spaced(len(names), self.views)]
        images = pose_images([files[name] for name in chosen])
        return EvaluationScene(scene, images, tuple(chosen), Truth(np.stack([cameras[name] for name in chosen])))


def read_colmap(folder: Path) -> dict[str, np.ndarray]:
    """Base name of each registered image -> world_to_camera (3, 4), of a COLMAP model."""
    try:
        import pycolmap
    except ImportError as error:
        raise ImportError("Tanks & Temples needs pycolmap: pip install pycolmap") from error
    if not (folder / "images.bin").exists():
        raise FileNotFoundError(f"{folder / 'images.bin'} is not there; it comes with the COLMAP models.")
    poses = {}
    for image in pycolmap.Reconstruction(str(folder)).images.values():
        pose = image.cam_from_world
        pose = pose() if callable(pose) else pose  # a method since pycolmap 3.12
        poses[Path(image.name).name] = np.asarray(pose.matrix(), np.float64)
    return poses
