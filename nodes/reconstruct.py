"""Images and a model -> one Reconstruction: the main path of ManyView."""

import logging
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from ..models.attention import dense_attention
from ..models.checkpoints import LoadedModel
from ..models.networks import Workload
from ..models.parallel import FrameParallel
from ..models.progress import Progress
from ..models.sparse import BlockSparse, SparsityConfig, parse_layers
from ..scene.images import ImageSet
from ..scene.pixels import to_pixels
from ..scene.reconstruction import Reconstruction
from .depth_preview import Show, depth_previews
from .interrupt import Check, by_heads, interruptible
from .load_images import Source, for_model, load_images
from .memory import fitted, free_bytes_on, gib, run_fitting, usable
from .parameters import documented
from .stage_clock import StageClock

logger = logging.getLogger(__name__)


@documented
def reconstruct(
    model: LoadedModel,
    images: ImageSet | Source,
    *,
    sparsity: SparsityConfig | None = None,
    point_source: str = "auto",
    frame_chunk: int = 8,
    backend: str = "auto",
    skip_masked: bool = False,
    free_bytes: int | None = None,
    parallel: FrameParallel | None = None,
    progress: Progress | None = None,
    check: Check | None = None,
    show: Show | None = None,
) -> Reconstruction | None:
    """Cameras, depth, confidence and points of all images together.

    images: what `load_images` gives, or anything that it takes: a folder, files, a video, arrays.
    sparsity: what `nodes.sparsity.sparsity` gives; None leaves the model's own attention. The result carries the
    seconds of every stage, the peak memory, the density of each layer and head and the settings that led to it.
    free_bytes: how much memory the run may take beside the weights; None: what is free on a GPU, elsewhere anything.
    Where an estimate says that this is too little, and once more where memory runs out, there are fewer frames at a
    time, and what VGGT's dense heads will read waits on the CPU; that takes longer, and gives the same.
    parallel: splits the scene over several GPUs; then every process gives the same images, and only the first one gets
    the result, the others None.
    check: called before every layer computes, more often than `progress`; raising in it stops the work at once.
    show: gets pictures of depth as soon as there are some.
    """
    point_source = model.network.check_point_source(point_source)
    if isinstance(images, ImageSet):
        images = for_model(images, model, progress=progress)
    else:
        images = load_images(images, model=model, progress=progress)
    if frame_chunk < 1:
        raise ValueError(f"frame_chunk must be at least 1, got {frame_chunk}.")
    if parallel is not None and (check is not None or show is not None):
        raise ValueError("Several GPUs work without check and show; leave them out or use one GPU.")
    attention = None
    if sparsity is not None:
        masks = patch_masks(images, model) if skip_masked else None
        attention = BlockSparse(sparsity, backend, masks)
    attend = attention
    weight = next(model.model.parameters())
    if check is not None and weight.device.type == "cpu" and not settings_by_head(sparsity):
        attend = by_heads(attention or dense_attention, check)
    if sparsity is not None:
        parse_layers(sparsity.dense_layers, model.network.global_layers)
    clock = StageClock(weight.device, progress)
    load = load_of(images, sparsity, frame_chunk, point_source)
    if parallel is not None:
        load = replace(load, frames=parallel.count)
    ways = ways_to_run(model, load, free_bytes, again=parallel is None)
    with torch.inference_mode():
        own = images.images if parallel is None else parallel.own_frames(images.images, 0)
        pixels = to_pixels(own)  # on the CPU, as are the results: a GPU needs those of a few frames at a time
        options: dict[str, Any] = {"global_attention": attend, "progress": clock, "results": "cpu"}
        if parallel is not None:
            options["parallel"] = parallel
        options |= model.network.options(points=point_source == "points")

        def run(way: Workload) -> Any:
            if weight.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(weight.device)
            elsewhere = {"maps": "cpu"} if way.maps_on_cpu else {}
            return model.model(pixels, frame_chunk=way.frame_chunk, **options, **elsewhere)

        with watched(model, check, show):
            output, way = run_fitting(run, ways)
        peak = peak_memory(weight.device)
        if parallel is not None:
            clock.enter("gather")
            output, peak = parallel.gather(output), parallel.largest(peak)
            if output is None:
                return None
        clock.enter("scene")
        weights = None if images.masks is None else torch.from_numpy(images.masks)
        prediction = model.network.prediction(output, tuple(images.images.shape[1:3]), weights)
        del output
        result = Reconstruction.from_prediction(
            prediction,
            images,
            model=model.name,
            point_source=point_source,
            settings={
                "point_source": point_source,
                "frame_chunk": way.frame_chunk,
                "maps_on_cpu": way.maps_on_cpu,
                "tokens": model.network.tokens(load_of(images, sparsity, frame_chunk, point_source)),
                "precision": str(weight.dtype).removeprefix("torch."),
                "device": str(weight.device),
                "sparsity": None if sparsity is None else sparsity.to_dict(),
                "skip_masked": attention is not None and attention.patch_mask is not None,
                "attention": "dense" if attention is None else attention.backend_report(),
                **({} if parallel is None else {"processes": parallel.ranks}),
            },
        )
    clock.enter(None)
    result.timings = clock.seconds
    result.peak_memory_bytes = max(peak, peak_memory(weight.device))
    return result


