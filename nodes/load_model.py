"""A model ready to run: known by name or by file, on the right device, in the right number format."""

from pathlib import Path

import torch

from ..models import checkpoints
from ..models.checkpoints import LoadedModel
from ..models.progress import Progress
from .parameters import documented


@documented
def load_model(
    model: str = "mini",
    *,
    precision: str = "auto",
    device: str = "auto",
    download: bool = False,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> LoadedModel:
    """A model ready to run."""
    chosen = choose_device(device)
    return checkpoints.load_model(
        model,
        dtype=choose_dtype(precision, chosen),
        device=chosen,
        download=download,
        folder=folder,
        progress=progress,
    )


def choose_device(device: str = "auto") -> torch.device:
    """The named device, or the best one of this machine."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu, cuda, cuda:1, mps ..., got {device!r}.") from error
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"device {device!r} is not here: PyTorch sees {count} CUDA GPUs; use auto.")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device 'mps' is not here: it needs a Mac with Apple silicon; use auto.")
    return chosen


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The named number format, or the fastest safe one of the device."""
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision in named:
        return named[precision]
    if precision != "auto":
        raise ValueError(f"precision must be auto, {', '.join(named)}, got {precision!r}.")
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
