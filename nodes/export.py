"""Files of a reconstruction for other programs, all in one folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.progress import Progress
from ..scene.export import write_colmap, write_depth, write_glb, write_npz, write_ply
from ..scene.pointcloud import PointCloud, thin
from ..scene.preview import write_previews
from ..scene.reconstruction import Reconstruction
from .parameters import EXPORT_FORMATS


def export(
    scene: Reconstruction,
    cloud: PointCloud,
    folder: Path,
    formats: Sequence[str] = tuple(EXPORT_FORMATS),
    *,
    depth_format: str = "png",
    cameras: bool = True,
    colmap_text: bool = False,
    colmap_points: int = 100_000,
    extras: dict[str, Any] | None = None,
    pictures: Sequence[np.ndarray] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the formats and return the files; options are explained in nodes/parameters.py.

    points.ply, scene.glb (`extras` go into its metadata), colmap/ (with `pictures` in place of the images' files),
    scene.npz, depth/ and preview/. Each appears under its name only when it is complete; what is there already is an
    error unless `overwrite`.
    """
    wrong = [name for name in formats if name not in EXPORT_FORMATS]
    if wrong or not formats:
        raise ValueError(f"formats must be some of {', '.join(EXPORT_FORMATS)}, got {', '.join(wrong) or 'none'}.")
    again = {"overwrite": overwrite}
    writers = {
        "ply": lambda: write_ply(cloud, folder / "points.ply", **again),
        "glb": lambda: write_glb(cloud, scene, folder / "scene.glb", cameras=cameras, extras=extras, **again),
        "colmap": lambda: write_colmap(
            scene,
            thin(cloud, colmap_points),
            folder / "colmap",
            text=colmap_text,
            pictures=pictures,
            progress=progress,
            **again,
        ),
        "npz": lambda: write_npz(scene, folder / "scene.npz", cloud, **again),
        "depth": lambda: write_depth(scene, folder / "depth", depth_format, **again),
        "preview": lambda: write_previews(scene, cloud, folder / "preview", progress=progress, **again),
    }
    places = {"ply": "points.ply", "glb": "scene.glb", "npz": "scene.npz"}
    for name in formats:
        if progress is not None:
            progress(f"{name} files", 0, 1)
        writers[name]()
    return [file for name in formats for file in files_at(folder / places.get(name, name))]


def files_at(place: Path) -> list[Path]:
    """The file, or all files of the folder."""
    return sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
