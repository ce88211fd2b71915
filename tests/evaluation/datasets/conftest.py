"""Tiny scenes with known truth: cameras that look at the plane z = 3 of the world."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from manyview.evaluation.scene import EvaluationScene, Prediction, ScoringRules
from manyview.evaluation.scoring import score
from manyview.evaluation.trajectory import inverse

PLANE = 3.0
SIZE = (518, 392)  # width, height: the size of the point-map benchmarks, so nothing is resized


@dataclass
class World:
    """Cameras and what they see."""

    unit: float = 1.0  # lengths of a metre

    def cameras(self, count: int, seed: int = 0) -> np.ndarray:
        """camera_to_world (N, 4, 4) near the origin, turned a little."""
        random = np.random.default_rng(seed)
        poses = np.tile(np.eye(4), (count, 1, 1))
        poses[:, :3, :3] = Rotation.from_rotvec(0.1 * random.normal(size=(count, 3))).as_matrix()
        poses[:, :3, 3] = 0.3 * self.unit * random.normal(size=(count, 3))
        return poses

    def depth(self, pose: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
        """Depth (H, W) of the plane, pixel centres at integers."""
        u, v = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
        rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(intrinsics).T
        return (PLANE * self.unit - pose[2, 3]) / (rays @ pose[2, :3])

    def picture(self, index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
        """A picture whose mean tells its number."""
        return np.full((size[1], size[0], 3), 20 + 10 * index, np.uint8)

    def on_plane(self, scene: EvaluationScene, tolerance: float) -> None:
        """All true points lie on the plane."""
        points = scene.truth.points[scene.truth.valid]
        assert len(points) > 1000
        np.testing.assert_allclose(points[:, 2], PLANE * self.unit, atol=tolerance)


def save_picture(path: Path, picture: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def matrix_text(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(repr(float(x)) for x in row) for row in matrix) + "\n"


def perfect(scene: EvaluationScene, scale: float = 0.4) -> Prediction:
    """The truth in another world frame and scale, as a model could find it."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()
    turn[:3, 3] = [5, 6, 7]
    poses = turn @ inverse(scene.truth.world_to_camera)
    poses[:, :3, 3] *= scale
    points = None
    if scene.truth.points is not None:
        points = scale * (scene.truth.points @ turn[:3, :3].T + turn[:3, 3])
    return Prediction(inverse(poses)[:, :3], points=points)


def scored(scene: EvaluationScene, rules: ScoringRules) -> dict[str, float]:
    """The numbers of a perfect prediction; few points, so that it is quick."""
    return score(scene, perfect(scene), replace(rules, point_limit=1500)).numbers


for function in (save_picture, write_text, matrix_text, perfect, scored):
    setattr(World, function.__name__, staticmethod(function))  # tests cannot import from here


@pytest.fixture
def world() -> World:
    return World()
