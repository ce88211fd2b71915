"""What sparse attention is: the plain formula with explicit masks; every other path is compared to it."""

import torch
from torch import Tensor

from .blocks import BlockLayout, Centroids
from .select import BlockIndex


def sparse_attention_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None = None,
) -> tuple[Tensor, Tensor]:
    """Attention of patch queries over [their selected patch keys | all special keys | centroids of what they drop].

    query, key, value: all tokens, (B, heads, N * P, D). Returns, for the t patches of the index' query blocks, out
    (B, heads, t, D) and lse (B, heads, t), the natural logarithm of the sum of exponentials, float32 at least. Computed
    in the inputs' type, 16 bits in float32.
    """
    first, end = blocks.query_span(index.first, index.first + index.rows)
    dtype = torch.promote_types(query.dtype, torch.float32)
    scale = query.shape[-1] ** -0.5
    patches = torch.arange(blocks.tokens, device=query.device)
    rows = blocks.token_rows(patches)
    query = query[:, :, rows[first:end]].to(dtype)
    query_block = blocks.query_of(patches[first:end]) - index.first  # (t,)
    is_special = torch.ones(key.shape[2], dtype=torch.bool, device=key.device)
    is_special[rows] = False

    sees = selected_blocks(index, blocks)[..., blocks.key_of(patches)]  # (B, heads, rows, T)
    mask = sees.new_ones(*sees.shape[:3], key.shape[2])  # special tokens are always seen
    mask[..., rows] = sees
    logits = query @ key.to(dtype).transpose(-1, -2) * scale
    logits = logits.masked_fill(~mask[:, :, query_block], -torch.inf)
    values = value.to(dtype)
    if centroids is not None:
        means, spread = (x.to(dtype).transpose(-1, -2) for x in (centroids.key, centroids.spread))
        of_groups = query @ means * scale + query.square() @ spread * (0.5 * scale**2)  # (B, heads, t, Kg)
        of_groups = of_groups + index.log_left.to(dtype)[:, :, query_block]
        logits = torch.cat([logits, of_groups], dim=-1)
        values = torch.cat([values, centroids.value.to(dtype)], dim=2)
    lse = logits.logsumexp(dim=-1)
    return ((logits - lse[..., None]).exp() @ values).to(value.dtype), lse


def selected_blocks(index: BlockIndex, blocks: BlockLayout) -> Tensor:
    """The index as a map (B, heads, rows, Kb), true where a query block sees a key block."""
    rank = torch.arange(index.indices.shape[-1], device=index.indices.device)
    places = index.indices.long().masked_fill(rank >= index.counts[..., None], blocks.key_blocks)
    sees = torch.zeros(*index.counts.shape, blocks.key_blocks + 1, dtype=torch.bool, device=places.device)
    return sees.scatter(-1, places, True)[..., :-1]
