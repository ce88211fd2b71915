"""The one value that travels from inference to filters, previews, exports and metrics. Cameras are OpenCV."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ..models import geometry
from .soundness import sound, sound_camera

if TYPE_CHECKING:
    from ..models.networks.prediction import Prediction
    from .images import ImageSet

PointSource = Literal["depth", "points"]
POINT_SOURCES: tuple[PointSource, ...] = ("depth", "points")


@dataclass
class Reconstruction:
    """Cameras and dense geometry of N frames, as numpy arrays at the model's resolution H x W.

    `confidence` means the same for every model: the sigmoid of the network's own number, from 0 up to 1.
    `intrinsics` are in model pixels; `pixel_center` is the coordinate that they give to the first pixel's centre: 0.5
    where the image's corner is the origin (pi3, COLMAP), 0.0 for VGGT, whose published unprojection counts from 0
    with the principal point at W/2. What we export says where the corner is and allows for the difference.
    `scale_offset` maps to the original image: x_original = sx * x_model + ox, both measured from the image's corner.
    Where the network gave numbers that are not finite, those pixels or whole views are left out (soundness.py).
    """

    images: np.ndarray  # (N, H, W, 3) uint8
    depth: np.ndarray  # (N, H, W) float32, along the camera's z axis, in scene units
    confidence: np.ndarray  # (N, H, W) float32 in 0..1
    world_to_camera: np.ndarray  # (N, 3, 4) float64
    intrinsics: np.ndarray  # (N, 3, 3) float64
    names: tuple[str, ...]
    original_sizes: np.ndarray  # (N, 2) int64: width, height
    scale_offset: np.ndarray  # (N, 4) float64: sx, sy, ox, oy
    world_points: np.ndarray | None = None  # (N, H, W, 3) float32, from a point head
    point_source: PointSource = "depth"
    masks: np.ndarray | None = None  # (N, H, W) bool, True = use
    tracks: dict[str, np.ndarray] | None = None  # positions (N, Q, 2) pixels, visibility (N, Q), confidence (N, Q)
    paths: tuple[Path | None, ...] = ()  # the images' files; empty or None where there is none
    video_frames: tuple[int | None, ...] = ()  # the frame's number where the file is a video; else None or empty
    model: str = ""
    pixel_center: float = 0.5
    timings: dict[str, float] = field(default_factory=dict)  # seconds per stage
    peak_memory_bytes: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)  # what JSON can hold
    density: np.ndarray | None = None  # (layers, heads) share of pairs computed; None = all
    notes: tuple[str, ...] = ()  # what a user must be told, a sentence each: images that were left out, and why
    left_out: tuple[int, ...] = ()  # places, among the images that the network got, of views that are not here

    def __post_init__(self) -> None:
        self.names = tuple(name.encode("utf-8", "replace").decode("utf-8") for name in self.names)  # no odd bytes
        self.paths = tuple(self.paths) or (None,) * len(self.names)
        self.video_frames = tuple(self.video_frames) or (None,) * len(self.names)
        self.notes, self.left_out = tuple(self.notes), tuple(self.left_out)
        frames, height, width = self.depth.shape
        expected = {
            "images": (frames, height, width, 3),
            "confidence": (frames, height, width),
            "world_to_camera": (frames, 3, 4),
            "intrinsics": (frames, 3, 3),
            "original_sizes": (frames, 2),
            "scale_offset": (frames, 4),
            "world_points": (frames, height, width, 3),
            "masks": (frames, height, width),
        }
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and value.shape != shape:
                raise ValueError(f"A reconstruction's {name} must be {shape} like its depth, got {value.shape}.")
        for name in ("names", "paths", "video_frames"):
            if len(getattr(self, name)) != frames:
                raise ValueError(f"A reconstruction of {frames} frames needs {frames} {name}.")
        self._check_source(self.point_source)

    def __len__(self) -> int:
        return len(self.depth)

    def __repr__(self) -> str:
        height, width = self.image_size
        made = f" by {self.model}" if self.model else ""
        return f"Reconstruction({len(self)} views of {width} x {height} px{made}, points from {self.point_source})"

    def _repr_html_(self) -> str:
        from .notebook import scene_html

        return scene_html(self)

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the model's images."""
        return self.depth.shape[1], self.depth.shape[2]

    @property
    def camera_to_world(self) -> np.ndarray:
        """Poses (N, 4, 4) of the cameras."""
        return geometry.invert_pose(torch.from_numpy(self.world_to_camera)).numpy()

    @property
    def camera_positions(self) -> np.ndarray:
        """Centres (N, 3) of the cameras in the world."""
        return self.camera_to_world[:, :3, 3]

    def points(self, source: PointSource | None = None) -> np.ndarray:
        """World points (N, H, W, 3) float32 of every pixel; None takes `point_source`."""
        return np.stack([self.frame_points(index, source) for index in range(len(self))])

    def frame_points(self, frame: int, source: PointSource | None = None) -> np.ndarray:
        """World points (H, W, 3) float32 of one frame, unprojected from its depth or as the point head gave them."""
        if self._check_source(source or self.point_source) == "points":
            return self.world_points[frame]
        points = geometry.unproject_depth(
            torch.from_numpy(self.depth[frame]).double(),
            torch.from_numpy(self.world_to_camera[frame]),
            torch.from_numpy(self.intrinsics[frame]),
            self.pixel_center,
        )
        return points.float().numpy()

    def usable(self, frame: int, use_masks: bool = True) -> np.ndarray:
        """True (H, W) where a pixel has a positive, finite depth, a finite confidence, and its mask says so."""
        depth = self.depth[frame]
        usable = np.isfinite(depth) & (depth > 0) & np.isfinite(self.confidence[frame])
        usable &= sound_camera(self.world_to_camera[frame], self.intrinsics[frame])
        return usable & self.masks[frame] if use_masks and self.masks is not None else usable

    def confidence_rank(self) -> np.ndarray:
        """Confidence (N, H, W) float32 as the share of the scene's usable pixels that are trusted less, 0..1."""
        usable = np.stack([self.usable(index) for index in range(len(self))])
        values = np.sort(self.confidence[usable])
        if values.size == 0:
            return np.zeros_like(self.confidence)
        places = np.unique(np.linspace(0, values.size - 1, 8193).round().astype(np.int64))
        levels, first, count = np.unique(values[places], return_index=True, return_counts=True)
        middle = (places[first] + places[first + count - 1]) / 2  # equal values share one rank
        ranks = (middle / max(values.size - 1, 1)).astype(np.float32)
        return np.stack([np.interp(frame, levels, ranks).astype(np.float32) for frame in self.confidence])

    def corner_intrinsics(self) -> np.ndarray:
        """Intrinsics (N, 3, 3) float64 in model pixels, measured from the image's corner: its first centre is 0.5."""
        result = self.intrinsics.copy()
        result[:, :2, 2] += 0.5 - self.pixel_center
        return result

    def original_intrinsics(self) -> np.ndarray:
        """Intrinsics (N, 3, 3) float64 in pixels of the original images, measured from the image's corner."""
        result = self.corner_intrinsics()
        result[:, :2] *= self.scale_offset[:, :2, None]
        result[:, :2, 2] += self.scale_offset[:, 2:]
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain arrays, numbers, strings and lists: what another process can read without this class."""
        result = {item.name: getattr(self, item.name) for item in fields(self)}
        result |= {name: list(result[name]) for name in ("names", "video_frames", "notes", "left_out")}
        result["paths"] = [None if path is None else str(path) for path in self.paths]
        return result

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Reconstruction:
        """The reconstruction that `to_dict` described, without what is not finite."""
        unknown = set(values) - {item.name for item in fields(cls)}
        if unknown:
            raise ValueError(f"Not fields of a reconstruction: {', '.join(sorted(unknown))}; remove them.")
        paths = tuple(None if path is None else Path(path) for path in values.get("paths", ()))
        return sound(cls(**{**values, "paths": paths}))

    @classmethod
    def from_prediction(
        cls, prediction: Prediction, image_set: ImageSet, *, point_source: PointSource | None = None, **details: Any
    ) -> Reconstruction:
        """The reconstruction of a network's prediction for these images; `details` are further fields.

        point_source: None takes the one that the network is best at.
        """
        points, trust = prediction.points, prediction.confidence
        if point_source == "points" and prediction.points_confidence is not None:
            trust = prediction.points_confidence
        tracks = prediction.tracks
        result = cls(
            depth=prediction.depth.numpy(),
            confidence=trust.numpy(),
            world_to_camera=prediction.world_to_camera.numpy(),
            intrinsics=prediction.intrinsics.numpy(),
            world_points=None if points is None else points.numpy(),
            point_source=point_source or prediction.point_source,
            pixel_center=prediction.pixel_center,
            tracks=None if tracks is None else {name: value.numpy() for name, value in tracks.items()},
            density=None if prediction.density is None else prediction.density.numpy(),
            **_of_images(image_set),
            **details,
        )
        return sound(result)

    def _check_source(self, source: str) -> str:
        if source not in POINT_SOURCES:
            raise ValueError(f"The source of points must be one of {', '.join(POINT_SOURCES)}, got {source!r}.")
        if source == "points" and self.world_points is None:
            raise ValueError("This reconstruction has no points of a point head; use the source 'depth'.")
        return source


def _of_images(image_set: ImageSet) -> dict[str, Any]:
    return {
        name: getattr(image_set, name)
        for name in ("images", "names", "original_sizes", "scale_offset", "masks", "paths", "video_frames", "notes")
    }
