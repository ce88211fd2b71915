"""The control of every selection rule: as many key blocks as asked for, chosen at random."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ...models.attention import TokenLayout, dense_attention
from ...models.sparse import BlockIndex, BlockLayout, computed_pairs, merge_tokens, split_tokens
from ...models.sparse.config import kept_blocks
from ...models.sparse.cpu import sparse_attention_torch


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
        blocks = BlockLayout.of(layout, self.query_block, self.key_block)
        index = self.draw(blocks, query.shape[0], query.shape[1], layer, query.device)
        (special_query, patch_query), (special_key, patch_key), (special_value, patch_value) = (
            split_tokens(x, layout) for x in (query, key, value)
        )
        patches = (x.flatten(2, 3) for x in (patch_query, patch_key, patch_value))
        out, _ = sparse_attention_torch(*patches, special_key, special_value, index, blocks)
        special = scaled_dot_product_attention(special_query, key, value)
        pairs = computed_pairs(index, blocks, layout, centroids=False) + special.shape[2] * query.shape[2]
        merged = merge_tokens(special, out.unflatten(2, (layout.frames, -1)), layout)
        return merged, pairs.float() / query.shape[2] ** 2

    def draw(self, blocks: BlockLayout, batch: int, heads: int, layer: int, device: torch.device) -> BlockIndex:
        """The same for the same seed, layer and sizes, on every device."""
        keep = max(1, kept_blocks(blocks.key_blocks, self.rho))
        generator = torch.Generator().manual_seed(1_000 * self.seed + layer)
        order = torch.rand(batch, heads, blocks.query_blocks, blocks.key_blocks, generator=generator)
        chosen = order.topk(keep, dim=-1).indices.sort(dim=-1).values.to(torch.int32).to(device)
        counts = torch.full(chosen.shape[:3], keep, dtype=torch.int32, device=device)
        return BlockIndex(chosen, counts)
