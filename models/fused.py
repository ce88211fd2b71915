"""Small operations between the matrix products, in place and in one pass over memory each.

On NVIDIA GPUs with Triton they are one kernel each (`fused_kernels.py`); everywhere else the plain formula here.
"""

import torch
from torch import Tensor, nn

from .gpu_kernels import has_kernels
from .rope import RopeTable, apply_rope

LARGEST_WIDTH = 8192  # of a row that a kernel holds at once
PLAIN_TOKENS = 8192  # that the plain formula turns at a time: it needs several times their memory


def normalise(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Layer normalisation of rows (T, C), computed in float32 at least, in the type of the weights."""
    if on_gpu(x):
        from .fused_kernels import normalise_rows

        return normalise_rows(x, norm)
    return norm(x)


def add_scaled_(x: Tensor, branch: Tensor, factors: Tensor | None) -> None:
    """x += factors * branch for rows (T, C); None stands for ones."""
    if on_gpu(x):
        from .fused_kernels import add_rows

        add_rows(x, branch, factors)
    elif factors is None:
        x.add_(branch)
    else:
        x.addcmul_(branch.to(x.dtype), factors.to(x.dtype))


def add_scaled_normalise_(x: Tensor, branch: Tensor, factors: Tensor | None, norm: nn.LayerNorm) -> Tensor:
    """`add_scaled_`, and the normalised result."""
    if on_gpu(x):
        from .fused_kernels import add_rows

        return add_rows(x, branch, factors, norm)
    add_scaled_(x, branch, factors)
    return norm(x)


def rotate_(qkv: Tensor, q_norm: nn.Module, k_norm: nn.Module, rope: RopeTable | None) -> None:
    """Normalise and turn the queries and keys of (B, T, 3, heads, D) in place.

    The norms are layer norms over D or identities. `rope` has P rows, and T is a multiple of P: tokens come one frame
    after another.
    """
    plain = isinstance(q_norm, nn.Identity)
    if plain and rope is None:
        return
    if on_gpu(qkv):
        from .fused_kernels import rotate_rows

        rotate_rows(qkv, None if plain else q_norm, None if plain else k_norm, rope)
        return
    frame = qkv.shape[1] if rope is None else rope.cos.shape[0]
    frames = qkv.unflatten(1, (-1, frame)).flatten(0, 1)  # (B * N, P, 3, heads, D)
    for some in frames.split(max(1, PLAIN_TOKENS // frame)):
        for vectors, norm in ((some[:, :, 0], q_norm), (some[:, :, 1], k_norm)):
            found = norm(vectors)
            vectors.copy_(found if rope is None else apply_rope(found.transpose(1, 2), rope).transpose(1, 2))


def on_gpu(x: Tensor) -> bool:
    """Whether the kernels run on this tensor."""
    small = x.shape[-1] <= LARGEST_WIDTH and x.dtype != torch.float64
    return x.is_cuda and small and has_kernels(x.device)
