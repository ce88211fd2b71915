"""What comes some frames at a time, put together where it is wanted, and brought back from there."""

from collections.abc import Sequence

import torch
from torch import Tensor


def brought(x: Tensor, device: torch.device) -> Tensor:
    """x on a device. From the CPU to a GPU it goes through page-locked memory, and nothing waits for it."""
    if x.device.type == "cpu" and device.type == "cuda":
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


class Gathered:
    """Maps of all frames, written into place as they come.

    total: frames of all scenes. device: where the results are to lie; None: where they are made. From a GPU to the CPU
    they go through a page-locked buffer of the size of one part, so that the next part is computed meanwhile; what
    stays is ordinary memory.
    """

    def __init__(self, total: int, device: str | torch.device | None = None) -> None:
        self.total = total
        self.device = None if device is None else torch.device(device)
        self.done = 0
        self.whole: list[Tensor] = []
        self.parts: list[tuple[Tensor, ...]] = []  # with gradients nothing can be written into place
        self.buffers: list[Tensor] = []
        self.waiting: tuple[slice, torch.cuda.Event] | None = None  # what the buffers hold, and when it is there

    def add(self, tensors: Sequence[Tensor]) -> None:
        """The next frames of every result, (n, ...) each."""
        if torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
            self.parts.append(tuple(x if self.device is None else x.to(self.device) for x in tensors))
            return
        if not self.whole:
            self.whole = [x.new_empty((self.total, *x.shape[1:]), device=self.device or x.device) for x in tensors]
        place = slice(self.done, self.done + tensors[0].shape[0])
        self.done = place.stop
        if tensors[0].is_cuda and self.whole[0].device.type == "cpu":
            self._through_buffers(place, tensors)
            return
        for whole, x in zip(self.whole, tensors, strict=True):
            whole[place].copy_(x)

    def all(self) -> tuple[Tensor, ...]:
        """Every result for all frames."""
        if self.parts:
            return tuple(torch.cat(parts) for parts in zip(*self.parts, strict=True))
        self._empty_buffers()
        return tuple(self.whole)

    def _through_buffers(self, place: slice, tensors: Sequence[Tensor]) -> None:
        self._empty_buffers()
        if not self.buffers:
            self.buffers = [torch.empty(x.shape, dtype=x.dtype, pin_memory=True) for x in tensors]
        for buffer, x in zip(self.buffers, tensors, strict=True):
            buffer[: x.shape[0]].copy_(x, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(tensors[0].device))
        self.waiting = (place, event)

    def _empty_buffers(self) -> None:
        if self.waiting is None:
            return
        place, event = self.waiting
        event.synchronize()
        for whole, buffer in zip(self.whole, self.buffers, strict=True):
            whole[place].copy_(buffer[: place.stop - place.start])
        self.waiting = None
