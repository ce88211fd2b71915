"""What is no finite number is left out of a scene, by one rule, and told.

A view whose camera is not finite is left out, and so is one without a single finite pixel while others have some.
Single pixels become pixels of which nothing is known: depth and confidence 0.
"""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .pointcloud import PointCloud
    from .reconstruction import Reconstruction

logger = logging.getLogger(__name__)

MOST_NAMES = 5  # of views that a note lists


def sound(scene: Reconstruction) -> Reconstruction:
    """The scene without what is not finite, and with notes of that; the very same scene where everything is.

    ValueError where no camera is finite.
    """
    known = known_pixels(scene)
    if known.all() and sound_cameras(scene).all():
        return scene
    return _cleaned(scene, known, sound_views(scene, known))


def sound_with_cloud(scene: Reconstruction, cloud: PointCloud) -> tuple[Reconstruction, PointCloud]:
    """The same for a scene and the points that came from it, whose frames are then counted anew."""
    known = known_pixels(scene)
    finite = np.isfinite(cloud.points).all(axis=1) & np.isfinite(cloud.confidence)
    if known.all() and sound_cameras(scene).all():
        return scene, cloud if finite.all() else cloud.take(finite)
    views = sound_views(scene, known)
    place = np.cumsum(views, dtype=np.int32) - 1
    cloud = cloud.take(finite & views[cloud.frame])
    return _cleaned(scene, known, views), replace(cloud, frame=place[cloud.frame])


def sound_camera(world_to_camera: np.ndarray, intrinsics: np.ndarray) -> bool:
    """Whether one camera can see: finite, with a rotation that can be inverted and positive focal lengths."""
    return bool(
        np.isfinite(world_to_camera).all()
        and np.isfinite(intrinsics).all()
        and min(intrinsics[0, 0], intrinsics[1, 1]) > 0
        and abs(np.linalg.det(world_to_camera[:, :3])) > 1e-6
    )


def sound_cameras(scene: Reconstruction) -> np.ndarray:
    """True (N,) for every camera that can see."""
    return np.array([sound_camera(*each) for each in zip(scene.world_to_camera, scene.intrinsics, strict=True)], bool)


def known_pixels(scene: Reconstruction) -> np.ndarray:
    """True (N, H, W) where depth and confidence, and the points if these come from a point head, are finite."""
    known = np.isfinite(scene.depth) & np.isfinite(scene.confidence)
    return known & np.isfinite(scene.world_points).all(axis=-1) if scene.point_source == "points" else known


def sound_views(scene: Reconstruction, known: np.ndarray) -> np.ndarray:
    """True (N,) for the views that stay; ValueError if none does."""
    cameras, pixels = sound_cameras(scene), known.any(axis=(1, 2))
    if not cameras.any():
        raise ValueError(
            f"None of the {len(scene)} cameras of this scene is finite, so there is nothing to keep; run the model "
            "again with precision float32, or with other images."
        )
    return cameras & pixels if (cameras & pixels).any() else cameras


def _cleaned(scene: Reconstruction, known: np.ndarray, views: np.ndarray) -> Reconstruction:
    notes = _notes(scene, known, views)
    for note in notes:
        logger.warning(note)
    places = [place for place in range(len(scene) + len(scene.left_out)) if place not in set(scene.left_out)]
    gone = tuple(sorted((*scene.left_out, *(places[view] for view in np.flatnonzero(~views)))))
    result, known = take_views(scene, np.flatnonzero(views)), known[views]
    points = result.world_points
    return replace(
        result,
        depth=np.where(known, result.depth, np.float32(0)),
        confidence=np.where(known, result.confidence, np.float32(0)),
        world_points=None if points is None else np.where(np.isfinite(points), points, np.float32(0)),
        notes=(*scene.notes, *(note for note in notes if note not in scene.notes)),
        left_out=gone,
    )


def take_views(scene: Reconstruction, views: np.ndarray) -> Reconstruction:
    """The scene of the views of these indices alone, in this order."""
    count, changed = len(scene), {}
    for each in fields(scene):
        value = getattr(scene, each.name)
        if each.name == "tracks" and value is not None:
            changed[each.name] = {name: array[views] for name, array in value.items()}
        elif each.name in ("names", "paths", "video_frames"):
            changed[each.name] = tuple(value[view] for view in views)
        elif isinstance(value, np.ndarray) and each.name != "density" and len(value) == count:
            changed[each.name] = value[views]
    return replace(scene, **changed)


def _notes(scene: Reconstruction, known: np.ndarray, views: np.ndarray) -> list[str]:
    notes = []
    if not views.all():
        names = [scene.names[view] for view in np.flatnonzero(~views)]
        listed = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "")
        what = "1 view" if len(names) == 1 else f"{len(names)} views"
        notes.append(f"left out: {what} for which the model's numbers are not finite: {listed}.")
    unknown = ~known[views]
    if unknown.any():
        among = np.count_nonzero(unknown.any(axis=(1, 2)))
        notes.append(
            f"left out: {np.count_nonzero(unknown):,} pixels in {among} view{'s' if among != 1 else ''}, because their "
            "depth or confidence is not finite."
        )
    return notes
