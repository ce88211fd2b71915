"""Seconds per stage of a long piece of work, read off its progress calls."""

import time

import torch

from ..models.progress import Progress


class StageClock:
    """A progress callback that keeps time and passes every call on.

    The models report a stage before each part of it, so a stage lasts from its first call to the first of the next.
    """

    def __init__(self, device: torch.device, progress: Progress | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._progress = progress
        self._stage: str | None = None
        self._since = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self.enter(stage)
        if self._progress is not None:
            self._progress(stage, done, total)

    def enter(self, stage: str | None) -> None:
        """Book the time so far under the stage that ends here and begin the next one."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._stage is not None:
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now
