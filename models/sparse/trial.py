"""A small problem on which a kernel of block-sparse attention is compared with the plain formula before it is used.

Importing this file imports Triton, so import it where it is used.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..attention import TokenLayout
from ..gpu_kernels import fault, known_fault
from .blocks import BlockLayout, Centroids, grouped, moments, patch_tokens
from .kernel import sparse_attention_triton
from .pool_kernel import readable
from .reference import sparse_attention_reference
from .select import lists_of

TRITON = "Triton"


def fault_of_triton(query: Tensor, blocks: BlockLayout, pooled: bool) -> str | None:
    """Why the portable kernel must not be used for such queries (B, heads, T, D) and blocks, None if it is right."""

    def trial() -> tuple[Tensor, Tensor]:
        heads, width = query.shape[1], query.shape[3]
        return tried(sparse_attention_triton, small(blocks), query.dtype, query.device, pooled, heads, width)

    return fault(TRITON, variant(query, blocks, pooled), trial)


def known_fault_of_triton(query: Tensor, blocks: BlockLayout, pooled: bool) -> str | None:
    """What `fault_of_triton` found, as a sentence; None before it was asked, and if it found nothing."""
    return known_fault(TRITON, variant(query, blocks, pooled))


def variant(query: Tensor, blocks: BlockLayout, pooled: bool) -> tuple:
    """What the kernel is compiled for."""
    shape = (query.shape[1], query.shape[3], blocks.query_block, blocks.key_block, blocks.layout.special)
    return query.device, query.dtype, *shape, blocks.framed, pooled


def small(blocks: BlockLayout) -> BlockLayout:
    """Blocks of the same size in two small frames."""
    layout = TokenLayout(2, blocks.layout.special, 17, 21)
    return BlockLayout(layout, blocks.query_block, blocks.key_block, framed=blocks.framed, group=2)


def tried(
    attend: Callable[..., None],
    blocks: BlockLayout,
    dtype: torch.dtype,
    device: torch.device,
    pooled: bool,
    heads: int = 2,
    width: int = 64,
) -> tuple[Tensor, Tensor]:
    """Output and exact output of the patches (1, heads, patches, width), for random tokens and lists."""
    random = torch.Generator(device).manual_seed(0)
    shape = (1, blocks.layout.frames * blocks.layout.tokens_per_frame, 3, heads, width)
    operands = torch.randn(shape, generator=random, device=device, dtype=dtype).permute(2, 0, 3, 1, 4).unbind(0)
    lengths = blocks.key_table(device)[1]
    sees = torch.rand((1, heads, blocks.query_blocks, blocks.key_blocks), generator=random, device=device) < 0.5
    sees = (sees | (torch.arange(blocks.key_blocks, device=device) == 0)) & (lengths > 0)
    index = lists_of(sees, blocks, lengths, blocks.key_blocks, 0, centroids=True)
    keys = readable(*operands[1:], blocks)
    centroids = None
    if pooled:
        cut = (blocks.segments, blocks.key_block, blocks.keys_each)
        means, values = (grouped(moments(patch_tokens(x, blocks), *cut), lengths, blocks.group) for x in operands[1:])
        centroids = Centroids(*(x.to(dtype) for x in (means.mean, means.variance, values.mean)))
    out = torch.full_like(operands[0], torch.nan)
    attend(operands[0], keys, index, blocks, centroids, out=out)
    exact, _ = sparse_attention_reference(*operands, index, blocks, centroids)
    return patch_tokens(out, blocks), exact
