"""A picture of a point cloud with its cameras, drawn by numpy alone: no GPU, no display, no OpenGL.

Points are discs as large as their share of the surface, nearest wins; edges of depth are darkened a little so that
shapes can be told apart; surfaces seen from behind (the outside of a room's wall) are left out, so one looks inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .frustum import EDGES, frame_colors, frustum_corners, frustum_depth
from .pointcloud import PointCloud
from .reconstruction import Reconstruction

OVERSAMPLING = 2
MAX_RADIUS = 8  # pixels of the oversampled picture, to each side of a point
BACKGROUND_TOP, BACKGROUND_BOTTOM = (58, 64, 74), (26, 28, 33)
EMPTY = np.iinfo(np.int64).max
MOST_POINTS = 3_000_000


@dataclass(frozen=True)
class View:
    """Where the picture is taken from: three points (3,) of the world, and the horizontal field of view."""

    eye: np.ndarray
    target: np.ndarray
    up: np.ndarray
    fov_degrees: float = 50.0

    def world_to_view(self) -> np.ndarray:
        """World to camera (3, 4), OpenCV axes."""
        forward = _unit(np.asarray(self.target, dtype=np.float64) - self.eye)
        right = np.cross(forward, self.up)
        if np.linalg.norm(right) < 1e-9:
            right = np.cross(forward, np.eye(3)[np.argmin(np.abs(forward))])
        right = _unit(right)
        rotation = np.stack((right, np.cross(forward, right), forward))
        return np.concatenate((rotation, -rotation @ np.reshape(self.eye, (3, 1))), axis=1)


def render_cloud(
    cloud: PointCloud,
    reconstruction: Reconstruction | None = None,
    *,
    size: tuple[int, int] = (1280, 960),
    view: View | None = None,
    cameras: bool = True,
    hide_backs: bool = True,
) -> np.ndarray:
    """A picture (H, W, 3) uint8 of `size` (width, height); without a view, one from above and behind the cameras.

    The reconstruction of the cloud gives its cameras: drawn if `cameras`, and needed to hide backs.
    """
    view = view or overview(cloud, reconstruction, size=size)
    canvas, camera_depth = _Canvas(size, view), 0.0
    if reconstruction is not None:
        camera_depth = frustum_depth(reconstruction, cloud.points)
    if len(cloud) > MOST_POINTS:
        cloud = cloud.take(np.random.default_rng(0).choice(len(cloud), MOST_POINTS, replace=False))
    if hide_backs and reconstruction is not None and len(cloud):
        cloud = cloud.take(~seen_from_behind(cloud, reconstruction, view.eye))
    canvas.draw_points(cloud.points, cloud.colors, footprints(cloud, reconstruction))
    canvas.shade()
    if cameras and reconstruction is not None:
        canvas.draw_cameras(reconstruction, camera_depth)
    return canvas.picture()


def overview(
    cloud: PointCloud,
    reconstruction: Reconstruction | None = None,
    *,
    size: tuple[int, int] = (1280, 960),
    azimuth_degrees: float = 20.0,
    elevation_degrees: float = 28.0,
    fov_degrees: float = 50.0,
) -> View:
    """A view of the whole scene: from behind the cameras, turned by azimuth, raised by elevation, as near as fits."""
    points = cloud.points[:: max(1, len(cloud) // 50_000)].astype(np.float64)
    forward, up, positions = _directions(reconstruction)
    if not len(points):
        points = positions
    center = np.median(points, axis=0)
    level = _unit(forward - (forward @ up) * up if abs(forward @ up) < 0.95 else np.cross(up, _any_across(up)))
    turn, raised = np.radians(azimuth_degrees), np.radians(elevation_degrees)
    level = np.cos(turn) * level + np.sin(turn) * np.cross(up, level)
    direction = np.cos(raised) * level - np.sin(raised) * up
    view = View(center - direction, center, up, fov_degrees)
    rotation = view.world_to_view()[:, :3]
    low, high = np.percentile((points - center) @ rotation.T, (1, 99), axis=0)
    margin = 0.08 * (high - low)
    inside = ((points - center) @ rotation.T >= low - margin).all(1) & (
        (points - center) @ rotation.T <= high + margin
    ).all(1)
    seen = (np.concatenate((points[inside], positions)) - center) @ rotation.T  # (K, 3) right, down, forward
    slope = np.tan(np.radians(fov_degrees) / 2) * 0.94
    slopes = np.array([slope, slope * size[1] / size[0]])
    # Along each picture axis the eye has to be so far back and so far aside that both ends just fit.
    aside, back = np.zeros(2), []
    for axis in range(2):
        ahead = (seen[:, axis] / slopes[axis] - seen[:, 2]).max()
        behind = (-seen[:, axis] / slopes[axis] - seen[:, 2]).max()
        back.append((ahead + behind) / 2)
        aside[axis] = slopes[axis] * (ahead - behind) / 2
    shift = rotation[0] * aside[0] + rotation[1] * aside[1]
    eye = center + shift - direction * max(max(back), 1e-6)
    return View(eye, center + shift, up, fov_degrees)


def seen_from_behind(cloud: PointCloud, reconstruction: Reconstruction, eye: np.ndarray) -> np.ndarray:
    """True (M,) for points whose surface, as their own camera saw it, turns its back to the eye."""
    normal = surface_normals(cloud, reconstruction)
    ray = cloud.points - np.asarray(eye)
    return (normal * ray).sum(axis=1) > 0.15 * np.linalg.norm(ray, axis=1)


def surface_normals(cloud: PointCloud, reconstruction: Reconstruction) -> np.ndarray:
    """Unit normals (M, 3) of the depth maps at the points' pixels, turned to the camera that saw them."""
    height, width = reconstruction.image_size
    reach_px = max(2, width // 40)  # wide enough not to follow every ripple of a predicted depth
    frame, k = cloud.frame, reconstruction.intrinsics
    focal, center = k[:, [0, 1], [0, 1]][frame], k[:, :2, 2][frame]

    def local(dx: int, dy: int) -> np.ndarray:
        x, y = np.clip(cloud.pixel[:, 0] + dx, 0, width - 1), np.clip(cloud.pixel[:, 1] + dy, 0, height - 1)
        depth = reconstruction.depth[frame, y, x].astype(np.float64)
        pixel = np.stack((x, y), axis=1) + reconstruction.pixel_center
        return np.concatenate(((pixel - center) / focal * depth[:, None], depth[:, None]), axis=1)

    normal = np.cross(local(reach_px, 0) - local(-reach_px, 0), local(0, reach_px) - local(0, -reach_px))
    ray = local(0, 0)
    normal = np.where(((normal * ray).sum(axis=1) > 0)[:, None], -normal, normal)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    usable = np.isfinite(length) & (length > 0)
    ray = -ray / np.linalg.norm(ray, axis=1, keepdims=True)
    normal = np.where(usable, normal / np.where(usable, length, 1), ray)
    return np.einsum("mji,mj->mi", reconstruction.world_to_camera[:, :, :3][frame], normal)


def footprints(cloud: PointCloud, reconstruction: Reconstruction | None) -> np.ndarray | None:
    """Sizes (M,) in scene units of the surface patches that the points' own pixels covered; None if unknown."""
    if reconstruction is None:
        return None
    distance = np.linalg.norm(cloud.points - reconstruction.camera_positions[cloud.frame], axis=1)
    focal = np.sqrt(reconstruction.intrinsics[:, 0, 0] * reconstruction.intrinsics[:, 1, 1])
    return distance / focal[cloud.frame]


class _Canvas:
    """An oversampled picture with the depth of each pixel."""

    def __init__(self, size: tuple[int, int], view: View) -> None:
        self.width, self.height = OVERSAMPLING * size[0], OVERSAMPLING * size[1]
        self.pose = view.world_to_view()
        self.focal = 0.5 * self.width / np.tan(np.radians(view.fov_degrees) / 2)
        fade = np.linspace(0, 1, self.height)[:, None, None]
        rows = (1 - fade) * np.array(BACKGROUND_TOP) + fade * np.array(BACKGROUND_BOTTOM)
        self.colors = np.repeat(rows.astype(np.uint8), self.width, axis=1)  # (H, W, 3)
        self.depth = np.full((self.height, self.width), np.inf, dtype=np.float32)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (M, 2) and depths (M,) of world points (M, 3)."""
        seen = points.astype(np.float64) @ self.pose[:, :3].T + self.pose[:, 3]
        depth = np.maximum(seen[:, 2], 1e-12)
        return seen[:, :2] / depth[:, None] * self.focal + (self.width / 2, self.height / 2), seen[:, 2]

    def draw_points(self, points: np.ndarray, colors: np.ndarray, footprint: np.ndarray | None) -> None:
        pixel, depth = self.project(points)
        reach = MAX_RADIUS + 1
        inside = (depth > 0) & (pixel > -reach).all(1) & (pixel < (self.width + reach, self.height + reach)).all(1)
        if not inside.any():
            return
        pixel, depth, colors = np.floor(pixel[inside]).astype(np.int32), depth[inside], colors[inside]
        radius = self._radii(pixel, depth, None if footprint is None else footprint[inside])
        order = np.argsort(-depth)  # far first
        pixel, depth, colors, radius = pixel[order], depth[order], colors[order], radius[order]
        edge = MAX_RADIUS + reach  # no disc that starts in the picture or just outside leaves the padded one
        across = self.width + 2 * edge
        nearest = np.full((self.height + 2 * edge) * across, -1, dtype=np.int32)
        place = ((pixel[:, 1] + edge) * across + pixel[:, 0] + edge).astype(np.int32)
        squares = (radius * radius).astype(np.float32)
        for dy in range(-MAX_RADIUS, MAX_RADIUS + 1):
            for dx in range(-MAX_RADIUS, MAX_RADIUS + 1):
                _splat(nearest, place, squares, dx * dx + dy * dy, dy * across + dx)
        nearest = nearest.reshape(-1, across)[edge:-edge, edge:-edge].reshape(-1)
        hit = np.flatnonzero(nearest >= 0)
        self.colors.reshape(-1, 3)[hit] = colors[nearest[hit]]
        self.depth.reshape(-1)[hit] = depth[nearest[hit]]
        for reach in (2, 3, 5):
            self._fill_gaps(reach)

    def _fill_gaps(self, reach: int) -> None:
        """Closes pinholes in a surface: pixels far behind both of their neighbours in three of four directions."""
        depth = np.pad(self.depth, reach, mode="edge")
        votes = np.zeros(self.depth.shape, dtype=np.uint8)
        cover = np.full(self.depth.shape, np.inf, dtype=np.float32)
        source = np.zeros(self.depth.shape, dtype=np.int32)
        for dy, dx in ((0, reach), (reach, 0), (reach, reach), (reach, -reach)):
            one = depth[reach + dy :, reach + dx :][: self.height, : self.width]
            other = depth[reach - dy :, reach - dx :][: self.height, : self.width]
            behind = self.depth > 1.03 * np.maximum(one, other)
            votes += behind
            nearer = behind & (one < cover)
            cover[nearer], source[nearer] = one[nearer], dy * self.width + dx
        gap = np.flatnonzero(votes >= 3)
        gap = gap[gap + source.reshape(-1)[gap] < self.depth.size]
        taken = gap + source.reshape(-1)[gap]
        self.colors.reshape(-1, 3)[gap] = self.colors.reshape(-1, 3)[taken]
        self.depth.reshape(-1)[gap] = self.depth.reshape(-1)[taken]

    def _radii(self, pixel: np.ndarray, depth: np.ndarray, footprint: np.ndarray | None) -> np.ndarray:
        """Radii (M,) in pixels that close the gaps between points without blurring them."""
        cell = 8 * OVERSAMPLING
        place = (pixel[:, 1] // cell).astype(np.int64) * (self.width // cell + 3) + pixel[:, 0] // cell
        place -= place.min()
        spacing = cell / np.sqrt(np.bincount(place)[place])  # pixels between neighbours, here
        if footprint is None:
            footprint = np.full(len(depth), np.median(spacing * depth) / self.focal)
        own = footprint * self.focal / depth
        return np.clip(np.maximum(0.7 * own, np.minimum(0.7 * spacing, 2.5 * own)), 0.7, MAX_RADIUS)

    def shade(self, strength: float = 1.2) -> None:
        """Darkens what lies behind its neighbours, more the further behind."""
        with np.errstate(invalid="ignore"):
            log_depth = np.log(np.where(np.isfinite(self.depth), self.depth, 1e9)).astype(np.float32)
        behind = np.zeros_like(log_depth)
        step = OVERSAMPLING + 1
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            other = np.roll(log_depth, (dy * step, dx * step), axis=(0, 1))
            behind += np.minimum(np.maximum(log_depth - other - 0.01, 0), 0.25)
        factor = np.exp(-strength * behind / 2)
        factor[~np.isfinite(self.depth)] = 1
        self.colors = (self.colors * factor[..., None]).astype(np.uint8)

    def draw_cameras(self, reconstruction: Reconstruction, depth: float) -> None:
        corners = frustum_corners(reconstruction.intrinsics, reconstruction.image_size, depth)
        poses = reconstruction.camera_to_world
        world = corners @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
        for frame, color in enumerate(frame_colors(len(poses))):
            for start, end in EDGES:
                self._draw_line(world[frame, start], world[frame, end], color)

    def _draw_line(self, start: np.ndarray, end: np.ndarray, color: np.ndarray) -> None:
        """A line three pixels wide; where something is in front of it, it shines through a little."""
        pixel, depth = self.project(np.stack((start, end)))
        if (depth <= 0).any() or np.abs(pixel).max() > 10 * self.width:
            return
        steps = int(2 * np.abs(pixel[1] - pixel[0]).max()) + 2
        share = np.linspace(0, 1, steps)[:, None]
        along = pixel[0] + share * (pixel[1] - pixel[0])
        inverse = (1 / depth[0] + share * (1 / depth[1] - 1 / depth[0])).reshape(-1)
        places, depths = [], []
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                x, y = np.floor(along + (dx, dy)).astype(np.int64).T
                inside = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
                places.append(y[inside] * self.width + x[inside])
                depths.append(1 / inverse[inside])
        place, first = np.unique(np.concatenate(places), return_index=True)
        visible = np.concatenate(depths)[first] <= self.depth.reshape(-1)[place] * 1.001
        opacity = np.where(visible, 1.0, 0.35)[:, None]
        flat = self.colors.reshape(-1, 3)
        flat[place] = (opacity * color + (1 - opacity) * flat[place]).astype(np.uint8)

    def picture(self) -> np.ndarray:
        """The picture (H, W, 3) uint8 at the size asked for."""
        s = OVERSAMPLING
        blocks = self.colors.reshape(self.height // s, s, self.width // s, s, 3)
        return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)


def _splat(nearest: np.ndarray, place: np.ndarray, squares: np.ndarray, square: int, shift: int) -> None:
    """Puts the index of points (far to near) `shift` places from their own, where nothing nearer is yet."""
    if square > 0:
        index = np.flatnonzero(squares >= square).astype(np.int32)
        target = place[index] + np.int32(shift)
    else:
        index, target = np.arange(len(place), dtype=np.int32), place
    nearer = index > nearest[target]
    nearest[target[nearer]] = index[nearer]  # of equal places the last, nearest one stays


def _directions(reconstruction: Reconstruction | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the cameras look on average, what is up for them, and their positions (N, 3)."""
    if reconstruction is None:
        return np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0]), np.zeros((1, 3))
    poses = reconstruction.camera_to_world
    up = -poses[:, :3, 1].mean(axis=0)
    forward = poses[:, :3, 2].mean(axis=0)
    up = up if np.linalg.norm(up) > 0.1 else -poses[0, :3, 1]
    forward = forward if np.linalg.norm(forward) > 0.1 else poses[0, :3, 2]
    return _unit(forward), _unit(up), poses[:, :3, 3]


def _any_across(vector: np.ndarray) -> np.ndarray:
    return np.eye(3)[np.argmin(np.abs(vector))]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-30)
