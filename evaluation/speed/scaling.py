"""One scene on several GPUs: time, communication and memory, and whether the output is that of one GPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ...models.attention import GlobalAttention, dense_attention
from ...models.checkpoints import LoadedModel
from ...models.parallel import FrameParallel
from ...models.sparse import BlockSparse, SparsityConfig
from ..methods.manyview import exact_float32
from ..methods.method import synchronise


class TimedParallel(FrameParallel):
    """Notes how long collectives take, with the wait for slower GPUs, and how many bytes leave this one."""

    def __init__(self, frames: int, device: torch.device) -> None:
        super().__init__(frames)
        self.device = device
        self.spans: list[tuple[Any, Any]] = []
        self.sent_bytes = 0

    def exchange(self, x: Tensor, sent: list[int], received: list[int]) -> Tensor:
        leaving = sum(sent) - sent[self.rank]
        self.sent_bytes += leaving * x[0].numel() * x.element_size()
        with self.timed():
            return super().exchange(x, sent, received)

    def add_up(self, x: Tensor) -> Tensor:
        with self.timed():
            return super().add_up(x)

    def _all(self, x: Tensor) -> list[Tensor]:
        with self.timed():
            return super()._all(x)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Mark the begin and the end of the block, by events on a GPU so that nothing waits."""
        started = self.now()
        yield
        self.spans.append((started, self.now()))

    def now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        """Of all collectives so far; the device is synchronised."""
        synchronise(self.device)
        if self.device.type == "cuda":
            return sum(start.elapsed_time(end) for start, end in self.spans) / 1000
        return sum(end - start for start, end in self.spans)


@torch.inference_mode()
def measure_pass(
    loaded: LoadedModel,
    frames: int,
    size: tuple[int, int],
    config: SparsityConfig | None,
    device: torch.device,
    repeats: int,
    warm_up: int,
) -> dict[str, Any]:
    """Seconds of passes over noise images (frames, 3, *size), each that of the slowest GPU; called on every GPU.

    The images are on the GPUs before, and the output of a pass stays there; bringing it to the first GPU's host is
    timed apart. Communication is that of the GPU with the least, which waited for none.
    """
    parallel = TimedParallel(frames, device) if dist.is_initialized() else None
    images = noise(frames, size, device, parallel)
    attend = attention_of(config)
    seconds, talks = [], []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for repeat in range(warm_up + repeats):
        output = None
        if parallel is not None:
            parallel.largest(0)  # all begin together
            parallel.spans, parallel.sent_bytes = [], 0
        synchronise(device)
        started = time.perf_counter()
        output = loaded.model(images, global_attention=attend, parallel=parallel, **options(loaded))
        synchronise(device)
        if repeat >= warm_up:
            seconds.append(time.perf_counter() - started)
            talks.append(0.0 if parallel is None else parallel.seconds())
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    sent = 0 if parallel is None else parallel.sent_bytes
    density = 1.0 if output.density is None else float(output.density.mean())
    started = time.perf_counter()
    to_host(output, parallel)
    own = {"seconds": seconds, "talks": talks, "peak": peak, "gather": time.perf_counter() - started}
    found = everyone(own)
    return {
        "frames": frames,
        "seconds": statistics.median(max(each) for each in zip(*(one["seconds"] for one in found), strict=True)),
        "all_seconds": [one["seconds"] for one in found],
        "communication_seconds": statistics.median(min(e) for e in zip(*(one["talks"] for one in found), strict=True)),
        "all_communication_seconds": [one["talks"] for one in found],
        "sent_bytes": sent,
        "to_host_seconds": found[0]["gather"],
        "peak_memory_bytes": [one["peak"] for one in found],
        "density": density,
    }


@torch.inference_mode()
def agreement(
    loaded: LoadedModel, frames: int, size: tuple[int, int], config: SparsityConfig | None, device: torch.device
) -> dict[str, Any] | None:
    """Largest differences of the output of several GPUs to that of one, over the largest number; None but on the first.

    `other_seed` is the same figure for other images: what it would be if the outputs had nothing in common.
    """
    parallel = FrameParallel(frames)
    attend = attention_of(config)
    with exact_float32(device):
        split = parallel.gather(
            loaded.model(noise(frames, size, device, parallel), global_attention=attend, parallel=parallel,
                         **options(loaded))
        )  # fmt: skip
        if split is None:
            return None
        whole, other = (
            loaded.model(noise(frames, size, device, seed=seed), global_attention=attend, **options(loaded))
            for seed in (0, 1)
        )
    density = {} if whole.density is None else {"same_density": bool(torch.equal(split.density, whole.density.cpu()))}
    return {
        "frames": frames,
        "difference": differences(split, whole),
        "other_seed": differences(other, whole),
        **density,
    }


def differences(output: Any, whole: Any) -> dict[str, float]:
    """For each field the largest difference, over the largest number."""
    pairs = {name: (getattr(output, name), value) for name, value in vars(whole).items() if value is not None}
    return {
        name: float((a.double().cpu() - b.double().cpu()).abs().max() / b.double().abs().max())
        for name, (a, b) in pairs.items()
    }


def attention_of(config: SparsityConfig | None) -> GlobalAttention:
    return dense_attention if config is None else BlockSparse(config)


def options(loaded: LoadedModel) -> dict[str, Sequence[str]]:
    """What is asked of the model."""
    return loaded.network.options()


def noise(
    frames: int, size: tuple[int, int], device: torch.device, parallel: FrameParallel | None = None, seed: int = 0
) -> Tensor:
    """Images (1, n, 3, *size) of this GPU, each from a seed of its own, so that any split has the same."""
    first, count = (0, frames) if parallel is None else (parallel.start, parallel.count)
    images = torch.empty(1, count, 3, *size, device=device)
    generator = torch.Generator(device)
    for number in range(count):
        generator.manual_seed(100_003 * seed + first + number)
        images[0, number].uniform_(generator=generator)
    return images


def to_host(output: Any, parallel: FrameParallel | None) -> None:
    """All of an output to the host of the first GPU."""
    if parallel is not None:
        parallel.gather(output)
        return
    for value in vars(output).values():
        if value is not None:
            value.cpu()


def everyone(own: Any) -> list[Any]:
    """What each process has, in their order."""
    if not dist.is_initialized():
        return [own]
    found = [None] * dist.get_world_size()
    dist.all_gather_object(found, own)
    return found
