"""Seconds, parts and memory of whole forward passes, against the number of frames."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...models.packages import first_line
from ...texts.memory import is_out_of_memory
from ..methods.method import measured
from .contenders import Contender
from .part_clock import part_clock
from .roofline import Peak, Work

WARM_UP = 1  # passes of every shape before those that count
Row = dict[str, Any]
Known = Callable[[Row], Row | None]
References = dict[tuple[int, ...], Tensor]  # depth of the first contender, by shape


@dataclass(frozen=True)
class Plan:
    """What is measured of every contender.

    sizes: (H, W) pixels. Passes are repeated up to `repeats` times, and no longer once they took `limit_s` together;
    an input is left out if the next shorter one took more than `limit_s` a pass. parts: one more pass, with hooks, for
    inputs that take no longer than that.
    peak: of the device, None if unknown.
    """

    frames: Sequence[int]
    sizes: Sequence[tuple[int, int]]
    repeats: int = 3
    limit_s: float = 60.0
    parts: bool = True
    peak: Peak | None = None


@dataclass(frozen=True)
class Maker:
    """A name, and how to get the contender; public code may fail to be built."""

    name: str
    make: Callable[[], Contender]


def measure_forward(
    makers: Sequence[Maker], plan: Plan, device: torch.device, progress: Any = None, known: Known = lambda row: None
) -> Iterator[Row]:
    """A row for each contender, size and number of frames; one that failed or was left out says why.

    Contenders are made one after the other, and each is let go before the next. `known` may have a row already, told by
    method, frames, height and width; that one is not measured again.
    """
    total = len(makers) * len(plan.sizes) * len(plan.frames)
    references: References = {}
    for number, maker in enumerate(makers):
        for place, row in enumerate(measure_contender(maker, plan, device, references, known)):
            if progress is not None:
                progress("forward", number * len(plan.sizes) * len(plan.frames) + place + 1, total)
            yield row
        release(device)


def measure_contender(
    maker: Maker, plan: Plan, device: torch.device, references: References, known: Known
) -> Iterator[Row]:
    """The rows of one contender, which is made only if there is something to measure."""
    shapes = [(size, frames) for size in plan.sizes for frames in sorted(plan.frames)]
    found = [known(place(maker.name, frames, size)) for size, frames in shapes]
    if None not in found:
        yield from found
        return
    try:
        contender = maker.make()
    except Exception as error:  # public code that cannot be had: the others are still worth measuring
        yield {"method": maker.name, "error": sentence(error)}
        return
    for size in plan.sizes:
        yield from measure_size(contender, size, plan, device, references, known)


def measure_size(
    contender: Contender,
    size: tuple[int, int],
    plan: Plan,
    device: torch.device,
    references: References,
    known: Known,
) -> Iterator[Row]:
    """The rows of one contender at one size, short inputs first."""
    rows: list[Row] = []
    why = None
    for frames in sorted(plan.frames):
        row = place(contender.name, frames, size)
        already = known(row)
        if already is not None:
            row = dict(already)
        else:
            row |= contender.about() | {"estimate_bytes": contender.estimate_bytes(frames, *size)}
            row |= {"error": f"not run: {why}"} if why else attempt(contender, frames, size, plan, device, references)
            if contender.is_dense and "error" in row:
                row |= extrapolated(rows, frames)
        rows.append(row)
        yield row
        why = why or reason_to_stop(row, plan.limit_s)


def place(method: str, frames: int, size: tuple[int, int]) -> Row:
    """What tells the rows of one run apart."""
    return {"method": method, "frames": frames, "height": size[0], "width": size[1]}


def reason_to_stop(row: Row, limit_s: float) -> str | None:
    """Why longer inputs than this row's are not worth a try."""
    if "error" in row:
        return f"{row['frames']} frames: {row['error']}"
    if row["seconds"] > limit_s:
        return f"{row['frames']} frames took {row['seconds']:.1f} s, more than the limit of {limit_s:g} s"
    return None


def attempt(
    contender: Contender,
    frames: int,
    size: tuple[int, int],
    plan: Plan,
    device: torch.device,
    references: References,
) -> Row:
    """The measured part of a row, or its error."""
    release(device)
    try:
        return measure(contender, frames, size, plan, device, references)
    except Exception as error:  # one row of many: the others are still worth measuring
        found = {"error": "out of memory" if is_out_of_memory(error) else sentence(error)}
    release(device)
    return found


