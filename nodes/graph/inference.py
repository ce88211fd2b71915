"""The node that runs the network: views in, a scene out."""

from typing import Any

import numpy as np
from torch import Tensor

from ...models.checkpoints import LoadedModel
from ...models.sparse import SparsityConfig
from ...scene.export import write_ply
from ...scene.images import ImageSet
from ...scene.preview import depth_maps
from ...scene.reconstruction import Reconstruction
from ..load_images import collect_images
from ..memory import Load, activation_bytes
from ..point_cloud import point_cloud
from ..reconstruct import reconstruct
from ..report import report_text
from .cameras import camera_matrices, viewer_camera
from .host import Host, Result, temporary
from .loading import given
from .overall import overall
from .packets import grey_image_of, scene_packet, views_of

SHARES = {"encoder": 0.2, "aggregator": 0.5, "decoder": 0.5, "camera": 0.02, "depth": 0.2, "points": 0.2, "heads": 0.2}
EMPTY_MASK = (64, 64)  # what ComfyUI's loaders give for an image without transparency: all zero


def run_reconstruct(
    host: Host,
    *,
    model: list[dict],
    images: list[Any],
    sparsity: list[dict] | None = None,
    masks: list[Tensor] | None = None,
    **lists: list,
) -> Result:
    """(scene, depth, confidence, ply, extrinsics, intrinsics, camera, report); every input is a list."""
    options = given({name: values[0] for name, values in lists.items()})
    size = {name: options.pop(name) for name in ("resize", "resolution")}
    loaded: LoadedModel = model[0]["loaded"]
    views = join_views(images, masks, loaded, size)
    chosen = SparsityConfig.from_dict(sparsity[0]) if sparsity else None
    height, width = views.images.shape[1:3]
    load = Load(len(views), height, width, options["frame_chunk"])
    host.make_room(model[0], activation_bytes(loaded, load))
    scene = reconstruct(loaded, views, sparsity=chosen, **options, progress=overall(host.progress, SHARES))
    return scene_result(host, scene)


def scene_result(host: Host, scene: Reconstruction) -> Result:
    """The outputs of a finished scene."""
    cloud = point_cloud(scene)
    path = temporary(host, ".ply")
    write_ply(cloud, path)
    report = report_text(scene)
    extrinsics, intrinsics = camera_matrices(scene)
    pictures = (grey_image_of(depth_maps(scene)), grey_image_of(scene.confidence))
    camera = viewer_camera(scene, 0, cloud)
    return Result((scene_packet(scene), *pictures, path, extrinsics, intrinsics, camera, report), {"text": [report]})


def join_views(images: list, masks: list[Tensor] | None, loaded: LoadedModel, size: dict[str, Any]) -> ImageSet:
    """One set of views from what a list input gives: batches, single images, videos, or the views of Load Images."""
    sets = [each for each in images if isinstance(each, dict)]
    if not sets:
        batches = [each.get_components().images if hasattr(each, "get_components") else each for each in images]
        return collect_images(batches, masks=usable_masks(masks), model=loaded, **size)
    if len(images) > 1:
        raise ValueError(f"images takes one set of views, or images; got {len(images)} inputs; connect one set alone.")
    return views_of(sets[0])


def usable_masks(masks: list[Tensor] | None) -> list[np.ndarray] | None:
    """None where no mask says anything, as the empty ones that ComfyUI makes for images without transparency."""
    if not masks or all(tuple(mask.shape[-2:]) == EMPTY_MASK and not mask.any() for mask in masks):
        return None
    return masks
