"""What attention did: how much of it was computed, and where one patch looks."""

from typing import Any

import numpy as np
from PIL import Image

from ...models.networks import Workload
from ...models.sparse import SparsityConfig
from ...scene.reconstruction import Reconstruction
from ..attention_map import attention_map, attention_pictures
from ..density_picture import density_picture
from ..report import attention_text
from .host import Host, Result, entry, temporary
from .overall import overall
from .packets import image_of, scene_of

SHARES = {"encoder": 0.3, "aggregator": 0.7, "decoder": 0.7}


def run_sparsity_report(
    host: Host,
    *,
    scene: dict,
    model: dict | None = None,
    sparsity: dict | None = None,
    layer: int,
    frame: int,
    x: float,
    y: float,
) -> Result:
    """(density, attention, report): pictures of the density of each layer and head, and of one patch's attention."""
    found = scene_of(scene)
    density = density_picture(density_of(found))
    pictures = found.images
    if model is not None:
        config = None if sparsity is None else SparsityConfig.from_dict(sparsity)
        seen = attend(
            host, model, found, config, {"layer": None if layer < 0 else layer, "frame": frame, "x": x, "y": y}
        )
        pictures = attention_pictures(found.images, seen, frame, x, y)
    text = density_text(found)
    shown = [_saved(host, picture) for picture in pictures]
    ui = {"manyview_density": [_saved(host, density)], "manyview_frames": shown, "text": [text]}
    return Result((image_of(density[None]), image_of(pictures), text), ui)


def attend(
    host: Host, model: dict, scene: Reconstruction, sparsity: SparsityConfig | None, patch: dict[str, Any]
) -> np.ndarray:
    """Attention (N, h, w) of a patch of the scene's images, by a host's model."""
    height, width = scene.image_size
    host.make_room(model, model["loaded"].network.activation_bytes(Workload(len(scene), height, width)))
    watch = {"progress": overall(host.progress, SHARES), "check": host.check_cancelled}
    return attention_map(model["loaded"], scene.images, **patch, sparsity=sparsity, **watch)


def density_of(scene: Reconstruction) -> np.ndarray:
    """Density (layers, heads) of global attention; one row of ones where all of it was computed."""
    return np.ones((1, 1), np.float32) if scene.density is None else scene.density


def density_text(scene: Reconstruction) -> str:
    """The density in words: over all, then layer by layer."""
    if scene.density is None:
        return attention_text(scene)
    rows = (
        f"layer {layer:2}: {100 * heads.mean():5.1f} %, heads {100 * heads.min():.1f} to {100 * heads.max():.1f} %"
        for layer, heads in enumerate(scene.density)
    )
    return "\n".join((attention_text(scene), *rows))


def _saved(host: Host, picture: np.ndarray) -> dict[str, str]:
    path = temporary(host, ".jpg")
    Image.fromarray(picture).save(path, quality=90)
    return entry(host, path)
