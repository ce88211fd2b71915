"""From a reconstruction to a coloured point cloud: which pixels become points, and how to keep only so many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..models.geometry import depth_edges
from ..models.progress import Progress
from .backdrop import backdrop, sky
from .clip_box import ClipBox, in_clip_box
from .reconstruction import PointSource, Reconstruction

BACKDROPS = ("none", "black", "white")
REDUCTIONS = ("voxel", "random")
SAMPLE = 200_000  # points from which robust extents are estimated
MOST_CELLS = 2.0**20  # voxels along the longest side: three numbers of 21 bits fit into one of 64
MANY_POINTS = 2_000_000  # up to which, or four times those asked for, all pixels are considered when thinning


@dataclass
class PointCloud:
    """M points in the world frame of their reconstruction (OpenCV axes), each with the pixel that it came from."""

    points: np.ndarray  # (M, 3) float32
    colors: np.ndarray  # (M, 3) uint8, sRGB, exactly the pixel's
    confidence: np.ndarray  # (M,) float32 in 0..1
    frame: np.ndarray  # (M,) int32
    pixel: np.ndarray  # (M, 2) int32: x, y in the model's image

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        return f"PointCloud({len(self):,} points of {len(np.unique(self.frame))} views)"

    def _repr_html_(self) -> str:
        from .notebook import cloud_html

        return cloud_html(self)

    def take(self, index: np.ndarray | slice) -> PointCloud:
        """The points of an index, a boolean mask or a slice."""
        return PointCloud(
            self.points[index], self.colors[index], self.confidence[index], self.frame[index], self.pixel[index]
        )


def point_cloud(
    reconstruction: Reconstruction,
    *,
    confidence_percentile: float = 10.0,
    confidence_threshold: float | None = None,
    edge_filter: float | None = 0.03,
    use_masks: bool = True,
    frames: Sequence[int] | None = None,
    max_points: int | None = None,
    reduce: Literal["voxel", "random"] = "voxel",
    outlier_filter: bool = True,
    source: PointSource | None = None,
    seed: int = 0,
    clip_box: ClipBox | None = None,
    sky_filter: bool = False,
    backdrop_filter: Literal["none", "black", "white"] = "none",
    progress: Progress | None = None,
) -> PointCloud:
    """The pixels of a reconstruction that deserve to be points, with their exact colours.

    confidence_percentile: leaves out this share (0..100) of the chosen frames' usable pixels, the least trusted ones,
        and with them all of confidence 0.
    confidence_threshold: leaves out pixels with less confidence (0..1); given, it replaces the percentile.
    edge_filter: leaves out pixels where depth jumps by more than this share of itself; None or 0 keeps them.
    max_points: at most so many; "voxel" thins evenly in space and keeps the most trusted point of each voxel.
    clip_box: leaves out points outside.
    sky_filter, backdrop_filter: leave out sky, and plain black or white that reaches the border (scene/backdrop.py).
    outlier_filter: leaves out points much further from the middle of the scene than the bulk of them.
    Memory is bounded by the points kept, not by the pixels: frames are handled one by one.
    """
    frames = check_frames(frames, len(reconstruction))
    _check_options(confidence_percentile, confidence_threshold, max_points, reduce)
    usable = [reconstruction.usable(frame, use_masks) for frame in frames]
    for place, frame in enumerate(frames):  # before shares are taken, so that they are shares of what is wanted
        usable[place] &= ~unwanted(reconstruction, frame, sky_filter, backdrop_filter)
    least = _least_confidence(reconstruction, frames, usable, confidence_percentile, confidence_threshold)
    for place, frame in enumerate(frames):
        usable[place] &= reconstruction.confidence[frame] >= least
        if edge_filter:
            usable[place] &= ~depth_steps(reconstruction.depth[frame], edge_filter)
        if clip_box:
            usable[place] &= in_clip_box(reconstruction.frame_points(frame, source), clip_box)
        _tell(progress, "filtering", place + 1, len(frames))
    random = np.random.default_rng(seed)
    if max_points is not None:
        _thin_masks(usable, max(4 * max_points, MANY_POINTS), random)
    cloud = _gather(reconstruction, frames, usable, source, progress)
    if outlier_filter and len(cloud):
        cloud = cloud.take(~far_outliers(cloud.points, seed))
    return cloud if max_points is None else thin(cloud, max_points, reduce, random)


def unwanted(reconstruction: Reconstruction, frame: int, sky_filter: bool, backdrop_filter: str) -> np.ndarray:
    """True (H, W) for pixels of a frame that are sky or backdrop, as far as these are to be left out."""
    if backdrop_filter not in BACKDROPS:
        raise ValueError(f"The backdrop filter must be one of {', '.join(BACKDROPS)}, got {backdrop_filter!r}.")
    image = reconstruction.images[frame]
    found = np.zeros(image.shape[:2], dtype=bool)
    if backdrop_filter != "none":
        found |= backdrop(image, backdrop_filter)
    if sky_filter:
        found |= sky(image, reconstruction.depth[frame])
    return found


def thin(
    cloud: PointCloud,
    max_points: int,
    reduce: Literal["voxel", "random"] = "voxel",
    random: np.random.Generator | None = None,
) -> PointCloud:
    """At most `max_points` of the points: "voxel" evenly in space, the most trusted of each voxel, or "random"."""
    if len(cloud) <= max_points:
        return cloud
    random = random or np.random.default_rng(0)
    if reduce == "voxel":
        return cloud.take(_voxel_choice(cloud.points, cloud.confidence, max_points, random))
    return cloud.take(np.sort(random.choice(len(cloud), max_points, replace=False)))


def check_frames(frames: Sequence[int] | None, count: int) -> list[int]:
    """The chosen ones of `count` frames in order, all for None; ValueError for frames that are not there."""
    chosen = list(range(count)) if frames is None else [int(frame) for frame in frames]
    wrong = [frame for frame in chosen if not 0 <= frame < count]
    if wrong or not chosen:
        raise ValueError(f"Frames must be some of 0 to {count - 1}, got {wrong or 'none'}; leave them out for all.")
    return sorted(set(chosen))


def depth_steps(depth: np.ndarray, relative: float, window: int = 3) -> np.ndarray:
    """True (H, W) where depth jumps by more than `relative` of itself, sparing surfaces seen at a slant.

    On a plane inverse depth changes evenly from pixel to pixel, so a moderate slope without a bend is no edge.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(depth))
    jump = depth_edges(tensor, relative, window).numpy()
    steep = depth_edges(tensor, 3 * relative, window).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.pad(1 / depth, 1, mode="edge")
        bend = np.zeros(depth.shape, dtype=bool)
        for low, high in ((inverse[1:-1, :-2], inverse[1:-1, 2:]), (inverse[:-2, 1:-1], inverse[2:, 1:-1])):
            bend |= ~(np.abs(low * depth + high * depth - 2) <= relative / 3)
    # The outermost pixels have no neighbour to tell a slope from a bend.
    bend[0], bend[-1], bend[:, 0], bend[:, -1] = False, False, False, False
    return steep | (jump & bend)


