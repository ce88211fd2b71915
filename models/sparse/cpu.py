"""Sparse attention in plain torch, for any device: chosen blocks are gathered for a few query blocks at a time."""

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from .blocks import BlockLayout, Centroids, blocks_in, in_blocks, patch_tokens, special_tokens
from .select import BlockIndex

NUMBERS_AT_ONCE = 2**19  # of the keys of one step: they stay in a processor's cache
NUMBERS_AT_ONCE_ON_GPU = 2**25  # enough to keep a GPU busy


def sparse_attention_torch(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None = None,
) -> Tensor:
    """The output of `sparse_attention_reference`, with time and memory by what is selected.

    Rows of the index are taken one step after another, those with the longest lists first, so that the lists of a step
    are about equally long. For that their lengths are read, which waits for a GPU once; a graph that is being compiled
    or captured takes the rows as they come, all as long as the longest might be.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    scale = query.shape[-1] ** -0.5
    rows = slice(index.first, index.first + index.rows)
    queries = in_blocks(patch_tokens(query, blocks), blocks.segments, blocks.query_block, blocks.queries_each)
    queries = queries[:, :, rows].flatten(0, 2).to(dtype)  # (R, b, D) with R = B * heads * r
    indices, counts = index.indices.flatten(0, 2).long(), index.counts.flatten()  # (R, K), (R,)
    pairs = torch.arange(query.shape[0] * query.shape[1], device=query.device).repeat_interleave(index.rows)  # (R,)
    lengths = blocks.key_table(query.device)[1]
    means = (None, None) if centroids is None else (centroids.key, centroids.value)
    keys, values = (_source(x, mean, blocks).to(dtype) for x, mean in zip((key, value), means, strict=True))
    more = torch.arange(blocks.key_blocks, keys.shape[1], device=query.device)  # blocks that every row sees
    special = blocks.layout.frames * blocks.layout.special
    spare = len(more) * blocks.key_block - special
    if centroids is not None:
        spare -= blocks.key_groups
        spread = centroids.spread.flatten(0, 1).to(dtype)
        log_left = index.log_left.flatten(0, 2).to(dtype)  # (R, Kg)

    order, steps = _plan(counts, indices.shape[-1], len(more), blocks.key_block * query.shape[-1])
    parts = []
    for row, width in steps:  # n rows, of at most `width` blocks each
        pair, asked, chosen = pairs[row], queries[row], indices[row, :width].clamp(min=0)
        mask = _mask(lengths[chosen], counts[row], blocks.key_block, special, dtype)
        if centroids is None:
            mask = pad(mask, (0, spare), value=-torch.inf)
        else:
            of_groups = asked.square() @ spread[pair].transpose(-1, -2) * (0.5 * scale**2) + log_left[row, None]
            of_groups = pad(of_groups, (0, spare), value=-torch.inf)
            mask = torch.cat([mask.expand(-1, asked.shape[1], -1), of_groups], dim=-1)
        place = pair[:, None] * keys.shape[1] + torch.cat([chosen, more.expand(len(pair), -1)], dim=1)
        gathered = (
            x.flatten(0, 1).index_select(0, place.flatten()).view(len(pair), 1, -1, x.shape[-1]) for x in (keys, values)
        )
        parts.append(scaled_dot_product_attention(asked[:, None], *gathered, mask[:, None])[:, 0])
    out = torch.cat(parts)[order.argsort()]
    return _patches_of(out.unflatten(0, (*query.shape[:2], index.rows)), index, blocks).to(value.dtype)


def _source(x: Tensor, means: Tensor | None, blocks: BlockLayout) -> Tensor:
    """Keys or values as blocks: those of all patches, then those of special tokens and means, (B * heads, *, b, D).

    x: all tokens (B, heads, N * P, D). means: (B, heads, Kg, D). The last block is filled up with zeros.
    """
    patches = in_blocks(patch_tokens(x, blocks), blocks.segments, blocks.key_block, blocks.keys_each)
    more = special_tokens(x, blocks)
    more = more if means is None else torch.cat([more, means.to(x.dtype)], dim=2)
    more = in_blocks(more, 1, blocks.key_block, blocks_in(more.shape[2], blocks.key_block))
    return torch.cat([patches, more], dim=2).flatten(0, 1)


def _mask(lengths: Tensor, counts: Tensor, key_block: int, special: int, dtype: torch.dtype) -> Tensor:
    """What is added to logits, 0 or -inf, (n, 1, K * key_block + special), for lists of `counts` blocks (n,).

    lengths: (n, K), the tokens of these blocks. Special keys are always seen.
    """
    rank, inside = (torch.arange(length, device=counts.device) for length in (lengths.shape[1], key_block))
    seen = inside < torch.where(rank < counts[:, None], lengths, 0)[..., None]
    mask = torch.zeros(seen.shape, dtype=dtype, device=counts.device).masked_fill(~seen, -torch.inf)
    return pad(mask.flatten(1), (0, special))[:, None]


def _plan(counts: Tensor, widest: int, more: int, block_numbers: int) -> tuple[Tensor, list[tuple[Tensor, int]]]:
    """An order of the rows, and steps of it: some rows, and the length of their longest list.

    A row gathers the blocks of its list and `more`, each of `block_numbers` numbers.
    """
    budget = NUMBERS_AT_ONCE if counts.device.type == "cpu" else NUMBERS_AT_ONCE_ON_GPU
    if may_read(counts.device):
        order = counts.argsort(descending=True)
        longest = counts[order].tolist()
    else:
        order = torch.arange(len(counts), device=counts.device)
        longest = [widest] * len(counts)
    steps, start = [], 0
    while start < len(longest):
        width = max(1, longest[start])
        end = start + max(1, budget // ((more + width) * block_numbers))
        steps.append((order[start:end], width))
        start = end
    return order, steps


def may_read(device: torch.device) -> bool:
    """Whether values may be looked at while an operation is put together."""
    if torch.compiler.is_compiling() or device.type == "meta":
        return False
    return device.type != "cuda" or not torch.cuda.is_current_stream_capturing()


def _patches_of(out: Tensor, index: BlockIndex, blocks: BlockLayout) -> Tensor:
    """Query blocks of the index (B, heads, r, b, D), short ones filled up -> their patches (B, heads, t, D)."""
    last = index.first + index.rows
    starts = blocks.query_table(out.device)[0][index.first : last].long()
    first, end = blocks.query_span(index.first, last)
    patches = torch.arange(first, end, device=out.device)
    block = blocks.query_of(patches) - index.first
    return out.flatten(2, 3)[:, :, block * blocks.query_block + patches - starts[block]]
