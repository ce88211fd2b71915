"""Files for ManyView's own 3D viewer (web/viewer.html): the cloud as PLY, and the cameras with small photos as JSON.

cameras.json: {"format": "manyview-cameras", "version": 1, "axes": ..., "up": [x, y, z], "meters_per_unit": number or
null, "focus": {"center": [x, y, z], "radius"}, "verdict": {"level", "confidence", "low", "high", "meaning", "advice"},
"cameras": [{"frame", "name", "confidence", "size": [width, height], "intrinsics", "camera_to_world", "thumbnail"},
...]}. The focus is the sphere that a first look shows; without it that is everything.
Axes are glTF's, as in the PLY: x right, y up, z backward, and a camera looks along its own -z. `camera_to_world` is
(4, 4), row by row. `intrinsics` (3, 3) are in pixels of `size`, measured from the image's top left corner, x right and
y down. `thumbnail` is a data: address, so that the file stands alone wherever it is served from.
"""

import base64
import io
import json
from typing import Any

import numpy as np
from PIL import Image

from ...models.progress import Progress
from ..framing import Focus, focus
from ..pointcloud import PointCloud
from ..reconstruction import Reconstruction
from ..render import surface_normals
from ..soundness import sound, sound_with_cloud
from ..upright import up_direction
from ..verdict import confidence_of_views, verdict
from .atomic import PathLike, new_file, new_folder
from .axes import pose_to_y_up, to_y_up
from .ply import write_ply

LONGEST_PX, SHORTEST_PX = 512, 96
ALL_PIXELS = 16e6  # of all thumbnails together: about 3 MB of JPEG
QUALITY = 82
CHUNK = 500_000  # points whose normals are found at a time


def write_viewer(
    cloud: PointCloud,
    reconstruction: Reconstruction,
    folder: PathLike,
    *,
    meters_per_unit: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Writes points.ply, with normals, and cameras.json, which web/viewer.html shows."""
    reconstruction, cloud = sound_with_cloud(reconstruction, cloud)
    with new_folder(folder, overwrite) as partial:
        write_ply(cloud, partial / "points.ply", normals=_normals(cloud, reconstruction))
        about = {"meters_per_unit": meters_per_unit, "focus": focus(cloud), "progress": progress}
        write_cameras(reconstruction, partial / "cameras.json", **about)


def write_cameras(
    reconstruction: Reconstruction,
    path: PathLike,
    *,
    meters_per_unit: float | None = None,
    focus: Focus | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Writes the cameras alone, for a cloud that is a file already; see the top of this file for what it holds.

    meters_per_unit: how long one unit of the scene is, where that is known; the viewer then measures in metres.
    focus: what the viewer's first look shows; None for everything.
    """
    if meters_per_unit is not None and not (np.isfinite(meters_per_unit) and meters_per_unit > 0):
        raise ValueError(f"meters_per_unit must be a positive number, got {meters_per_unit}; None says it is unknown.")
    reconstruction = sound(reconstruction)
    document = {
        "format": "manyview-cameras",
        "version": 1,
        "axes": "glTF: x right, y up, z backward; a camera looks along its own -z",
        "up": to_y_up(up_direction(reconstruction.camera_to_world)).round(6).tolist(),
        "meters_per_unit": meters_per_unit,
        **({} if focus is None else {"focus": _sphere(focus)}),
        "verdict": verdict(reconstruction).to_dict(),
        "cameras": _cameras(reconstruction, progress),
    }
    with new_file(path, overwrite) as partial:
        partial.write_text(json.dumps(document, separators=(",", ":"), allow_nan=False), encoding="utf-8")


def _sphere(found: Focus) -> dict[str, Any]:
    return {"center": to_y_up(found.center).round(6).tolist(), "radius": found.radius}


def thumbnail_px(frames: int, image_size: tuple[int, int]) -> int:
    """Longer side of the thumbnails: smaller the more there are, never larger than the image."""
    longer, shorter = max(image_size), min(image_size)
    fitting = np.sqrt(ALL_PIXELS / max(frames, 1) * longer / shorter)
    return int(min(max(fitting, SHORTEST_PX), LONGEST_PX, longer))


def _normals(cloud: PointCloud, reconstruction: Reconstruction) -> np.ndarray:
    """Unit normals (M, 3) float32, by which the viewer hides surfaces that are seen from behind."""
    normals = np.empty_like(cloud.points)
    for start in range(0, len(cloud), CHUNK):
        part = slice(start, start + CHUNK)
        normals[part] = surface_normals(cloud.take(part), reconstruction)
    return normals


def _cameras(reconstruction: Reconstruction, progress: Progress | None) -> list[dict[str, Any]]:
    height, width = reconstruction.image_size
    poses = pose_to_y_up(reconstruction.camera_to_world)
    intrinsics = reconstruction.corner_intrinsics()
    confidence = confidence_of_views(reconstruction)
    longest = thumbnail_px(len(reconstruction), (height, width))
    result = []
    for frame, name in enumerate(reconstruction.names):
        if progress is not None:
            progress("thumbnails", frame, len(reconstruction))
        result.append(
            {
                "frame": frame,
                "name": name,
                "confidence": round(confidence[frame], 4),
                "size": [width, height],
                "intrinsics": intrinsics[frame].tolist(),
                "camera_to_world": poses[frame].tolist(),
                "thumbnail": _data_address(reconstruction.images[frame], longest),
            }
        )
    return result


def _data_address(image: np.ndarray, longest: int) -> str:
    """A JPEG of the image (H, W, 3), shrunk to `longest` pixels on its longer side, as a data: address."""
    picture = Image.fromarray(image)
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
