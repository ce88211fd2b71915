"""Muon for the matrices of transformer blocks, AdamW for everything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (Jordan et al. 2024), with matrices of one shape done together.

    The update is scaled to the size that AdamW's would have (0.2 sqrt(larger side), Liu et al. 2025), so learning rates
    and weight decay are comparable. A fused qkv matrix counts as three.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                self._step_shape(shape, parameters, group)

    def _step_shape(self, shape: torch.Size, parameters: list[Tensor], group: dict) -> None:
        gradients = [p.grad for p in parameters]
        buffers = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in parameters]
        torch._foreach_lerp_(buffers, gradients, 1.0 - group["momentum"])
        nesterov = torch._foreach_lerp(gradients, buffers, group["momentum"])
        stacked = torch.stack(nesterov)  # (K, rows, columns)
        parts = 3 if shape[0] == 3 * shape[1] else 1
        matrices = stacked.unflatten(1, (parts, -1)).flatten(0, 1)
        update = orthogonalise(matrices) * (0.2 * max(matrices.shape[-2:]) ** 0.5)
        update = update.unflatten(0, (-1, parts)).flatten(1, 2).to(parameters[0].dtype)
        torch._foreach_mul_(parameters, 1.0 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, list(update.unbind(0)), alpha=-group["lr"])


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """The nearest (semi-)orthogonal matrices, roughly, by Newton-Schulz iteration in bfloat16; (K, rows, columns)."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def make_optimizers(
    model: nn.Module, matrix_rate: float, other_rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Muon on the 2-D weights of blocks (qkv, proj, fc1, fc2), AdamW on the rest."""
    matrices, decayed, plain = [], [], []
    for name, parameter in model.named_parameters():
        if "blocks." in name and parameter.ndim == 2:
            matrices.append(parameter)
        elif parameter.ndim >= 2 and "token" not in name:
            decayed.append(parameter)
        else:
            plain.append(parameter)
    fused = next(model.parameters()).is_cuda
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [
        Muon(matrices, lr=matrix_rate, weight_decay=weight_decay),
        torch.optim.AdamW(groups, lr=other_rate, betas=(0.9, 0.98), fused=fused),
    ]
