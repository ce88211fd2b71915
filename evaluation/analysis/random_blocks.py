"""The control of every selection rule: as many key blocks as asked for, chosen at random."""

from __future__ import annotations

import torch
from torch import Tensor

from ...models.attention import TokenLayout, dense_attention
from ...models.sparse import BlockIndex, BlockLayout, SparsityConfig
from ...models.sparse.config import kept_blocks
from ...models.sparse.cpu import sparse_attention_torch
from ...models.sparse.operation import Problem, attend_all
from ...models.sparse.select import lists_of


class RandomBlocks:
    """A GlobalAttention like the paper's (special tokens dense, packed blocks) whose blocks are drawn from a seed."""

    def __init__(self, rho: float, query_block: int = 128, key_block: int = 64, seed: int = 0) -> None:
        if not 0 <= rho <= 1:
            raise ValueError(f"rho must be a number from 0 to 1, got {rho!r}.")
        self.rho, self.query_block, self.key_block, self.seed = rho, query_block, key_block, seed

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        if self.rho == 0:
            return dense_attention(query, key, value)
        blocks = BlockLayout(layout, self.query_block, self.key_block)
        lengths = blocks.key_table(query.device)[1]
        problem = Problem(query, key, value, blocks, lengths, SparsityConfig(rho=self.rho), layer)
        index = self.draw(blocks, query.shape[0], query.shape[1], layer, query.device)
        out, pairs = attend_all(problem, [index], None, sparse_attention_torch)
        return out, pairs.float() / query.shape[2] ** 2

    def draw(self, blocks: BlockLayout, batch: int, heads: int, layer: int, device: torch.device) -> BlockIndex:
        """The same for the same seed, layer and sizes, on every device."""
        keep = max(1, kept_blocks(blocks.key_blocks, self.rho))
        generator = torch.Generator().manual_seed(1_000 * self.seed + layer)
        order = torch.rand(batch, heads, blocks.query_blocks, blocks.key_blocks, generator=generator)
        sees = torch.zeros_like(order, dtype=torch.bool).scatter_(-1, order.topk(keep, dim=-1).indices, True)
        return lists_of(sees.to(device), blocks, blocks.key_table(device)[1], keep, 0)
