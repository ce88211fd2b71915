"""What a notebook shows of images, scenes and point clouds: a small picture and a few numbers, all in one piece."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from .images import ImageSet
    from .pointcloud import PointCloud
    from .reconstruction import Reconstruction

SHOWN = 6  # views
THUMBNAIL_PX = 160
CLOUD_PX = (480, 360)
CLOUD_POINTS = 100_000


def views_html(views: ImageSet) -> str:
    """The first views, evenly spread, and how many there are."""
    height, width = views.images.shape[1:3]
    facts = {"views": f"{len(views)}", "size": f"{width} x {height} px", "left out": f"{len(views.skipped)}"}
    return _card("Images", [_thumbnail(views.images[place]) for place in _spread(len(views))], facts)


def scene_html(scene: Reconstruction) -> str:
    """Views above their depth, and what the scene holds."""
    from .preview import depth_picture
    from .verdict import verdict

    found = verdict(scene)
    columns = [
        np.concatenate([_thumbnail(scene.images[place]), _thumbnail(depth_picture(scene, place))])
        for place in _spread(len(scene))
    ]
    height, width = scene.image_size
    facts = {
        "views": f"{len(scene)}",
        "size": f"{width} x {height} px",
        "pixels with depth": f"{sum(int(np.count_nonzero(scene.usable(place))) for place in range(len(scene))):,}",
        "model": scene.model or "not named",
        "confidence": f"{found.confidence:.2f}, {found.level}",
        "notes": f"{len(scene.notes)}",
    }
    return _card("Reconstruction", columns, facts)


def cloud_html(cloud: PointCloud) -> str:
    """The cloud as its first camera looked, raised a little, and its numbers."""
    from .pointcloud import thin
    from .render import render_cloud

    picture = [render_cloud(thin(cloud, CLOUD_POINTS, "random"), size=CLOUD_PX)] if len(cloud) else []
    facts = {"points": f"{len(cloud):,}", "views": f"{len(np.unique(cloud.frame))}"}
    if len(cloud):
        facts["confidence"] = f"{float(cloud.confidence.mean()):.2f} on average"
    return _card("Point cloud", picture, facts)


def _card(title: str, pictures: Sequence[np.ndarray], facts: Mapping[str, str]) -> str:
    shown = "".join(f'<img src="{_data_address(picture)}" alt="" style="margin:2px">' for picture in pictures)
    left = ' style="text-align:left"'
    rows = "".join(
        f"<tr><th{left}>{html.escape(name)}</th><td{left}>{html.escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f"<div><strong>{title}</strong><div>{shown}</div><table>{rows}</table></div>"


def _spread(count: int) -> list[int]:
    """At most SHOWN of so many places, from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, SHOWN)).round().astype(int)).tolist()


def _thumbnail(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    return np.asarray(image)


def _data_address(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
