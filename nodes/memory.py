"""How to run a reconstruction in the memory that there is, by the estimate that a network's adapter gives."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from ..models.checkpoints import LoadedModel
from ..models.networks import Workload
from ..texts.memory import OURS, is_out_of_memory

T = TypeVar("T")
logger = logging.getLogger(__name__)


def most_frames(model: LoadedModel, load: Workload, budget_bytes: int) -> int:
    """How many frames of this size fit into so many bytes; 0 if not one does."""
    return largest_that(lambda n: model.network.activation_bytes(replace(load, frames=n)) <= budget_bytes, load.frames)


def largest_that(fits: Callable[[int], bool], most: int) -> int:
    """The largest of 1..most that fits, where all smaller ones do as well; 0 if not even 1 does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def fitted(model: LoadedModel, load: Workload, budget_bytes: int) -> Workload:
    """The run as it fits into so many bytes, and as fast as it can be then; the leanest where nothing fits.

    First there are a half or a quarter of the frames at a time, then maps wait on the CPU, then it is ever fewer
    frames.
    """
    chunks = [load.frame_chunk, *(load.chunk >> halvings for halvings in range(1, load.chunk.bit_length()))]
    ways = [replace(load, frame_chunk=chunk) for chunk in chunks]
    if model.network.can_move_maps:
        ways = ways[:3] + [replace(load, frame_chunk=chunk, maps_on_cpu=True) for chunk in chunks]
    return next((way for way in ways if model.network.activation_bytes(way) <= budget_bytes), ways[-1])


def free_bytes_on(device: torch.device) -> int | None:
    """What this process may still take of a GPU's memory, what PyTorch holds unused included; None elsewhere."""
    if device.type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def usable(free_bytes: int) -> int:
    """What tensors can take of so much free memory; the rest are gaps between them, as benchmarks found."""
    return free_bytes * 9 // 10


def run_fitting(run: Callable[[Workload], T], ways: Sequence[Workload]) -> tuple[T, Workload]:
    """What `run` gives for the first of these ways for which memory suffices, and that way; the last one may fail."""
    for way in ways[:-1]:
        try:
            return run(way), way
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Out here nothing refers to the failed run any more, so its memory can be given back.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("Memory ran out; starting again in less of it.")
    return run(ways[-1]), ways[-1]


def largest_side(model: LoadedModel, load: Workload, budget_bytes: int) -> int:
    """The longest side in pixels, a multiple of the patch size, at which all frames fit; 0 if none does."""
    patch = model.network.patch_size
    longest = max(load.height, load.width)
    for side in range(longest // patch * patch, 0, -patch):
        height, width = (_scaled(pixels, side / longest, patch) for pixels in (load.height, load.width))
        smaller = replace(load, height=height, width=width)
        if model.network.activation_bytes(smaller) <= budget_bytes:
            return side
    return 0


def _scaled(pixels: int, factor: float, patch: int) -> int:
    return max(patch, round(pixels * factor / patch) * patch)


def out_of_memory_message(model: LoadedModel, load: Workload, free_bytes: int | None) -> str:
    """What to tell somebody whose run did not fit: what was needed, what was there, and settings that would fit."""
    needed = model.network.activation_bytes(load)
    views = f"{load.frames} views of {load.width} x {load.height} pixels"
    text = f"{OURS}{views} need about {gib(needed)} beside the model"
    if free_bytes is None:
        return f"{text}. Use fewer views (limit), a smaller resolution, or frame_chunk 1."
    budget = usable(min(free_bytes, needed))  # it did not fit, whatever the estimate says
    ways = []
    small_chunk = replace(load, frame_chunk=1, maps_on_cpu=model.network.can_move_maps)
    if load.frame_chunk > 1 and model.network.activation_bytes(small_chunk) <= budget:
        ways.append("set frame_chunk to 1")
    if frames := most_frames(model, small_chunk, budget):
        ways.append(f"set limit to {frames}" + (" and frame_chunk to 1" if load.frame_chunk > 1 else ""))
    if side := largest_side(model, small_chunk, budget):
        ways.append(f"set resolution to {side}" + (" and frame_chunk to 1" if load.frame_chunk > 1 else ""))
    advice = ", or ".join(ways) if ways else "use a smaller model, bfloat16 precision, or a card with more memory"
    return f"{text}, and {gib(free_bytes)} were free. What should fit: {advice}."


def gib(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.1f} GiB"
