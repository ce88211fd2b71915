"""Stopping a pass through a network soon after the user asks for it, wherever the pass is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..models.attention import GlobalAttention, TokenLayout
from ..models.layers import Block

Check = Callable[[], None]
"""Raises to stop."""

AHEAD = 2  # blocks that may wait for a GPU: enough to keep it busy, few enough to stop soon


@contextmanager
def interruptible(model: nn.Module, check: Check) -> Iterator[None]:
    """While this is open, `check` is called before each layer of the model computes; what it raises ends the pass.

    A GPU works behind its program, so the program also waits until no more than AHEAD blocks are left to do.
    """
    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    handles = [module.register_forward_pre_hook(lambda *_: check()) for module in leaves]
    weight = next(model.parameters())
    if weight.device.type == "cuda":
        pace = Pace()
        handles += [each.register_forward_hook(lambda *_: pace.step()) for each in model.modules() if _is_block(each)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Pace:
    """Keeps the program at most AHEAD steps before its GPU."""

    def __init__(self) -> None:
        self._events: list[torch.cuda.Event] = []

    def step(self) -> None:
        event = torch.cuda.Event()
        event.record()
        self._events.append(event)
        if len(self._events) > AHEAD:
            self._events.pop(0).synchronize()


def by_heads(attend: GlobalAttention, check: Check) -> GlobalAttention:
    """The same attention, one head after the other with `check` between them; for processors, where that costs nothing.

    Not for settings that differ from head to head: each call sees one head alone.
    """

    def attention(
        query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        out, densities = torch.empty_like(query), []
        for head in range(query.shape[1]):
            check()
            one = slice(head, head + 1)
            out[:, one], density = attend(query[:, one], key[:, one], value[:, one], layout, layer)
            densities.append(density)
        return out, None if densities[0] is None else torch.cat(densities, dim=1)

    return attention


def _is_block(module: nn.Module) -> bool:
    return isinstance(module, Block)
