"""The host of one visitor's graphs: folders of their own, models that all share, the job that is running."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import torch

from ..nodes.graph.host import IMAGE_BYTES, FolderHost
from .jobs import Job

DISK_BYTES = 20 * 10**9  # of all files of a visitor
FREE_BYTES = 10**9  # of the disk; with less, no work goes on
LOOK_S = 0.5  # between two looks at the disk


class SessionHost(FolderHost):
    """Folders below `base`; progress, pictures and cancelling are those of `job`; too many files are a ValueError."""

    def __init__(
        self,
        base: Path,
        model_folder: Path,
        device: torch.device,
        *,
        most_image_bytes: int = IMAGE_BYTES,
        most_disk_bytes: int = DISK_BYTES,
    ) -> None:
        super().__init__(base, device, model_folder=model_folder, most_image_bytes=most_image_bytes)
        self.job: Job | None = None
        self.most_disk_bytes = most_disk_bytes
        self._looked = 0.0

    def progress(self, stage: str, done: int, total: int) -> None:
        self._check_disk()
        if self.job is not None:
            self.job.progress(stage, done, total)

    def show(self, picture: np.ndarray) -> None:
        if self.job is not None:
            self.job.show(picture)

    def check_cancelled(self) -> None:
        self._check_disk()
        if self.job is not None:
            self.job.check()

    def _check_disk(self) -> None:
        """Look at the disk now and then."""
        if self.job is None or time.monotonic() - self._looked < LOOK_S:
            return
        if shutil.disk_usage(self.base).free < FREE_BYTES:
            raise ValueError("The disk of this demo is nearly full; nothing more can be written.")
        used = bytes_below(self.base)
        if used > self.most_disk_bytes:
            raise ValueError(
                f"Your files have {used / 1e9:.1f} GB; at most {self.most_disk_bytes / 1e9:g} GB can be used here. "
                "Write fewer, or take photos away."
            )
        self._looked = time.monotonic()


def bytes_below(folder: Path) -> int:
    """What the files of a folder take, those that have two names counted once."""
    sizes: dict[tuple[int, int], int] = {}
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                state = os.stat(os.path.join(where, name), follow_symlinks=False)
            except FileNotFoundError:  # deleted a moment ago
                continue
            sizes[(state.st_dev, state.st_ino)] = state.st_size
    return sum(sizes.values())
