"""Hugging Face's ZeroGPU: the network runs in a process that is lent a GPU for a while; elsewhere nothing changes."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..nodes.graph.host import Host, Result
from ..workflows.runner import Call, call_node
from .settings import MODEL, RECONSTRUCT

SECONDS = 120  # of the GPU for one run


def has_zero_gpu() -> bool:
    """Whether this is such a place."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")


def prepare() -> Call:
    """How nodes are run here. Where there is a ZeroGPU, this must come before torch is imported."""
    if not has_zero_gpu():
        return call_node
    import spaces

    lent = spaces.GPU(duration=SECONDS)(run_there)

    def call(class_type: str, host: Host, inputs: dict[str, Any]) -> Result:
        if class_type != RECONSTRUCT:
            result = call_node(class_type, host, inputs)
            if class_type == MODEL:
                result.outputs[0]["precision"] = inputs["precision"]  # this process has another device than the GPU's
            return result
        host.check_cancelled()
        loaded = inputs["model"][0]["loaded"]
        model = str(loaded.path) if loaded.checkpoint is None else loaded.checkpoint.name
        rest = {name: value for name, value in inputs.items() if name != "model"}
        return lent(model, inputs["model"][0]["precision"], str(host.model_folder), str(host.base), rest)

    return call


def run_there(model: str, precision: str, model_folder: str, base: str, inputs: dict[str, Any]) -> Result:
    """The network where the GPU is. Only plain values and arrays come and go, so the model is loaded there."""
    import torch

    from ..nodes.graph.host import FolderHost

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    host = FolderHost(Path(base), device, model_folder=Path(model_folder))
    held = host.hold(loaded_there(model, precision, model_folder, device))
    return call_node(RECONSTRUCT, host, {**inputs, "model": [held]})


@lru_cache(maxsize=1)
def loaded_there(model: str, precision: str, folder: str, device: Any) -> Any:
    """A model on the GPU, kept as long as the process is."""
    from ..nodes.load_model import load_model

    return load_model(model, precision=precision, device=str(device), folder=folder)
