"""Sparse attention in plain torch, for any device: selected blocks are gathered, a few query blocks at a time."""

import torch
from torch import Tensor

from .blocks import BlockLayout, Centroids, special_tokens
from .select import BlockIndex

NUMBERS_AT_ONCE = 2**23  # gathered keys, and logits, of one step


def sparse_attention_torch(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None = None,
) -> tuple[Tensor, Tensor]:
    """The same as `sparse_attention_reference`, with time and memory by what is selected."""
    width = index.indices.shape[-1]
    if query.device.type == "cpu" and not torch.compiler.is_compiling():
        width = int(index.counts.max())  # elsewhere this would wait for the device
    special = blocks.layout.frames * blocks.layout.special
    columns = width * blocks.key_block + special + (0 if centroids is None else blocks.key_groups)
    row_numbers = query.shape[0] * query.shape[1] * columns * max(query.shape[-1], blocks.query_block)
    step = max(1, NUMBERS_AT_ONCE // row_numbers)
    special_key, special_value = (special_tokens(x, blocks) for x in (key, value))
    parts = []
    for start in range(0, index.rows, step):
        rows = slice(start, start + step)
        part = BlockIndex(
            index.indices[:, :, rows, :width],
            *(x[:, :, rows] for x in (index.counts, index.whole, index.seen)),
            None if index.log_left is None else index.log_left[:, :, rows],
            index.first + start,
        )
        parts.append(_attend(query, key, value, special_key, special_value, part, blocks, centroids))
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
) -> tuple[Tensor, Tensor]:
    """One step; r rows of the index, each of b = query_block queries, padded at the end of short blocks."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    scale = query.shape[-1] ** -0.5
    last = index.first + index.rows
    starts, lengths = blocks.query_table(query.device)
    query_at, _ = token_table(blocks, starts[index.first : last], lengths[index.first : last], blocks.query_block)
    queries = query[:, :, query_at].to(dtype)  # (B, heads, r, b, D)

    key_at, key_inside = token_table(blocks, *blocks.key_table(key.device), blocks.key_block)
    chosen = index.indices.long().clamp(min=0)  # (B, heads, r, K)
    rank = torch.arange(chosen.shape[-1], device=chosen.device)
    valid = key_inside[chosen] & (rank < index.counts[..., None])[..., None]  # (B, heads, r, K, key_block)
    tokens = key_at[chosen].flatten(3)  # (B, heads, r, K * key_block)
    logits = queries @ take(key, tokens, dtype).transpose(-1, -2) * scale
    groups = [logits.masked_fill(~valid.flatten(3)[..., None, :], -torch.inf)]
    groups.append(queries @ special_key.to(dtype).transpose(-1, -2)[:, :, None] * scale)
    values = [take(value, tokens, dtype), special_value[:, :, None].to(dtype)]
    if centroids is not None:
        means, spread = (x.to(dtype).transpose(-1, -2)[:, :, None] for x in (centroids.key, centroids.spread))
        logits = queries @ means * scale + queries.square() @ spread * (0.5 * scale**2)
        groups.append(logits + index.log_left.to(dtype)[..., None, :])
        values.append(centroids.value[:, :, None].to(dtype))

    logits = torch.cat(groups, dim=-1)
    lse = logits.logsumexp(dim=-1)  # (B, heads, r, b)
    weights = (logits - lse[..., None]).exp().split([group.shape[-1] for group in groups], dim=-1)
    out = sum(weight @ part for weight, part in zip(weights, values, strict=True))

    first, end = blocks.query_span(index.first, last)
    patches = torch.arange(first, end, device=query.device)
    block = blocks.query_of(patches) - index.first
    place = block * blocks.query_block + patches - starts[index.first : last].long()[block]  # among padded queries
    return out.flatten(2, 3)[:, :, place].to(value.dtype), lse.flatten(2, 3)[:, :, place]


def token_table(blocks: BlockLayout, starts: Tensor, lengths: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Starts and lengths (blocks,) -> token rows (blocks, size), the last repeated in short blocks, and which count."""
    inside = torch.arange(size, device=starts.device)
    patches = starts[:, None] + inside.minimum((lengths[:, None] - 1).clamp(min=0))
    return blocks.token_rows(patches.clamp(max=blocks.tokens - 1)), inside < lengths[:, None]


def take(x: Tensor, tokens: Tensor, dtype: torch.dtype) -> Tensor:
    """Tokens (B, heads, r, n) of x (B, heads, T, D) -> (B, heads, r, n, D)."""
    flat = tokens.flatten(2)[..., None].expand(-1, -1, -1, x.shape[-1]).long()
    return x.gather(2, flat).unflatten(2, tokens.shape[2:]).to(dtype)
