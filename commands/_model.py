"""The model that a command is asked to look at, also one of random weights."""

from typing import Any


def open_model(name: str, precision: str, device: str, download: bool = False) -> Any:
    """A known name, a file, or random-vggt-1b and random-pi3, the full networks without anything learnt."""
    from ..evaluation.analysis.random_weights import CONFIGS, random_model
    from ..nodes.load_model import choose_device, choose_dtype, load_model

    if name not in CONFIGS:
        return load_model(name, precision=precision, device=device, download=download)
    chosen = choose_device(device)
    return random_model(name, choose_dtype(precision, chosen), chosen)
