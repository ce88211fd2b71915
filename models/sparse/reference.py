"""What sparse attention is: the plain formula with explicit masks; every other path is compared to it."""

import torch
from torch import Tensor

from .blocks import BlockLayout, Centroids
from .select import BlockIndex


def sparse_attention_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    special_key: Tensor,
    special_value: Tensor,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of patch queries over [their selected patch keys | all special keys | centroids of dropped blocks].

    query, key, value: all patches, (B, heads, T, D); special_key, special_value: (B, heads, S, D), S may be 0.
    Returns, for the t patches of the index' query blocks, out (B, heads, t, D) and lse (B, heads, t), the natural
    logarithm of the sum of exponentials, float32 at least. Computed in the inputs' type, 16 bits in float32.
    """
    first, end = blocks.query_span(index.first, index.first + index.rows)
    dtype = torch.promote_types(query.dtype, torch.float32)
    sees = selected_blocks(index, blocks)  # (B, heads, rows, Kb)
    patches = torch.arange(blocks.tokens, device=query.device)
    query_block = blocks.place(patches[first:end], blocks.query_block)[0] - index.first  # (t,)
    key_block = blocks.place(patches, blocks.key_block)[0]  # (T,)

    keys = [key, special_key]
    values = [value, special_value]
    special = sees.new_ones(*sees.shape[:3], special_key.shape[2])
    masks = [sees[..., key_block], special]
    shift = torch.zeros(key.shape[2] + special_key.shape[2], dtype=dtype, device=key.device)
    if centroids is not None:
        keys.append(centroids.key)
        values.append(centroids.value)
        masks.append(~sees)
        shift = torch.cat([shift, centroids.log_count.to(dtype)])
    keys, values = (torch.cat(parts, dim=2).to(dtype) for parts in (keys, values))
    mask = torch.cat(masks, dim=-1)[:, :, query_block]  # (B, heads, t, all keys)

    logits = query[:, :, first:end].to(dtype) @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5 + shift
    logits = logits.masked_fill(~mask, -torch.inf)
    lse = logits.logsumexp(dim=-1)
    return ((logits - lse[..., None]).exp() @ values).to(query.dtype), lse


def selected_blocks(index: BlockIndex, blocks: BlockLayout) -> Tensor:
    """The index as a map (B, heads, rows, Kb), true where a query block sees a key block."""
    rank = torch.arange(index.indices.shape[-1], device=index.indices.device)
    places = index.indices.long().masked_fill(rank >= index.counts[..., None], blocks.key_blocks)
    sees = torch.zeros(*index.counts.shape, blocks.key_blocks + 1, dtype=torch.bool, device=places.device)
    return sees.scatter(-1, places, True)[..., :-1]
