"""How many frames fit into so much memory, found by trying with a capped allocator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ...nodes.memory import gib, largest_that, usable
from ...texts.memory import is_out_of_memory
from .contenders import Contender
from .forward import noise, release

CLOSE = 0.02  # two neighbours in frames are near enough if they differ by no more than this share


def measure_capacity(
    contender: Contender,
    sizes: Sequence[tuple[int, int]],
    caps_gib: Sequence[float],
    most: int,
    device: torch.device,
    progress: Any = None,
) -> Iterator[dict[str, Any]]:
    """For each size and cap the largest number of frames that fits, up to `most`, and the tries that found it.

    The cap holds for everything that PyTorch's allocator takes, weights too; what CUDA itself takes (about half a GiB)
    comes on top. It starts at the frames that the estimate gives, and goes to within 2 %.
    """
    require_cuda(device)
    has = torch.cuda.get_device_properties(device).total_memory
    total = len(sizes) * len(caps_gib)
    for number, size in enumerate(sizes):
        least = 0
        for place, cap in enumerate(sorted(caps_gib)):
            if progress is not None:
                progress("memory", number * len(caps_gib) + place, total)
            row = {"method": contender.name, "height": size[0], "width": size[1], "cap_gib": cap}
            row |= {"most_frames": most} | contender.about()
            if cap * 2**30 > has:
                yield row | {"error": f"the device has only {gib(has)}"}
                continue
            release(device)
            weights = torch.cuda.memory_allocated(device)
            expected = largest_estimated(contender, size, usable(int(cap * 2**30) - weights), most)
            tries: dict[int, bool] = {}
            with capped(cap, device):
                found = largest(lambda n, s=size: fits(contender, n, s, device), expected, least, most, tries)
            least = found
            yield row | {
                "frames": found,
                "estimated_frames": expected,
                "weights_bytes": weights,
                "tries": [[frames, good] for frames, good in tries.items()],
            }


def require_cuda(device: torch.device) -> None:
    """ValueError where memory cannot be capped."""
    if device.type != "cuda":
        raise ValueError(
            f"Capping memory needs CUDA, and the device is {device.type}; leave out --memory-caps, or use a GPU."
        )


@contextmanager
def capped(cap_gib: float, device: torch.device) -> Iterator[None]:
    """PyTorch takes no more than so much of the device's memory inside the block."""
    has = torch.cuda.get_device_properties(device).total_memory
    number = torch.cuda.current_device() if device.index is None else device.index
    torch.cuda.set_per_process_memory_fraction(min(1.0, cap_gib * 2**30 / has), number)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, number)


@torch.inference_mode()
def fits(contender: Contender, frames: int, size: tuple[int, int], device: torch.device) -> bool:
    """Whether one pass goes through."""
    good = True
    try:
        images = noise(frames, size, torch.device("cpu") if contender.offload else device)
        contender.run(images)
        torch.cuda.synchronize(device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        good = False
    release(device)
    return good


def largest_estimated(contender: Contender, size: tuple[int, int], budget_bytes: float, most: int) -> int:
    """The largest number of frames that should fit, 0 to `most`, by the estimate; `most` where there is none."""

    def should_fit(frames: int) -> bool:
        needed = contender.estimate_bytes(frames, *size)
        return needed is None or needed <= budget_bytes

    return largest_that(should_fit, most)


def largest(
    good: Callable[[int], bool], start: int, least: int, most: int, tries: dict[int, bool] | None = None
) -> int:
    """The largest number in least..most for which `good` holds, to within 2 %, tried around `start` first.

    `good` holds for `least` without a try, and for all numbers below one for which it holds. `tries` is filled.
    """
    tries = {} if tries is None else tries
    low, high = least, most + 1  # low is good, high is not
    guess, step = min(max(start, least + 1), most), max(1, start // 20)
    while high - low > max(1, int(CLOSE * low)):
        guess = min(max(guess, low + 1), high - 1)
        tries[guess] = good(guess)
        if tries[guess]:
            low, guess = guess, guess + step
        else:
            high, guess = guess, guess - step
        step *= 2
        if low > least and high <= most:  # between two known ones: halve
            guess = (low + high) // 2
    return low
