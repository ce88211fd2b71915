"""Inference through a transformer block in little memory and few passes over it.

The residual stream is changed in place. What does not mix tokens (norms, linear layers, the MLP) runs on some tokens at
a time, so that only queries, keys, values and the attention's output are held for all of them.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .attention import GlobalAttention, TokenLayout
from .fused import add_scaled_, add_scaled_normalise_, normalise, rotate_
from .rope import RopeTable

if TYPE_CHECKING:
    from .layers import Block

TOKENS_AT_ONCE = 32_768  # enough to fill a GPU; the MLP's hidden layer then takes 256 MiB at a width of 1,024


def may_overwrite() -> bool:
    """Whether work in place is allowed: no gradients are wanted, and nothing is being compiled."""
    return not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def run_block(
    block: "Block",
    x: Tensor,
    rope: RopeTable | None,
    attend: GlobalAttention,
    layout: TokenLayout | None,
    layer: int,
) -> Tensor | None:
    """The same as `Block.forward`, into x (B, T, C), which is contiguous; what is returned is the density.

    Without a layout the B sequences do not see each other and run some at a time.
    """
    together = max(1, TOKENS_AT_ONCE // x.shape[1])
    if layout is None and together < x.shape[0]:
        for start in range(0, x.shape[0], together):
            run_block(block, x[start : start + together], rope, attend, layout, layer)
        return None
    qkv = projected(block, x)  # (B, T, 3, heads, D)
    rotate_(qkv, block.attn.q_norm, block.attn.k_norm, rope)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, T, D) each
    out, density = attend(query, key, value, layout, layer)
    del qkv, query, key, value
    finish(block, x.flatten(0, 1), out.transpose(1, 2).flatten(2).flatten(0, 1))
    return density


def projected(block: "Block", x: Tensor) -> Tensor:
    """Queries, keys and values of (B, T, C), neither normalised nor turned, (B, T, 3, heads, D)."""
    linear, tokens = block.attn.qkv, x.flatten(0, 1)
    qkv = x.new_empty(tokens.shape[0], 3 * x.shape[-1], dtype=block.norm1.weight.dtype)
    plain = type(linear) is nn.Linear  # quantised and other layers that somebody put in its place are called
    for part in parts(tokens.shape[0]):
        normed = normalise(tokens[part], block.norm1)
        if plain:
            torch.addmm(linear.bias, normed, linear.weight.t(), out=qkv[part])
        else:
            qkv[part] = linear(normed)
    return qkv.view(*x.shape[:2], 3, block.attn.heads, -1)


def finish(block: "Block", x: Tensor, attended: Tensor) -> None:
    """Output projection, MLP and both residual additions, for tokens (T, C) and their attention's output."""
    first, second = factors(block.ls1), factors(block.ls2)
    mlp = block.mlp
    for part in parts(x.shape[0]):
        tokens = x[part]
        normed = add_scaled_normalise_(tokens, block.attn.proj(attended[part]), first, block.norm2)
        hidden = torch.ops.aten.gelu_(mlp.fc1(normed))
        add_scaled_(tokens, mlp.fc2(hidden), second)


def factors(scale: nn.Module) -> Tensor | None:
    """The factors of a LayerScale, None for a block without."""
    return getattr(scale, "gamma", None)


def parts(tokens: int) -> Iterator[slice]:
    """Equal slices of at most TOKENS_AT_ONCE."""
    count = -(-tokens // TOKENS_AT_ONCE)
    for number in range(count):
        yield slice(tokens * number // count, tokens * (number + 1) // count)
