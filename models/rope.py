"""Rotary position embedding in two dimensions: the first half of a head vector turns with y, the second with x."""

from typing import NamedTuple

import torch
from torch import Tensor

from .attention import TokenLayout

BASE_FREQUENCY = 100.0


class RopeTable(NamedTuple):
    """Cosines and sines for T tokens, each (T, 2, head width / 4); axis 1 is (y, x)."""

    cos: Tensor
    sin: Tensor

    def take(self, order: Tensor) -> "RopeTable":
        """The table for tokens in another order (T,)."""
        return RopeTable(self.cos[order], self.sin[order])


def rope_table(layout: TokenLayout, head_width: int, device: torch.device, dtype: torch.dtype) -> RopeTable:
    """The table of one frame, the same for all frames: patches at (row + 1, column + 1), special tokens at (0, 0)."""
    rows = torch.arange(1, layout.height + 1, device=device)
    columns = torch.arange(1, layout.width + 1, device=device)
    patches = torch.cartesian_prod(rows, columns)  # (h*w, 2)
    special = patches.new_zeros(layout.special, 2)
    return rope_at(torch.cat([special, patches]), head_width, dtype)


def rope_at(positions: Tensor, head_width: int, dtype: torch.dtype) -> RopeTable:
    """The table for integer positions (P, 2), each (y, x)."""
    quarter = head_width // 4
    exponents = torch.arange(quarter, device=positions.device, dtype=dtype) / quarter
    angles = positions.to(dtype)[:, :, None] * BASE_FREQUENCY**-exponents  # (P, 2, quarter)
    return RopeTable(angles.cos(), angles.sin())


def apply_rope(vectors: Tensor, table: RopeTable) -> Tensor:
    """Turn the vectors of (B, heads, T, head width); computed in the table's type.

    The table has T rows, or those of one frame, which hold for every frame: a position says nothing about the frame.
    Inside each half, element k is paired with element k + head width / 4.
    """
    rows = table.cos.shape[0]
    first, second = vectors.unflatten(2, (-1, rows)).unflatten(-1, (2, 2, -1)).unbind(-2)  # (B, heads, N, P, 2, D / 4)
    pair = (first * table.cos - second * table.sin, second * table.cos + first * table.sin)
    return torch.stack(pair, dim=-2).flatten(-3).flatten(2, 3)
