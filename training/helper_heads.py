"""The training-only heads of a run as a file beside the model, so that another run can start from both."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

HELPERS = "helpers.safetensors"


def helper_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Everything of a TrainingModel outside the model itself."""
    return {name: value for name, value in module.state_dict().items() if not name.startswith("model.")}


def save_helpers(module: nn.Module, path: Path) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in helper_tensors(module).items()}, path)


def load_helpers(module: nn.Module, path: Path) -> bool:
    """Fill the training-only heads from a file; False if there is none (they then start anew)."""
    if not path.is_file():
        return False
    stored, wanted = load_file(path), helper_tensors(module)
    if {n: v.shape for n, v in stored.items()} != {n: v.shape for n, v in wanted.items()}:
        raise ValueError(f"{path} belongs to a model of another size; remove it to start the training heads anew.")
    module.load_state_dict(stored, strict=False)
    return True
