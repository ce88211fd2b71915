"""The host of one visitor's graphs: folders of their own, models that all share, the job that is running."""

from pathlib import Path

import numpy as np
import torch

from ..nodes.graph.host import FolderHost
from .jobs import Job


class SessionHost(FolderHost):
    """Folders below `base`; progress, pictures and cancelling are those of `job`."""

    def __init__(self, base: Path, model_folder: Path, device: torch.device) -> None:
        super().__init__(base, device, model_folder=model_folder)
        self.job: Job | None = None

    def progress(self, stage: str, done: int, total: int) -> None:
        if self.job is not None:
            self.job.progress(stage, done, total)

    def show(self, picture: np.ndarray) -> None:
        if self.job is not None:
            self.job.show(picture)

    def check_cancelled(self) -> None:
        if self.job is not None:
            self.job.check()