def load_of(images: ImageSet, sparsity: SparsityConfig | None, frame_chunk: int, point_source: str | None) -> Workload:
    """What `reconstruct` will have to do with all these images on one device, for the estimate of memory."""
    height, width = images.images.shape[1:3]
    method = "dense" if sparsity is None else sparsity.method
    return Workload(
        len(images),
        height,
        width,
        frame_chunk,
        sparse=method != "dense",
        packs=method == "paper",
        dense_heads=2 if point_source == "points" else 1,
    )


def ways_to_run(model: LoadedModel, load: Workload, free_bytes: int | None, again: bool) -> list[Workload]:
    """How to run it in the memory that is free, and with `again` the leanest way for when the estimate was wrong."""
    if free_bytes is None:
        free_bytes = free_bytes_on(next(model.model.parameters()).device)
    if free_bytes is None:
        return [load]
    way, leanest = fitted(model, load, usable(free_bytes)), fitted(model, load, 0)
    if way != load:
        place = ", what the heads read on the CPU" if way.maps_on_cpu else ""
        logger.info("To fit into %s: %d frames at a time%s.", gib(free_bytes), way.frame_chunk, place)
    return [way, leanest] if again and way != leanest else [way]


def watched(model: LoadedModel, check: Check | None, show: Show | None) -> ExitStack:
    """A context in which the model's work can be stopped and seen."""
    stack = ExitStack()
    if check is not None:
        stack.enter_context(interruptible(model.model, check))
    if show is not None:
        stack.enter_context(depth_previews(model, show))
    return stack


def patch_masks(images: ImageSet, model: LoadedModel) -> torch.Tensor | None:
    """True (N, h, w) for patches with a pixel that masks leave in; None without masks. ValueError if none is left."""
    if images.masks is None:
        return None
    patch = model.network.patch_size
    frames, height, width = images.masks.shape
    masks = torch.from_numpy(images.masks).reshape(frames, height // patch, patch, width // patch, patch)
    found = masks.any(-1).any(2)
    if not found.any():
        raise ValueError("skip_masked leaves nothing to look at: the masks leave out every pixel; white means use.")
    return found


def settings_by_head(sparsity: SparsityConfig | None) -> bool:
    """Whether any layer treats its heads differently."""
    layered = {} if sparsity is None else {**sparsity.layer_rho, **sparsity.layer_tau}
    return any(isinstance(setting, tuple) for setting in layered.values())


def peak_memory(device: torch.device) -> int:
    """Most bytes in use so far: on a GPU by PyTorch since the run began, elsewhere by the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return _peak_working_set()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB


def _peak_working_set() -> int:
    """Windows' counter for this process."""
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = (
            ("size", wintypes.DWORD),
            ("page_faults", wintypes.DWORD),
            ("peak_working_set", ctypes.c_size_t),
            ("others", ctypes.c_size_t * 7),
        )

    counters = Counters()
    counters.size = ctypes.sizeof(Counters)
    process = ctypes.windll.kernel32.GetCurrentProcess
    process.restype = wintypes.HANDLE
    read = ctypes.windll.psapi.GetProcessMemoryInfo
    read.argtypes = (wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD)
    return counters.peak_working_set if read(process(), ctypes.byref(counters), counters.size) else 0
