"""What a data set hands to a method (images) and to the metrics (truth)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from torch import Tensor

from .dtu_official import DtuScan


@dataclass(frozen=True)
class Truth:
    """What is known of a scene; None where a data set does not say. OpenCV axes, lengths in the data set's unit."""

    world_to_camera: np.ndarray | None = None  # (N, 3, 4) float64
    points: np.ndarray | None = None  # (N, H, W, 3) float64 in the world, one a pixel
    depth: np.ndarray | None = None  # (N, H, W)
    valid: np.ndarray | None = None  # (N, H, W) bool: pixels of depth and points that count
    cloud: np.ndarray | None = None  # (M, 3), a scan without pixels
    dtu: DtuScan | None = None  # what DTU's official distance needs
    focal: np.ndarray | None = None  # (N,) horizontal, pixels of the images; NaN where a camera has none


@dataclass(frozen=True)
class EvaluationScene:
    """The frames of one scene in the order in which a method gets them."""

    name: str
    images: Tensor  # (N, 3, H, W) float32 in [0, 1]; H and W are multiples of 14
    frames: tuple[str, ...]  # what the frames are called in the data set
    truth: Truth
    group: str = ""  # the category, where a data set has them

    def input_sha256(self) -> str:
        """The same exactly if shape and every value of the images are the same."""
        digest = hashlib.sha256(str(tuple(self.images.shape)).encode())
        digest.update(self.images.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ScoringRules:
    """How the scenes of a benchmark are scored; see docs/evaluation.md for every definition.

    metrics: any of "pairs", "trajectory", "procrustes", "depth", "points", "two_view", "scannet50",
        "dtu_official", "focal".
    pooling: "pairs" pools the pairs of all scenes, "scenes" averages scenes, "groups" pools pairs inside each category
        and averages the categories.
    """

    metrics: tuple[str, ...]
    pooling: str = "pairs"
    thresholds: tuple[int, ...] = (3, 5, 15, 30)
    icp_distance: float | None = None  # in the data set's unit; None: no ICP after the similarity
    normals: bool = False
    point_limit: int | None = None  # corresponding pixels drawn at random, with a fixed seed; None: all
    f_threshold: float | None = None
    relative_form: str = "relative"  # of poses, see metrics.pair_errors


@dataclass(frozen=True)
class Card:
    """What a user has to know about a data set."""

    name: str  # on the command line
    title: str
    source: str  # where to get it, and how it must lie on disk
    licence: str
    frames: str  # which frames, by which rule or list


class Benchmark(Protocol):
    """A data set with a protocol: one class each in evaluation/datasets/."""

    card: Card
    name: str  # with the variant, such as "synthetic-8" or "7scenes-sparse"
    rules: ScoringRules

    def scenes(self) -> Sequence[str]:
        """Names of all scenes, in order, whether or not they are on this disk."""

    def load(self, scene: str) -> EvaluationScene:
        """Images and truth; FileNotFoundError or ValueError with one sentence if files are not as they should be."""

    def missing(self) -> list[str]:
        """One line for each thing that is not there; empty if the benchmark can run."""


@dataclass
class Prediction:
    """What a method found for N frames of H x W; OpenCV axes, any world frame and scale."""

    world_to_camera: np.ndarray | None = None  # (N, 3, 4) float64
    intrinsics: np.ndarray | None = None  # (N, 3, 3) float64, pixels
    depth: np.ndarray | None = None  # (N, H, W) float32
    points: np.ndarray | None = None  # (N, H, W, 3) float32 in the world; None: they come from depth and cameras
    confidence: np.ndarray | None = None  # (N, H, W) float32, as the method gives it
    pixel_center: float = 0.0  # coordinate that the intrinsics give to the first pixel's centre
    seconds: float = float("nan")  # the forward pass alone, device synchronised
    peak_memory_bytes: int | None = None  # on a GPU
    density: np.ndarray | None = None  # (layers, heads), share of query-key pairs computed; None: all
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def mean_density(self) -> float:
        """Share of the pairs of all global layers that was computed, 0..1."""
        return 1.0 if self.density is None else float(self.density.mean())

    def world_points(self) -> np.ndarray:
        """(N, H, W, 3) float64, from the method itself or from its depth and cameras."""
        if self.points is not None:
            return self.points.astype(np.float64)
        if self.depth is None or self.world_to_camera is None or self.intrinsics is None:
            raise ValueError("The method gives neither points nor depth with cameras, so they cannot be scored.")
        return unproject(self.depth, self.world_to_camera, self.intrinsics, self.pixel_center)


def unproject(
    depth: np.ndarray, world_to_camera: np.ndarray, intrinsics: np.ndarray, pixel_center: float = 0.0
) -> np.ndarray:
    """World points (N, H, W, 3) float64 of depth maps (N, H, W)."""
    import torch

    from ..models.geometry import unproject_depth

    arrays = (torch.from_numpy(np.asarray(x, np.float64)) for x in (depth, world_to_camera, intrinsics))
    return unproject_depth(*arrays, pixel_center).numpy()