def far_outliers(points: np.ndarray, seed: int = 0, times: float = 4.0) -> np.ndarray:
    """True (M,) for points further from the median point than `times` the distance that holds 80 % of them."""
    sample = points
    if len(points) > SAMPLE:
        sample = points[np.random.default_rng(seed).choice(len(points), SAMPLE, replace=False)]
    center = np.median(sample, axis=0)
    reach = np.quantile(np.linalg.norm(sample - center, axis=1), 0.8)
    return np.linalg.norm(points - center, axis=1) > times * reach


def _check_options(percentile: float, threshold: float | None, max_points: int | None, reduce: str) -> None:
    if not 0 <= percentile <= 100:
        raise ValueError(f"The confidence percentile must be from 0 to 100, got {percentile}; 0 keeps all.")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"The confidence threshold must be from 0 to 1, got {threshold}; 0 keeps all.")
    if max_points is not None and max_points < 1:
        raise ValueError(f"The most points to keep must be 1 or more, got {max_points}; leave it out for all.")
    if reduce not in REDUCTIONS:
        raise ValueError(f"Points are reduced by one of {', '.join(REDUCTIONS)}, got {reduce!r}.")


def _least_confidence(
    reconstruction: Reconstruction,
    frames: list[int],
    usable: list[np.ndarray],
    percentile: float,
    threshold: float | None,
) -> float:
    if threshold is not None:
        return threshold
    if percentile == 0:
        return -np.inf
    values = np.concatenate(
        [reconstruction.confidence[frame][mask] for frame, mask in zip(frames, usable, strict=True)]
    )
    if not values.size:
        return 0.0
    least = np.percentile(values, percentile)
    # hopeless pixels share the confidence 0, often more of them than were to be left out; they go together
    return float(np.nextafter(np.float32(0), np.float32(1))) if least <= 0 < values.max() else float(least)


