"""Time and memory of work on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Cost:
    """Median seconds of a call, and the most memory it had in use beside what was there before."""

    seconds: float
    memory_bytes: int | None


def cost_of(work: Callable[[], object], device: torch.device, repeats: int = 10, warm_up: int = 2) -> Cost:
    """Run `work` a few times and time it, by device events on a GPU."""
    for _ in range(warm_up):
        work()
    if device.type != "cuda":
        return Cost(statistics.median(_wall_seconds(work) for _ in range(repeats)), None)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    marks = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(repeats)]
    for start, end in marks:
        start.record()
        work()
        end.record()
    torch.cuda.synchronize(device)
    seconds = statistics.median(start.elapsed_time(end) for start, end in marks) / 1000
    return Cost(seconds, torch.cuda.max_memory_allocated(device) - before)


def _wall_seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
