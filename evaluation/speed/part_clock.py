"""Where the time of one pass goes, read off marks: hooks on modules, and what the model says about its progress."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...models.attention import GlobalAttention, TokenLayout
from ..methods.method import synchronise

STAGES = ("encoder", "camera", "depth", "points", "tracks")  # stages of `progress` that are parts themselves
LAYERS = ("aggregator", "decoder")  # stages in which frame and global blocks take turns
REST = "rest"  # what lies between the parts: copies, tokens that wait for the heads
HEADS = ("camera", "depth", "points", "tracks", "confidence")
HEAD_MODULES = {
    "camera_head": "camera",
    "camera_decoder": "camera",
    "depth_head": "depth",
    "point_head": "points",
    "point_decoder": "points",
    "conf_head": "confidence",
    "conf_decoder": "confidence",
    "track_head": "tracks",
}


class PartClock:
    """Every moment of a pass belongs to one part: the innermost module that is running, else the stage.

    The times are exclusive, so they add up to the whole. On a GPU moments are events, and nothing waits for them. It is
    a progress callback too: where the blocks of the model are not called as modules (compiled, fused), the stages that
    the model reports tell frame from global blocks.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.marks: list[tuple[Any, str]] = []  # (moment, the part that begins)
        self.inside: list[str] = []
        self.stage = REST

    def __call__(self, stage: str, done: int, total: int) -> None:
        """A model's progress."""
        if stage in LAYERS:
            stage = "between global" if done % 2 else "between frame"
        elif stage not in STAGES:
            stage = REST
        self.stage = stage
        self.mark()

    def enter(self, part: str) -> None:
        self.inside.append(part)
        self.mark()

    def leave(self) -> None:
        self.inside.pop()
        self.mark()

    def mark(self) -> None:
        """Note the moment, if another part begins with it."""
        part = self.inside[-1] if self.inside else self.stage
        if not self.marks or self.marks[-1][1] != part:
            self.marks.append((self.now(), part))

    def now(self) -> Any:
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            return event
        synchronise(self.device)
        return time.perf_counter()

    def seconds(self) -> dict[str, float]:
        """Seconds of each part, from the first mark until now."""
        end = self.now()
        synchronise(self.device)
        moments = [*(moment for moment, _ in self.marks), end]
        found: dict[str, float] = defaultdict(float)
        for (_, part), start, stop in zip(self.marks, moments[:-1], moments[1:], strict=True):
            found[part] += start.elapsed_time(stop) / 1000 if self.device.type == "cuda" else stop - start
        hooked = "frame" in found
        for part in ("frame", "global"):
            if between := found.pop(f"between {part}", 0.0):
                found[REST if hooked else part] += between
        return dict(found)


class TimedAttention:
    """A GlobalAttention whose own time is the part "attention"; everything else is asked of the one inside."""

    def __init__(self, attention: GlobalAttention, clock: PartClock) -> None:
        self._attention, self._clock = attention, clock

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        self._clock.enter("attention")
        result = self._attention(query, key, value, layout, layer)
        self._clock.leave()
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._attention, name)


@contextmanager
def part_clock(model: nn.Module, device: torch.device) -> Iterator[PartClock]:
    """A running clock on the parts of a VGGT or Pi3, ours or the public one, inside the block only."""
    clock, hooks = PartClock(device), []
    for part, modules in model_parts(model).items():
        for module in modules:
            hooks.append(module.register_forward_pre_hook(lambda *_, part=part: clock.enter(part)))
            hooks.append(module.register_forward_hook(lambda *_: clock.leave()))
    clock.mark()
    try:
        yield clock
    finally:
        for hook in hooks:
            hook.remove()


def model_parts(model: nn.Module) -> Mapping[str, Sequence[nn.Module]]:
    """The modules of each part, told by the names that published weights have too.

    All modules inside a head belong to it, so that work which is done early, while layers still run, counts as the
    head's.
    """
    if hasattr(model, "parts"):
        return model.parts()
    aggregator = getattr(model, "aggregator", None)
    if aggregator is not None:
        found = {
            "encoder": [aggregator.patch_embed],
            "frame": list(aggregator.frame_blocks),
            "global": list(aggregator.global_blocks),
        }
    else:
        decoder = list(model.decoder)
        found = {"encoder": [model.encoder], "frame": decoder[::2], "global": decoder[1::2]}
    for name, part in HEAD_MODULES.items():
        head = getattr(model, name, None)
        if head is not None:
            found.setdefault(part, []).extend(head.modules())
    return found