@torch.inference_mode()
def measure(
    contender: Contender,
    frames: int,
    size: tuple[int, int],
    plan: Plan,
    device: torch.device,
    references: References,
) -> Row:
    """One number of frames: the first pass, the median of the repeats, memory, parts."""
    weights = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    images = noise(frames, size, device)
    if contender.offload:
        images = images.cpu()
    with measured(device) as first:
        output = contender.run(images)
    density = contender.density(output)
    row: Row = {"first_seconds": first.seconds, "density": density, "backend": contender.backend()}
    if frames == min(plan.frames):
        row |= difference(contender.depth(output), references)
    del output
    passes, peaks = [], []
    while len(passes) < plan.repeats and sum(passes) <= plan.limit_s:
        with measured(device) as clock:
            output = contender.run(images)
        del output
        passes.append(clock.seconds)
        peaks.append(clock.peak_memory_bytes)
    row |= {"seconds": statistics.median(passes), "warm_up": WARM_UP, "repeats": len(passes), "all_seconds": passes}
    row["memory_bytes"] = max(peaks) - weights if device.type == "cuda" else None
    work = contender.work(frames, *size, 1.0 if density is None else density)
    if work and plan.peak is not None:
        row["least_seconds"] = sum(map(plan.peak.seconds, work.values()))
    if plan.parts and row["seconds"] <= plan.limit_s:
        row |= measure_parts(contender, images, device, work, plan.peak)
    return row


def measure_parts(
    contender: Contender, images: Tensor, device: torch.device, work: Mapping[str, Work], peak: Peak | None
) -> Row:
    """Seconds of the parts beside their roofline, from a pass of its own; the row stays if that one fails."""
    try:
        with part_clock(contender.model, device) as clock:
            output = contender.run(images, clock)
            seconds = clock.seconds()
        del output
    except Exception as error:
        return {"parts_error": "out of memory" if is_out_of_memory(error) else sentence(error)}
    parts = {part: with_roofline(taken, work.get(part), peak) for part, taken in seconds.items()}
    return {"parts_pass_seconds": sum(seconds.values()), "parts": parts}


def with_roofline(seconds: float, work: Work | None, peak: Peak | None) -> Row:
    """A part's time beside the least that it could take; share_of_peak is that least time over the time taken."""
    found: Row = {"seconds": seconds}
    if work is not None:
        found |= {"flop": work.flop, "bytes": work.bytes}
        if peak is not None:
            least = peak.seconds(work)
            found |= {"least_seconds": least, "share_of_peak": least / seconds if seconds else None}
    return found


def noise(frames: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """Images (N, 3, H, W) in [0, 1], the same for all contenders."""
    random = torch.Generator(device).manual_seed(0)
    return torch.rand(frames, 3, *size, device=device, generator=random)


def difference(depth: Tensor | None, references: References) -> Row:
    """How far this depth is from that of the first contender, relative to the latter; nothing without depth."""
    if depth is None:
        return {}
    depth = depth.float().cpu()
    first = references.setdefault(tuple(depth.shape), depth)
    return {"depth_difference": float((depth - first).norm() / first.norm())}


def extrapolated(rows: Sequence[Row], frames: int) -> Row:
    """Seconds of dense attention where it was not run: a N + b N^2 through the two longest measured rows."""
    known = [row for row in rows if "seconds" in row][-2:]
    if len(known) < 2:
        return {}
    (n, t), (m, u) = ((row["frames"], row["seconds"]) for row in known)
    square = (u / m - t / n) / (m - n)
    if square <= 0:  # too short to show it
        return {}
    line = t / n - square * n
    if line < 0:
        line, square = 0.0, u / m**2
    return {"extrapolated_seconds": line * frames + square * frames**2, "extrapolated_from_frames": [n, m]}


def sentence(error: BaseException) -> str:
    """The first line of an error."""
    return first_line(error)[:300]


def release(device: torch.device) -> None:
    """Give back what is not used any more; public code may hold itself in cycles."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
