"""The node that runs the network: views in, a scene out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...models.checkpoints import LoadedModel
from ...models.progress import Progress
from ...models.sparse import SparsityConfig
from ...scene.export import write_ply
from ...scene.files import choose
from ...scene.images import ImageSet, take_views
from ...scene.preview import depth_maps
from ...scene.reconstruction import Reconstruction
from ...texts.memory import is_out_of_memory
from ..load_images import collect_images, for_model
from ..memory import out_of_memory_message
from ..point_cloud import point_cloud
from ..reconstruct import load_of, reconstruct
from ..report import report_text
from .cameras import camera_matrices, viewer_camera
from .host import Host, Result, filled, temporary
from .loading import given
from .overall import overall
from .packets import grey_image_of, scene_packet, views_of

SHARES = {"encoder": 0.2, "aggregator": 0.5, "decoder": 0.5, "camera": 0.02, "depth": 0.2, "points": 0.2, "heads": 0.2}
USUAL_RESIZE = "keep"
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
    choice = {name: options.pop(name) for name in ("limit", "selection")}
    loaded: LoadedModel = model[0]["loaded"]
    views = join_views(images, masks, loaded, size, choice, host.progress)
    chosen = SparsityConfig.from_dict(sparsity[0]) if sparsity else None
    with filled(temporary(host, ".ply")) as path:
        path.touch()  # where nothing can be written, it is told before the work
        return scene_result(host, run_model(host, model[0], views, chosen, options), path)


def run_model(
    host: Host, model: dict, views: ImageSet, sparsity: SparsityConfig | None, options: dict[str, Any]
) -> Reconstruction:
    """The scene of the views; where memory runs out, OutOfMemoryError says what would fit."""
    loaded = model["loaded"]
    load = load_of(views, sparsity, options["frame_chunk"], options.get("point_source"))
    watch = {"progress": overall(host.progress, SHARES), "check": host.check_cancelled, "show": host.show}
    free_bytes = None
    try:
        host.make_room(model, loaded.network.activation_bytes(load))
        free_bytes = host.free_bytes()
        return reconstruct(loaded, views, sparsity=sparsity, free_bytes=free_bytes, **options, **watch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Out here nothing refers to the failed run any more, so its memory can be given back.
    host.free_memory()
    raise torch.OutOfMemoryError(out_of_memory_message(loaded, load, free_bytes))


def scene_result(host: Host, scene: Reconstruction, path: Path | None = None) -> Result:
    """The outputs of a finished scene; its points go into the file of that path, or into a new one."""
    cloud = point_cloud(scene)
    path = temporary(host, ".ply") if path is None else path
    write_ply(cloud, path, overwrite=True)
    report = report_text(scene)
    extrinsics, intrinsics = camera_matrices(scene)
    pictures = (grey_image_of(depth_maps(scene)), grey_image_of(scene.confidence))
    camera = viewer_camera(scene, 0, cloud)
    return Result((scene_packet(scene), *pictures, path, extrinsics, intrinsics, camera, report), {"text": [report]})


def join_views(
    images: list,
    masks: list[Tensor] | None,
    loaded: LoadedModel,
    size: dict[str, Any],
    choice: dict[str, Any],
    progress: Progress | None = None,
) -> ImageSet:
    """One set of views from what a list input gives: batches, single images, videos, or the views of Load Images.

    Views of Load Images are read again where they do not have the model's size. What is chosen here goes before what
    was chosen there: a resolution, another way to resize than the usual one, and fewer of the views.
    """
    sets = [each for each in images if isinstance(each, dict)]
    if sets and len(images) > 1:
        raise ValueError(f"images takes one set of views, or images; got {len(images)} inputs; connect one set alone.")
    if sets:
        resize = None if size["resize"] == USUAL_RESIZE else size["resize"]
        views = for_model(views_of(sets[0]), loaded, resize=resize, resolution=size["resolution"], progress=progress)
        if usable_masks(masks) is not None:
            note = "Masks were connected beside views of Load Images, which bring their own; choose them there."
            views = replace(views, skipped=(*views.skipped, (views.names[0], note)))
        return take_views(views, choose(len(views), **choice))
    batches = [each.get_components().images if hasattr(each, "get_components") else each for each in images]
    singles = [view for batch in batches for view in (batch if batch.ndim == 4 else [batch])]
    use = usable_masks(masks)
    if use is not None:
        use = [mask for batch in use for mask in (batch if batch.ndim == 3 else [batch])]
        use = use * len(singles) if len(use) == 1 else use
        if len(use) != len(singles):
            raise ValueError(
                f"{len(use)} masks were given for {len(singles)} images: give one for each, one for all, or none."
            )
    chosen = choose(len(singles), **choice)
    use = None if use is None else [use[index] for index in chosen]
    return collect_images([singles[index] for index in chosen], masks=use, model=loaded, **size)


def usable_masks(masks: list[Tensor] | None) -> list[Tensor] | None:
    """None where no mask says anything, as the empty ones that ComfyUI makes for images without transparency."""
    if not masks or all(tuple(mask.shape[-2:]) == EMPTY_MASK and not mask.any() for mask in masks):
        return None
    return masks
