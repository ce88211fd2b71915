"""Sparse attention in plain torch, for any device: chosen blocks are gathered for a few query blocks at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from .blocks import BlockLayout, Centroids, in_blocks, patch_tokens, special_tokens
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
    key_blocks, value_blocks = (
        in_blocks(patch_tokens(x, blocks), blocks.segments, blocks.key_block, blocks.keys_each).flatten(0, 1).to(dtype)
        for x in (key, value)
    )  # (B * heads, Kb, key_block, D)
    more_keys, more_values = (special_tokens(x, blocks).flatten(0, 1).to(dtype) for x in (key, value))
    special = more_keys.shape[1]
    if centroids is not None:
        mean_keys, spread, mean_values = (
            x.flatten(0, 1).to(dtype) for x in (centroids.key, centroids.spread, centroids.value)
        )
        more_keys, more_values = (torch.cat(x, dim=1) for x in ((more_keys, mean_keys), (more_values, mean_values)))
        log_left = index.log_left.flatten(0, 2).to(dtype)  # (R, Kg)

    order, steps = _plan(counts, indices.shape[-1], blocks.key_block * query.shape[-1], more_keys[0].numel())
    parts = []
    for row, width in steps:  # n rows, of at most `width` blocks each
        pair, asked, chosen = pairs[row], queries[row], indices[row, :width].clamp(min=0)
        keys = _gathered(key_blocks, more_keys, pair, chosen)
        values = _gathered(value_blocks, more_values, pair, chosen)
        mask = _mask(lengths[chosen], counts[row], blocks.key_block, special, dtype)
        if centroids is not None:
            of_groups = asked.square() @ spread[pair].transpose(-1, -2) * (0.5 * scale**2) + log_left[row, None]
            mask = torch.cat([mask.expand(-1, asked.shape[1], -1), of_groups], dim=-1)
        parts.append(scaled_dot_product_attention(*(x[:, None] for x in (asked, keys, values, mask)))[:, 0])
    out = torch.cat(parts)
    out = out if order is None else out[order.argsort()]
    return _patches_of(out.unflatten(0, (*query.shape[:2], index.rows)), index, blocks).to(value.dtype)


def _gathered(x: Tensor, more: Tensor, pair: Tensor, chosen: Tensor) -> Tensor:
    """Blocks `chosen` (n, K) of the heads `pair` (n,), then all of `more` (B * heads, M, D), (n, K * key_block + M, D).

    x: (B * heads, Kb, key_block, D).
    """
    place = (pair[:, None] * x.shape[1] + chosen).flatten()
    blocks = x.flatten(0, 1).index_select(0, place).view(len(pair), -1, x.shape[-1])
    return torch.cat([blocks, more[pair]], dim=1)


def _mask(lengths: Tensor, counts: Tensor, key_block: int, special: int, dtype: torch.dtype) -> Tensor:
    """What is added to logits, 0 or -inf, (n, 1, K * key_block + special), for lists of `counts` blocks (n,).

    lengths: (n, K), the tokens of these blocks. Special keys are always seen.
    """
    rank, inside = (torch.arange(length, device=counts.device) for length in (lengths.shape[1], key_block))
    seen = inside < torch.where(rank < counts[:, None], lengths, 0)[..., None]
    mask = torch.zeros(seen.shape, dtype=dtype, device=counts.device).masked_fill(~seen, -torch.inf)
    return pad(mask.flatten(1), (0, special))[:, None]


def _plan(
    counts: Tensor, widest: int, each: int, more: int
) -> tuple[Tensor | None, Iterator[tuple[Tensor | slice, int]]]:
    """An order of the rows (None: as they come), and steps of it: some rows, and the length of their longest list.

    A row gathers `each` numbers for every block of its list, and `more`.
    """
    number, device = len(counts), counts.device
    budget = NUMBERS_AT_ONCE if device.type == "cpu" else NUMBERS_AT_ONCE_ON_GPU
    if not may_read(device):
        step = max(1, budget // (more + widest * each))
        return None, ((slice(start, start + step), widest) for start in range(0, number, step))
    order = counts.argsort(descending=True)
    sorted_counts = counts[order].tolist()

    def steps() -> Iterator[tuple[Tensor, int]]:
        start = 0
        while start < number:
            width = max(1, sorted_counts[start])
            step = max(1, budget // (more + width * each))
            yield order[start : start + step], width
            start += step

    return order, steps()


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
