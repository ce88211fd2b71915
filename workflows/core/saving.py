"""Core nodes that show and save images, clouds and text."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ...nodes.graph.host import Host, Result, entry, filled, temporary

MOST_TEXT = 100_000


def run_preview_image(host: Host, *, images: Tensor) -> Result:
    """(images,): shown as files of the temp folder."""
    return _saved(host, images, lambda: temporary(host, ".png"))


def run_save_image(host: Host, *, images: Tensor, filename_prefix: str) -> Result:
    """(images,): written into the output folder, with the workflow in them."""
    return _saved(host, images, lambda: host.output_place(filename_prefix, ".png"))


def run_preview_cloud(host: Host, *, model_3d: Path, **viewport: Any) -> Result:
    """(cloud, placing, camera, width, height): shown as it is."""
    return _cloud(host, Path(model_3d), viewport)


def run_save_cloud(host: Host, *, model_3d: Path, filename_prefix: str, **viewport: Any) -> Result:
    """(cloud, placing, camera, width, height): copied into the output folder."""
    with filled(host.output_place(filename_prefix, Path(model_3d).suffix)) as target:
        shutil.copyfile(model_3d, target)
    return _cloud(host, target, viewport)


def run_preview_text(host: Host, *, source: Any) -> Result:
    """(text,): anything as text."""
    if isinstance(source, dict | list | bool | int | float) and not hasattr(source, "_comfy_cache_tensors"):
        text = json.dumps(source, indent=1, default=_about)
    else:
        text = source if isinstance(source, str) else _about(source)
    return Result((text,), {"text": [text[:MOST_TEXT]]})


def run_primitive(host: Host, *, value: Any) -> Result:
    """(value,)"""
    return Result((value,))


def _saved(host: Host, images: Tensor, place: Any) -> Result:
    shown, metadata = [], PngInfo()
    for name, value in host.metadata.items():
        metadata.add_text(name, json.dumps(value))
    for image in images[..., :3]:
        host.check_cancelled()
        picture = (image.clamp(0, 1) * 255).round().byte().cpu().numpy()
        with filled(place()) as path:
            Image.fromarray(np.ascontiguousarray(picture)).save(path, pnginfo=metadata, compress_level=4)
        shown.append(entry(host, path))
    return Result((images,), {"images": shown})


def _cloud(host: Host, path: Path, viewport: dict[str, Any]) -> Result:
    names = ("model_3d_info", "camera_info", "width", "height")
    return Result((path, *(viewport.get(name) for name in names)), {"3d": [entry(host, path)]})


def _about(value: Any) -> str:
    return f"{type(value).__name__} {tuple(value.shape)}" if isinstance(value, Tensor | np.ndarray) else str(value)