def _thin_masks(masks: list[np.ndarray], limit: int, random: np.random.Generator) -> None:
    """Unsets pixels at random until the masks hold at most `limit`, so that no list of all pixels is ever made."""
    counts = np.array([np.count_nonzero(mask) for mask in masks])
    if counts.sum() <= limit:
        return
    shares = random.multivariate_hypergeometric(counts, limit, method="marginals")
    for mask, share in zip(masks, shares, strict=True):
        places = np.flatnonzero(mask)
        mask.reshape(-1)[random.permutation(places)[share:]] = False


def _gather(
    reconstruction: Reconstruction,
    frames: list[int],
    masks: list[np.ndarray],
    source: PointSource | None,
    progress: Progress | None,
) -> PointCloud:
    parts = []
    for place, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        points = reconstruction.frame_points(frame, source)[mask]
        y, x = np.nonzero(mask)
        finite = np.isfinite(points).all(axis=1)
        parts.append(
            PointCloud(
                points[finite],
                reconstruction.images[frame][mask][finite],
                reconstruction.confidence[frame][mask][finite],
                np.full(np.count_nonzero(finite), frame, dtype=np.int32),
                np.stack((x, y), axis=1).astype(np.int32)[finite],
            )
        )
        _tell(progress, "points", place + 1, len(frames))
    names = ("points", "colors", "confidence", "frame", "pixel")
    return PointCloud(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _voxel_choice(
    points: np.ndarray, confidence: np.ndarray, max_points: int, random: np.random.Generator
) -> np.ndarray:
    """Index of at most `max_points` points: the most trusted one of each voxel of a fitting size."""
    places = points - points.min(axis=0)  # (M, 3)
    places /= max(float(places.max()), 1e-30)
    cells = np.sqrt(max_points)  # along the longest side; surfaces fill about cells^2 voxels
    too_few, too_many = 0.0, np.inf
    for _ in range(10):
        count = _distinct(_voxel_keys(places, cells))
        if 0.97 * max_points <= count <= max_points:
            break
        if count > max_points:
            too_many = cells
        else:
            too_few = cells
        cells = cells * np.sqrt(0.985 * max_points / count)
        if not too_few < cells < too_many:
            cells = (too_few + min(too_many, MOST_CELLS)) / 2
        if cells >= MOST_CELLS:
            break
    else:
        cells = too_many if np.isfinite(too_many) else cells  # no size fits; too many can still be thinned
    order = np.argsort(-confidence, kind="stable")
    _, first = np.unique(_voxel_keys(places, min(cells, MOST_CELLS))[order], return_index=True)
    chosen = order[first]
    if len(chosen) > max_points:
        chosen = random.choice(chosen, max_points, replace=False)
    return np.sort(chosen)


def _voxel_keys(places: np.ndarray, cells: float) -> np.ndarray:
    """One number for each voxel, of points (M, 3) in 0..1 and `cells` voxels along the longest side."""
    cell = (places * np.float32(cells)).astype(np.int32)  # (M, 3), at most MOST_CELLS
    return (cell[:, 0].astype(np.int64) << 42) | (cell[:, 1].astype(np.int64) << 21) | cell[:, 2]


def _distinct(keys: np.ndarray) -> float:
    """About how many different keys there are, by how much of a hash table they fill; far quicker than sorting."""
    slots = 1 << 24
    filled = np.zeros(slots, dtype=bool)
    mixed = keys.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    filled[(mixed >> np.uint64(40)).astype(np.int64)] = True
    return float(-slots * np.log1p(-np.count_nonzero(filled) / (slots + 1)))


def _tell(progress: Progress | None, stage: str, done: int, total: int) -> None:
    if progress is not None:
        progress(stage, done, total)
