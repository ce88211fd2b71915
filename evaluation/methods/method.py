"""The seam between benchmarks and models, and the clock that all methods share."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..scene import Prediction


class Method(Protocol):
    """Anything that turns images into cameras and geometry; write one class to have yours measured.

    name: unique in a run, such as "mini dense". baseline: the name of the method that it is compared with, or its own.
    """

    name: str
    baseline: str

    def settings(self) -> dict[str, Any]:
        """What leads to the result, for the report: model, precision, sparsity ... (what JSON can hold)."""

    def predict(self, images: Tensor) -> Prediction:
        """Images (N, 3, H, W) float32 in [0, 1] on the CPU or the device -> cameras, depth, time, memory, density."""


@dataclass
class Measured:
    """Filled when the block ends."""

    seconds: float = float("nan")
    peak_memory_bytes: int | None = None


@contextmanager
def measured(device: torch.device) -> Iterator[Measured]:
    """Seconds and peak GPU memory of the block, with the device synchronised before and after."""
    result = Measured()
    gpu = device.type == "cuda"
    if gpu:
        torch.cuda.reset_peak_memory_stats(device)
    synchronise(device)
    started = time.perf_counter()
    yield result
    synchronise(device)
    result.seconds = time.perf_counter() - started
    result.peak_memory_bytes = torch.cuda.max_memory_allocated(device) if gpu else None


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def load_plugin(text: str) -> Callable[[], Method]:
    """The class that "path/to/file.py:ClassName" names; it is built without arguments."""
    path, _, name = text.rpartition(":")
    if not path or not name.isidentifier():
        raise ValueError(f"A method of your own is given as file.py:ClassName, got {text!r}.")
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; give the Python file of your method.")
    spec = importlib.util.spec_from_file_location(f"manyview_plugin_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, name):
        raise ValueError(f"{file} has no class {name}.")
    return getattr(module, name)
