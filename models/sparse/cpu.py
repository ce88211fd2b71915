"""Sparse attention in plain torch, for any device: selected blocks are gathered, a few query blocks at a time."""

import torch
from torch import Tensor

from .blocks import BlockLayout, Centroids
from .reference import selected_blocks
from .select import BlockIndex

NUMBERS_AT_ONCE = 2**23  # gathered keys, and logits, of one step


def sparse_attention_torch(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    special_key: Tensor,
    special_value: Tensor,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None = None,
) -> tuple[Tensor, Tensor]:
    """The same as `sparse_attention_reference`, with time and memory by what is selected."""
    width = index.indices.shape[-1]
    if query.device.type == "cpu" and not torch.compiler.is_compiling():
        width = int(index.counts.max())  # elsewhere this would wait for the device
    key_at, key_inside = _token_table(blocks.key_table(query.device), blocks.key_block)
    tables = key_at, key_inside, blocks.query_table(query.device)
    extra = special_key.shape[2] + (0 if centroids is None else blocks.key_blocks)
    columns = width * blocks.key_block + extra
    row_numbers = query.shape[0] * query.shape[1] * columns * max(query.shape[-1], blocks.query_block)
    step = max(1, NUMBERS_AT_ONCE // row_numbers)
    parts = []
    for start in range(0, index.rows, step):
        rows = slice(start, start + step)
        part = BlockIndex(index.indices[:, :, rows, :width], index.counts[:, :, rows], index.first + start)
        parts.append(_attend(query, key, value, special_key, special_value, part, blocks, centroids, tables))
    out, lse = (torch.cat(part, dim=2) for part in zip(*parts, strict=True))
    return out, lse


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    special_key: Tensor,
    special_value: Tensor,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None,
    tables: tuple[Tensor, Tensor, tuple[Tensor, Tensor]],
) -> tuple[Tensor, Tensor]:
    """One step; r rows of the index, each of b = query_block queries, padded at the end of short blocks."""
    key_at, key_inside, (starts, lengths) = tables
    dtype = torch.promote_types(query.dtype, torch.float32)
    last = index.first + index.rows
    query_at, _ = _token_table((starts[index.first : last], lengths[index.first : last]), blocks.query_block)
    queries = query[:, :, query_at].to(dtype) * query.shape[-1] ** -0.5  # (B, heads, r, b, D)

    chosen = index.indices.long().clamp(min=0)  # (B, heads, r, K)
    rank = torch.arange(chosen.shape[-1], device=chosen.device)
    valid = key_inside[chosen] & (rank < index.counts[..., None])[..., None]  # (B, heads, r, K, key_block)
    tokens = key_at[chosen].flatten(3)  # (B, heads, r, K * key_block)
    logits = queries @ _take(key, tokens, dtype).transpose(-1, -2)
    groups = [logits.masked_fill(~valid.flatten(3)[..., None, :], -torch.inf)]
    groups.append(queries @ special_key.to(dtype).transpose(-1, -2)[:, :, None])
    values = [_take(value, tokens, dtype), special_value[:, :, None].to(dtype)]
    if centroids is not None:
        logits = queries @ centroids.key.to(dtype).transpose(-1, -2)[:, :, None] + centroids.log_count.to(dtype)
        groups.append(logits.masked_fill(selected_blocks(index, blocks)[..., None, :], -torch.inf))
        values.append(centroids.value[:, :, None].to(dtype))

    logits = torch.cat(groups, dim=-1)
    lse = logits.logsumexp(dim=-1)  # (B, heads, r, b)
    weights = (logits - lse[..., None]).exp().split([group.shape[-1] for group in groups], dim=-1)
    out = sum(weight @ part for weight, part in zip(weights, values, strict=True))

    first, end = blocks.query_span(index.first, last)
    block, inside = blocks.place(torch.arange(first, end, device=query.device), blocks.query_block)
    place = (block - index.first) * blocks.query_block + inside  # of each patch among the padded queries
    return out.flatten(2, 3)[:, :, place].to(query.dtype), lse.flatten(2, 3)[:, :, place]


def _token_table(table: tuple[Tensor, Tensor], size: int) -> tuple[Tensor, Tensor]:
    """Starts and lengths (blocks,) -> tokens (blocks, size), the last one repeated in short blocks, and which count."""
    starts, lengths = table
    inside = torch.arange(size, device=starts.device)
    real = inside < lengths[:, None]
    return starts[:, None] + inside.minimum(lengths[:, None] - 1), real


def _take(x: Tensor, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    """Tokens (B, heads, r, n) of x (B, heads, T, D) -> (B, heads, r, n, D)."""
    flat = tokens.flatten(2)[..., None].expand(-1, -1, -1, x.shape[-1]).long()
    return x.gather(2, flat).unflatten(2, tokens.shape[2:]).to(dtype)
