"""Block-sparse attention by the kernel for Hopper GPUs; `reference.py` says what it computes."""

import torch
from torch import Tensor

from .. import hopper
from ..attention import TokenLayout
from .blocks import BlockLayout, Centroids, grouped, moments, patch_tokens, special_tokens
from .kernel import Readable, Tables, block_steps
from .reference import sparse_attention_reference
from .select import BlockIndex, lists_of

KEY_BLOCKS = (8, 16, 32, 64, 128)


def why_not(device: torch.device, dtype: torch.dtype, width: int, blocks: BlockLayout, pooled: bool) -> str | None:
    """Why the kernel cannot run with such tensors and blocks, in a few words, or None if it can. It tries nothing."""
    reason = hopper.why_not(device, dtype, width)
    if reason is None and blocks.key_block not in KEY_BLOCKS:
        return f"the Hopper kernel takes key blocks of 8, 16 ... 128 tokens, not {blocks.key_block}"
    found = hopper.known_fault(_variant(device, dtype, blocks, pooled))
    return reason if found is None else f"the Hopper kernel fails its check: {found}"


@torch.no_grad()
def sparse_attention_hopper(
    query: Tensor,
    keys: Readable,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None = None,
    *,
    out: Tensor,
    tables: Tables | None = None,
) -> None:
    """The same as `kernel.sparse_attention_triton`, for what `why_not` allows."""
    batch, heads, rows = index.counts.shape
    if index.counts.numel() == 0:
        return
    tables = tables or Tables.of(blocks, query.device)
    shape = hopper.shape_for(blocks.query_block)
    parts = -(-blocks.query_block // shape.queries)
    indices, counts, whole = index.in_memory()
    blocked = [hopper.tiles_of(x, blocks.key_block) for x in (keys.key, keys.value)]
    special = (keys.special_key, keys.special_value) if blocks.layout.special else (keys.key, keys.value)
    tiled = [hopper.tiles_of(x, hopper.TILE) for x in special]
    pooled = centroids is not None
    if pooled:
        tiled += [hopper.tiles_of(x, hopper.TILE) for x in (centroids.key, centroids.spread, centroids.value)]
    else:  # never read
        tiled += [tiled[0]] * 3
    left = index.log_left if pooled else counts
    hopper.launch(
        (rows * parts, batch * heads), shape, query, out,
        (*blocked, *tiled, left, indices, counts, whole, tables.query_start, tables.query_length),
        (*indices.stride()[:3], *left.stride()[:3], heads, index.first, rows,
         blocks.layout.height * blocks.layout.width, keys.key.shape[2], keys.special_key.shape[2],
         blocks.key_groups, blocks.last_key_block, *block_steps(blocks)),
        PARTS=parts, SPECIAL=blocks.layout.special, BLOCK=blocks.key_block, LISTED=True, POOLED=pooled,
    )  # fmt: skip


def fault(device: torch.device, dtype: torch.dtype, blocks: BlockLayout, pooled: bool) -> str | None:
    """Why the kernel must not be used with such blocks, None if it is right; see `hopper.fault`."""

    def trial() -> tuple[Tensor, Tensor]:
        layout = TokenLayout(2, blocks.layout.special, 17, 21)
        small = BlockLayout(layout, blocks.query_block, blocks.key_block, framed=True, group=2)
        return _trial(small, dtype, device, pooled)

    return hopper.fault(_variant(device, dtype, blocks, pooled), trial)


def _variant(device: torch.device, dtype: torch.dtype, blocks: BlockLayout, pooled: bool) -> tuple:
    return device, dtype, blocks.query_block, blocks.key_block, blocks.layout.special, pooled


def _trial(blocks: BlockLayout, dtype: torch.dtype, device: torch.device, pooled: bool) -> tuple[Tensor, Tensor]:
    """Output and exact output for random tokens and lists."""
    random = torch.Generator(device).manual_seed(0)
    shape = (1, blocks.layout.frames * blocks.layout.tokens_per_frame, 3, 2, hopper.WIDTH)
    operands = torch.randn(shape, generator=random, device=device, dtype=dtype).permute(2, 0, 3, 1, 4).unbind(0)
    lengths = blocks.key_table(device)[1]
    sees = torch.rand((1, 2, blocks.query_blocks, blocks.key_blocks), generator=random, device=device) < 0.5
    sees = (sees | (torch.arange(blocks.key_blocks, device=device) == 0)) & (lengths > 0)
    index = lists_of(sees, blocks, lengths, blocks.key_blocks, 0, centroids=True)
    keys = Readable(*operands[1:], *(special_tokens(x, blocks).contiguous() for x in operands[1:]))
    centroids = None
    if pooled:
        cut = (blocks.segments, blocks.key_block, blocks.keys_each)
        means, values = (grouped(moments(patch_tokens(x, blocks), *cut), lengths, blocks.group) for x in operands[1:])
        centroids = Centroids(*(x.to(dtype) for x in (means.mean, means.variance, values.mean)))
    out = torch.full_like(operands[0], torch.nan)
    sparse_attention_hopper(operands[0], keys, index, blocks, centroids, out=out)
    exact, _ = sparse_attention_reference(*operands, index, blocks, centroids)
    return patch_tokens(out, blocks), exact
