"""Which key blocks each query block sees: the paper's rule (section 3), streamed over query blocks.

Scores of pooled queries and keys are held for a few query blocks at a time, never for all; what stays are lists.
Nothing here waits for the device.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .blocks import BlockLayout, pool
from .config import SparsityConfig

SCORES_AT_ONCE = 2**22  # scores held at one time; sorting them takes about 40 bytes each
INDEX_LIMIT_BYTES = 2**28  # largest index that `index_chunks` hands out


@dataclass(frozen=True)
class BlockIndex:
    """For each query block from `first` on, the key blocks that it sees.

    Row q of `indices` belongs to query block first + q: its first counts[..., q] entries ascend, the rest are -1.
    The width K is known without looking at data: see `index_width`.
    """

    indices: Tensor  # (B, heads, rows, K) int32
    counts: Tensor  # (B, heads, rows) int32
    first: int = 0

    @property
    def rows(self) -> int:
        return self.counts.shape[2]


@torch.no_grad()
def pool_for_scores(
    query: Tensor, key: Tensor, blocks: BlockLayout, pooling: str, pool_with: Callable[..., Tensor] = pool
) -> tuple[Tensor, Tensor]:
    """What stands for blocks of patch queries and keys (B, heads, T, D): (B, heads, Qb, F) and (B, heads, Kb, F).

    With "avg" and "max" F is D. "spread" adds to the score of mean keys what their spread inside the block adds to the
    block's mass, log mean exp(q . k / sqrt(D)), to second order: sum_d mean(q_d^2) var(k_d) / 2D; F is 2D.
    """
    if pooling != "spread":
        pooled_query = pool_with(query, blocks.segments, blocks.query_block, pooling)
        return pooled_query, pool_with(key, blocks.segments, blocks.key_block, pooling)
    query_mean = pool_with(query, blocks.segments, blocks.query_block)
    key_mean = pool_with(key, blocks.segments, blocks.key_block)
    query_square = pool(query, blocks.segments, blocks.query_block, "square")
    key_spread = pool(key, blocks.segments, blocks.key_block, "square") - key_mean.square()
    half_scale = 0.5 * query.shape[-1] ** -0.5
    pooled_query = torch.cat([query_mean, half_scale * query_square], dim=-1) * 2**0.5  # scores are over sqrt(2D)
    return pooled_query, torch.cat([key_mean, key_spread], dim=-1)


def index_chunks(
    pooled_query: Tensor,
    pooled_key: Tensor,
    blocks: BlockLayout,
    config: SparsityConfig,
    layer: int = 0,
    limit_bytes: int | None = None,
    select: Callable[..., BlockIndex] | None = None,
) -> Iterator[BlockIndex]:
    """The whole choice for pooled queries (B, heads, Qb, D) and keys (B, heads, Kb, D), a piece at a time.

    With rho alone a piece mostly is everything; with tau, whose lists may be as long as there are key blocks, the
    pieces bound the memory. `select` is `select_blocks` or does the same.
    """
    batch, heads = pooled_query.shape[:2]
    row_bytes = 4 * batch * heads * index_width(blocks, config, layer, heads)
    rows = max(1, (limit_bytes or INDEX_LIMIT_BYTES) // row_bytes)
    for first in range(0, blocks.query_blocks, rows):
        last = min(first + rows, blocks.query_blocks)
        yield (select or select_blocks)(pooled_query, pooled_key, blocks, config, layer, first, last - first)


@torch.no_grad()
def select_blocks(
    pooled_query: Tensor,
    pooled_key: Tensor,
    blocks: BlockLayout,
    config: SparsityConfig,
    layer: int = 0,
    first: int = 0,
    rows: int | None = None,
) -> BlockIndex:
    """The index of `rows` query blocks from `first` on; by default of all.

    Blocks are ranked by pooled query . pooled key / sqrt(D), equal scores by their number. A row keeps the best n:
    the larger of the count that rho leaves and the fewest whose softmax mass reaches tau.
    """
    last = blocks.query_blocks if rows is None else first + rows
    batch, heads, key_blocks, _ = pooled_key.shape
    width = index_width(blocks, config, layer, heads)
    at_once = max(1, SCORES_AT_ONCE // (batch * heads * key_blocks))
    parts = []
    for start in range(first, last, at_once):
        queries = pooled_query[:, :, start : min(start + at_once, last)]
        scores = queries @ pooled_key.transpose(-1, -2) * queries.shape[-1] ** -0.5  # (B, heads, rows, Kb)
        parts.append(_choose(scores, blocks, config, layer, start, width))
    indices, counts = (torch.cat(part, dim=2) for part in zip(*parts, strict=True))
    return BlockIndex(indices, counts, first)


def index_width(blocks: BlockLayout, config: SparsityConfig, layer: int, heads: int) -> int:
    """K: the most key blocks that a row can keep; the exact count where rho decides alone."""
    least, taus = config.budget(layer, heads, blocks.key_blocks)
    own = blocks.key_blocks // blocks.frames  # in the layout "frames", where alone it is used
    allowed = blocks.key_blocks - own if leaves_own(blocks, config) else blocks.key_blocks
    if any(tau is not None for tau in taus):
        return allowed
    forced = (own if config.own_frame == "always" else 0) + config.frame_quota * blocks.frames
    return min(allowed, max(*least, forced))


def _choose(
    scores: Tensor, blocks: BlockLayout, config: SparsityConfig, layer: int, first: int, width: int
) -> tuple[Tensor, Tensor]:
    """Scores (B, heads, rows, Kb) of the query blocks from `first` on -> indices (B, heads, rows, width), counts."""
    heads, rows, key_blocks = scores.shape[1:]
    device = scores.device
    allowed = key_blocks
    forced = None
    if config.own_frame != "score" or config.frame_quota:
        query_frames = blocks.query_frames(device)[first : first + rows]
        own = query_frames[:, None] == blocks.key_frames(device)  # (rows, Kb)
        if leaves_own(blocks, config):
            allowed -= key_blocks // blocks.frames
            scores = scores.masked_fill(own, -torch.inf)
        if config.own_frame == "always" or config.frame_quota:
            forced = _forced(scores, own, blocks, config)

    ranked, order = scores.sort(dim=-1, descending=True, stable=True)
    if forced is not None:
        front = forced.gather(-1, order).to(torch.uint8).sort(dim=-1, descending=True, stable=True).indices
        ranked, order = ranked.gather(-1, front), order.gather(-1, front)

    least, taus = config.budget(layer, heads, key_blocks)
    counts = head_values(least, torch.int64, device).expand(scores.shape[:3])
    if any(tau is not None for tau in taus):
        mass = head_values(tuple(-1.0 if tau is None else tau for tau in taus), torch.float32, device)
        reached = ranked.softmax(dim=-1).cumsum(dim=-1) >= mass[..., None]
        counts = torch.maximum(counts, key_blocks + 1 - reached.sum(dim=-1))
    if forced is not None:
        counts = torch.maximum(counts, forced.sum(dim=-1))
    counts = counts.clamp(max=allowed)

    rank = torch.arange(width, device=device)
    kept = order[..., :width].masked_fill(rank >= counts[..., None], key_blocks).sort(dim=-1).values
    return kept.masked_fill(kept == key_blocks, -1).to(torch.int32), counts.to(torch.int32)


def _forced(scores: Tensor, own: Tensor, blocks: BlockLayout, config: SparsityConfig) -> Tensor:
    """Blocks that are kept whatever their rank, (B, heads, rows, Kb) bool."""
    forced = torch.zeros_like(scores, dtype=torch.bool)
    if config.frame_quota:
        framed = scores.unflatten(-1, (blocks.frames, -1))  # (B, heads, rows, frames, blocks of a frame)
        best = framed.sort(dim=-1, descending=True, stable=True).indices[..., : config.frame_quota]
        forced = forced.unflatten(-1, (blocks.frames, -1)).scatter(-1, best, True).flatten(-2)
    if config.own_frame == "always":
        forced = forced | own
    if leaves_own(blocks, config):
        forced = forced & ~own
    return forced


def leaves_own(blocks: BlockLayout, config: SparsityConfig) -> bool:
    """Own-frame keys are left out, unless there is no other frame."""
    return config.own_frame == "never" and blocks.frames > 1


def head_values(values: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One value a head, (heads, 1), made on the device: copying a list to it would wait for it."""
    if len(set(values)) == 1:
        return torch.full((len(values), 1), values[0], dtype=dtype, device=device)
    return torch.cat([torch.full((1, 1), value, dtype=dtype, device=device) for value in values])
