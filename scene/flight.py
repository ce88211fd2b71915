"""A film of a flight past the cameras: what they saw, on a smooth way from the first to the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from ..models.progress import Progress
from .export.atomic import PathLike, new_file
from .framing import focus
from .pointcloud import PointCloud
from .reconstruction import Reconstruction
from .render import View, overview, render_cloud
from .upright import up_direction

MOST_POINTS = 100_000  # more take longer and are hardly seen in a picture of this size
MOST_STOPS = 10  # cameras that the way goes through
BACK = 0.35  # how far behind the cameras it runs, as a share of their distance from what they look at
SWING_DEGREES = 25.0  # to each side, where all cameras stand in one place
LEAST_PICTURES = 12
CODECS = (("libx264", {"crf": "20", "preset": "veryfast"}), ("mpeg4", {"qscale": "4"}))


def write_flight(
    cloud: PointCloud,
    reconstruction: Reconstruction,
    path: PathLike,
    *,
    size: tuple[int, int] = (640, 480),
    seconds: float = 6.0,
    frames_per_second: int = 12,
    most_seconds: float = 90.0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Writes an MP4 of `seconds` and `size` (width, height), even numbers, drawn on the CPU.

    most_seconds: about how long that may take; where the first picture says that it would take longer, there are fewer
    pictures a second. progress: called before each picture; raising in it stops, and nothing is written.
    """
    if not len(cloud):
        raise ValueError("There are no points to fly past; keep more of them.")
    if seconds <= 0 or frames_per_second < 1 or any(side < 16 or side % 2 for side in size):
        raise ValueError(f"A film needs a time, a rate and even sides of 16 and more, got {seconds}, {size}.")
    if len(cloud) > MOST_POINTS:
        cloud = cloud.take(np.sort(np.random.default_rng(0).choice(len(cloud), MOST_POINTS, replace=False)))
    views = flight(cloud, reconstruction, max(LEAST_PICTURES, round(seconds * frames_per_second)), size)

    def draw(view: View) -> np.ndarray:
        return render_cloud(cloud, reconstruction, size=size, view=view, cameras=False)

    if progress is not None:
        progress("flight", 0, len(views))
    started = time.perf_counter()
    first = draw(views[0])
    fitting = int(most_seconds / max(time.perf_counter() - started, 1e-6))
    count = min(len(views), max(LEAST_PICTURES, fitting))
    chosen = [views[place] for place in np.linspace(0, len(views) - 1, count).round().astype(int)]
    with new_file(path, overwrite) as partial:
        _write(partial, chain([first], _drawn(chosen[1:], draw, progress)), size, Fraction(count) / Fraction(seconds))
    return Path(path)


def _drawn(views: list[View], draw: Callable[[View], np.ndarray], progress: Progress | None) -> Iterator[np.ndarray]:
    for place, view in enumerate(views, start=1):
        if progress is not None:
            progress("flight", place, len(views) + 1)
        yield draw(view)


def flight(cloud: PointCloud, reconstruction: Reconstruction, count: int, size: tuple[int, int]) -> list[View]:
    """So many views from the first camera to the last, a little behind them, on what they look at together.

    Where the cameras hardly move, a swing about that place instead.
    """
    look = focus(cloud)
    target = np.median(cloud.points, axis=0).astype(np.float64) if look is None else look.center
    up = up_direction(reconstruction.camera_to_world)
    positions = reconstruction.camera_positions
    away = float(np.median(np.linalg.norm(positions - target, axis=1))) or 1.0
    if np.linalg.norm(positions - positions[0], axis=1).max() < 0.1 * away:
        return _swing(overview(cloud, reconstruction, size=size), target, up, count)
    stops = positions[
        np.unique(np.linspace(0, len(positions) - 1, min(len(positions), MOST_STOPS)).round().astype(int))
    ]
    stops = stops + BACK * (stops - target) + 0.1 * away * up
    ahead = reconstruction.camera_to_world[:, :3, 2]
    aims = target if _look_together(positions, ahead, target) else None
    places = _smooth(stops, count)
    if aims is not None:
        return [View(place, target, up) for place in places]
    directions = _smooth(ahead[np.linspace(0, len(ahead) - 1, len(stops)).round().astype(int)], count)
    return [View(place, place + away * way, up) for place, way in zip(places, directions, strict=True)]


def _look_together(positions: np.ndarray, ahead: np.ndarray, target: np.ndarray) -> bool:
    """Whether most cameras look towards the target, rather than along a way."""
    wanted = target - positions
    cosine = (wanted * ahead).sum(axis=1) / np.maximum(np.linalg.norm(wanted, axis=1), 1e-12)
    return bool(np.median(cosine) > np.cos(np.radians(40)))


def _swing(view: View, target: np.ndarray, up: np.ndarray, count: int) -> list[View]:
    """Views from one side of a view to the other and back, about an axis through the target."""
    angles = np.radians(SWING_DEGREES) * np.sin(np.linspace(0, 2 * np.pi, count))
    arm = view.eye - target
    across = np.cross(up, arm)
    along = (arm @ up) * up
    flat = arm - along
    return [View(target + along + np.cos(a) * flat + np.sin(a) * across, target, up, view.fov_degrees) for a in angles]


def _smooth(points: np.ndarray, count: int) -> np.ndarray:
    """`count` points on a curve through the points (K, 3), evenly in their numbers: a Catmull-Rom spline."""
    padded = np.concatenate((2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]))
    place = np.linspace(0, len(points) - 1, count)
    first = np.minimum(place.astype(int), len(points) - 2)
    share = (place - first)[:, None]
    a, b, c, d = (padded[first + shift] for shift in range(4))
    return 0.5 * (2 * b + (c - a) * share + (2 * a - 5 * b + 4 * c - d) * share**2 + (3 * (b - c) + d - a) * share**3)


def _write(path: Path, pictures: Iterable[np.ndarray], size: tuple[int, int], rate: Fraction) -> None:
    """Pictures (H, W, 3) uint8 as MP4, `rate` a second."""
    import av

    name, options = next(each for each in CODECS if each[0] in av.codecs_available)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
        stream = film.add_stream(name, rate=rate.limit_denominator(1000), options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
