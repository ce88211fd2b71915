"""The small picture by which a page lists a result."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ...scene.pointcloud import PointCloud, thin
from ...scene.reconstruction import Reconstruction
from ...scene.render import render_cloud
from ...scene.soundness import sound_with_cloud
from .host import Host

SIZE = (400, 300)
MOST_POINTS = 120_000


def write_thumbnail(host: Host, cloud: PointCloud, scene: Reconstruction, path: Path) -> Path:
    """A PNG of the points and cameras that carries the graph, so that ComfyUI opens it when the file is dropped."""
    host.progress("thumbnail", 0, 1)
    scene, cloud = sound_with_cloud(scene, cloud)
    picture = render_cloud(thin(cloud, MOST_POINTS, "random", np.random.default_rng(0)), scene, size=SIZE)
    about = PngInfo()
    for name, value in host.metadata.items():
        about.add_text(name, json.dumps(value))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, pnginfo=about, compress_level=4)
    return path
