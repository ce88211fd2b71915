"""Models of full size with random weights: for time and memory, which do not depend on what was learnt."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ...models.checkpoints import LoadedModel, load_model
from ...models.da3 import SIZES
from ...models.families import Config, family_of_config
from ...models.pi3 import PI3
from ...models.vggt import VGGT_1B

CONFIGS: dict[str, Config] = {
    "random-vggt-1b": VGGT_1B,
    "random-pi3": PI3,
    **{f"random-da3-{size}": config for size, config in SIZES.items()},
}


def random_model(name: str, dtype: torch.dtype, device: torch.device) -> LoadedModel:
    """A full-size model whose weights are drawn from a seed on the device, tensor by tensor."""
    return random_weights_model(CONFIGS[name], dtype, device)


def random_weights_model(config: Config, dtype: torch.dtype, device: torch.device) -> LoadedModel:
    """The same for any configuration."""
    return load_model(random_arrays(config, device), dtype=dtype, device=device, config=config)


def random_arrays(config: Config, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Names and float32 weights, one after the other, the same whenever they are asked for on one kind of device."""
    family = family_of_config(config)
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in family.model(config).state_dict().items()}
    return drawn(shapes, device)


def drawn(shapes: dict[str, torch.Size], device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Norms are 1, biases 0, layer scales 0.1, everything else normal with 0.02."""
    generator = torch.Generator(device).manual_seed(0)
    for name, shape in shapes.items():
        if name.endswith("gamma"):
            yield name, torch.full(shape, 0.1, device=device)
        elif name.endswith("bias"):
            yield name, torch.zeros(shape, device=device)
        elif len(shape) == 1:
            yield name, torch.ones(shape, device=device)
        else:
            yield name, 0.02 * torch.randn(shape, device=device, generator=generator)
