"""Where the time of a pass goes: encoder, frame attention, global attention, heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...models.attention import GlobalAttention
from ...models.checkpoints import LoadedModel
from ..methods.manyview import exact_float32
from ..methods.method import measured
from ..speed.part_clock import HEADS, part_clock

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
    options = loaded.network.options()
    runs, peak, density = [], None, 1.0
    for repeat in range(repeats + 1):
        with exact_float32(device), measured(device) as whole, part_clock(loaded.model, device) as clock:
            output = loaded.model(images, global_attention=attention, progress=clock, **options)
            seconds = clock.seconds()
        if output.density is not None:
            density = float(output.density.mean())
        del output
        if repeat:  # the first one warms up
            runs.append(by_part(seconds) | {"total": sum(seconds.values())})
            peak = whole.peak_memory_bytes
    middle = sorted(runs, key=lambda run: run["total"])[(len(runs) - 1) // 2]
    return PassTime(frames, {part: middle.get(part, 0.0) for part in (*PARTS, "total")}, peak, density)


def by_part(seconds: Mapping[str, float]) -> dict[str, float]:
    """With all heads together."""
    found = {part: taken for part, taken in seconds.items() if part not in HEADS}
    return found | {"heads": sum(seconds.get(part, 0.0) for part in HEADS)}
