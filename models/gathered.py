"""Results that come some frames at a time, put together where they are wanted."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Gathered:
    """Maps of all frames, written into place as they come.

    total: frames of all scenes. device: where the results are to lie; None: where they are made. Copies from a GPU to
    the CPU go through page-locked memory, so that the next frames are computed meanwhile.
    """

    def __init__(self, total: int, device: str | torch.device | None = None) -> None:
        self.total = total
        self.device = None if device is None else torch.device(device)
        self.done = 0
        self.whole: list[Tensor] = []
        self.parts: list[tuple[Tensor, ...]] = []  # with gradients nothing can be written into place

    def add(self, tensors: Sequence[Tensor]) -> None:
        """The next frames of every result, (n, ...) each."""
        if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
            self.parts.append(tuple(x if self.device is None else x.to(self.device) for x in tensors))
            return
        if not self.whole:
            self.whole = [self._room(x) for x in tensors]
        end = self.done + tensors[0].shape[0]
        for whole, x in zip(self.whole, tensors, strict=True):
            whole[self.done : end].copy_(x, non_blocking=True)
        self.done = end

    def all(self) -> tuple[Tensor, ...]:
        """Every result for all frames, once the copies are complete."""
        if self.parts:
            return tuple(torch.cat(parts) for parts in zip(*self.parts, strict=True))
        if any(x.device.type == "cpu" and x.is_pinned() for x in self.whole):
            torch.cuda.synchronize()
        return tuple(self.whole)

    def _room(self, x: Tensor) -> Tensor:
        device = self.device or x.device
        pinned = device.type == "cpu" and x.is_cuda
        return torch.empty((self.total, *x.shape[1:]), dtype=x.dtype, device=device, pin_memory=pinned)
