"""In which images, and at which pixels, the points of a cloud are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...models.progress import Progress
from ..pointcloud import PointCloud
from ..reconstruction import Reconstruction

CHUNK = 500_000  # points projected at a time
DEPTH_AGREES = 0.02  # relative difference up to which another frame's depth confirms a point
MAX_ERROR_PX = 2.0  # a point that misses its own pixel by more, in original pixels, gets no observation there


@dataclass(frozen=True)
class Observations:
    """The same observations twice: by frame (lists over N frames) and by point (M points, one after another)."""

    points: list[np.ndarray]  # (K,) int64 index into the cloud, per frame
    pixels: list[np.ndarray]  # (K, 2) float64 in the original image, from its corner, per frame
    errors: np.ndarray  # (M,) float64: mean reprojection error in original pixels; -1 where there is no observation
    lengths: np.ndarray  # (M,) int64
    starts: np.ndarray  # (M + 1,) int64 into the two below
    track_frames: np.ndarray  # (T,) int64
    track_places: np.ndarray  # (T,) int64: place in that frame's list


def observe(
    reconstruction: Reconstruction,
    cloud: PointCloud,
    scale_offset: np.ndarray,
    sizes: np.ndarray,
    most: int,
    progress: Progress | None = None,
) -> Observations:
    """Each point's own pixel, and further frames whose depth map agrees with the point, up to `most` frames a point.

    In another frame the observation is where the point projects. `scale_offset` and `sizes` say which image the pixels
    are meant in.
    """
    own, error = _own_pixels(reconstruction, cloud, scale_offset, sizes)
    counts = np.zeros(len(cloud), dtype=np.int64)
    has_own = (error <= MAX_ERROR_PX) & (most > 0)
    counts[has_own] = 1
    by_frame = [np.flatnonzero(has_own & (cloud.frame == frame)) for frame in range(len(reconstruction))]
    pixels = [own[index] for index in by_frame]
    for frame in range(len(reconstruction) if most > 1 else 0):
        others = np.flatnonzero((cloud.frame != frame) & (counts < most))
        for start in range(0, len(others), CHUNK):
            part = others[start : start + CHUNK]
            seen, place = _seen_elsewhere(reconstruction, cloud.points[part], frame, scale_offset[frame], sizes[frame])
            by_frame[frame] = np.concatenate((by_frame[frame], part[seen]))
            pixels[frame] = np.concatenate((pixels[frame], place))
            counts[part[seen]] += 1
        if progress is not None:
            progress("tracks", frame + 1, len(reconstruction))
    point = np.concatenate(by_frame)
    frames = np.repeat(np.arange(len(by_frame)), [len(index) for index in by_frame])
    places = np.concatenate([np.arange(len(index)) for index in by_frame])
    order = np.argsort(point, kind="stable")
    lengths = np.bincount(point, minlength=len(cloud))
    errors = np.where(lengths > 0, np.where(has_own, error, 0) / np.maximum(lengths, 1), -1.0)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    return Observations(by_frame, pixels, errors, lengths, starts, frames[order], places[order])


def _own_pixels(
    reconstruction: Reconstruction, cloud: PointCloud, scale_offset: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centres (M, 2) of the pixels that the points came from, and how far off the points project (M,); inf: nowhere."""
    own = np.zeros((len(cloud), 2))
    error = np.full(len(cloud), np.inf)
    for frame in range(len(reconstruction)):
        index = np.flatnonzero(cloud.frame == frame)
        scale, offset = scale_offset[frame, :2], scale_offset[frame, 2:]
        own[index] = (cloud.pixel[index] + 0.5) * scale + offset
        projected, depth = _project(reconstruction, cloud.points[index], frame)
        distance = np.linalg.norm(projected * scale + offset - own[index], axis=1)
        seen = (depth > 0) & (own[index] >= 0).all(axis=1) & (own[index] < sizes[frame]).all(axis=1)
        error[index] = np.where(seen, distance, np.inf)
    return own, error


def _seen_elsewhere(
    reconstruction: Reconstruction, points: np.ndarray, frame: int, scale_offset: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which points (M,) the frame's depth map confirms, and where those are in the original image (K, 2)."""
    height, width = reconstruction.image_size
    pixel, depth = _project(reconstruction, points, frame)
    inside = (depth > 0) & (pixel >= 0).all(axis=1) & (pixel < (width, height)).all(axis=1)
    original = pixel * scale_offset[:2] + scale_offset[2:]
    inside &= (original >= 0).all(axis=1) & (original < size).all(axis=1)
    index = np.flatnonzero(inside)
    x, y = pixel[index].astype(np.int64).T
    known = reconstruction.depth[frame][y, x]
    agrees = np.abs(known - depth[index]) <= DEPTH_AGREES * depth[index]
    agrees &= reconstruction.usable(frame)[y, x]
    return index[agrees], original[index[agrees]]


def _project(reconstruction: Reconstruction, points: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Model pixels (M, 2), measured from the image's corner, and depths (M,)."""
    pose, k = reconstruction.world_to_camera[frame], reconstruction.intrinsics[frame]
    camera = points.astype(np.float64) @ pose[:, :3].T + pose[:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        pixel = camera[:, :2] / camera[:, 2:] * k[[0, 1], [0, 1]] + k[:2, 2] + 0.5 - reconstruction.pixel_center
    return np.nan_to_num(pixel, nan=-1.0, posinf=-1.0, neginf=-1.0), camera[:, 2]
