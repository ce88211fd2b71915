"""Where the time of a pass goes: encoder, frame attention, global attention, heads."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from ...models.attention import GlobalAttention
from ...models.checkpoints import LoadedModel
from ...models.pi3 import Pi3
from ...models.vggt import VGGT
from ..methods.manyview import exact_float32
from ..methods.method import measured, synchronise
from .dropping import global_blocks

PARTS = ("encoder", "frame", "global", "heads", "rest")


@dataclass(frozen=True)
class PassTime:
    """Seconds of each part of one pass, that of the repeats whose total is the median; peak memory on a GPU."""

    frames: int
    seconds: dict[str, float]  # by part, and "total"
    peak_memory_bytes: int | None
    density: float


def time_passes(
    loaded: LoadedModel,
    frames: Sequence[int],
    size: tuple[int, int],
    attention: GlobalAttention | None = None,
    repeats: int = 3,
    progress: Any = None,
) -> list[PassTime]:
    """A time for each number of frames, of noise images of `size` (H, W), after one pass to warm up.

    Running out of memory ends the list: longer inputs would too.
    """
    found = []
    for done, count in enumerate(frames):
        if progress is not None:
            progress("time", done, len(frames))
        try:
            found.append(time_pass(loaded, count, size, attention, repeats))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
    return found


@torch.inference_mode()
def time_pass(
    loaded: LoadedModel, frames: int, size: tuple[int, int], attention: GlobalAttention | None, repeats: int
) -> PassTime:
    """One number of frames."""
    device = next(loaded.model.parameters()).device
    images = torch.rand(frames, 3, *size, device=device, generator=torch.Generator(device).manual_seed(0))
    options: dict[str, Any] = {"outputs": ("camera", "depth")} if loaded.family == "vggt" else {}
    runs, peak, density = [], None, 1.0
    for repeat in range(repeats + 1):
        with exact_float32(device), part_clock(loaded.model, device) as clock, measured(device) as whole:
            output = loaded.model(images, global_attention=attention, **options)
        if output.density is not None:
            density = float(output.density.mean())
        del output
        if repeat:  # the first one warms up
            parts = clock.seconds()
            parts["rest"] = max(0.0, whole.seconds - sum(parts.values()))
            runs.append(parts | {"total": whole.seconds})
            peak = whole.peak_memory_bytes
    middle = sorted(runs, key=lambda run: run["total"])[(len(runs) - 1) // 2]
    return PassTime(frames, {part: middle.get(part, 0.0) for part in (*PARTS, "total")}, peak, density)


class PartClock:
    """Times of the parts of a pass; on a GPU by events, so that nothing waits."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.spans: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self.started: dict[str, Any] = {}

    def start(self, part: str, *_: Any) -> None:
        self.started[part] = self.now()

    def stop(self, part: str, *_: Any) -> None:
        self.spans[part].append((self.started.pop(part), self.now()))

    def now(self) -> Any:
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            return event
        synchronise(self.device)
        return time.perf_counter()

    def seconds(self) -> dict[str, float]:
        """Seconds of each part."""
        synchronise(self.device)
        gpu = self.device.type == "cuda"
        return {
            part: sum(a.elapsed_time(b) / 1000 if gpu else b - a for a, b in spans)
            for part, spans in self.spans.items()
        }


@contextmanager
def part_clock(model: VGGT | Pi3, device: torch.device) -> Iterator[PartClock]:
    """A clock on the model's parts, inside the block only."""
    clock, hooks = PartClock(device), []
    for part, modules in model_parts(model).items():
        for module in modules:
            hooks.append(module.register_forward_pre_hook(partial(clock.start, part)))
            hooks.append(module.register_forward_hook(partial(clock.stop, part)))
    try:
        yield clock
    finally:
        for hook in hooks:
            hook.remove()


def model_parts(model: VGGT | Pi3) -> dict[str, list[nn.Module]]:
    """The modules of each part; blocks count with their MLPs."""
    if isinstance(model, VGGT):
        heads = [head for head in (model.camera_head, model.depth_head, model.point_head) if head is not None]
        frame, encoder = list(model.aggregator.frame_blocks), [model.aggregator.patch_embed]
    else:
        heads = [model.point_decoder, model.conf_decoder, model.camera_decoder]
        heads += [model.point_head, model.conf_head, model.camera_head]
        frame, encoder = list(model.decoder)[::2], [model.encoder]
    return {"encoder": encoder, "frame": frame, "global": global_blocks(model), "heads": heads}
