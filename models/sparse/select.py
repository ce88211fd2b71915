"""Which key blocks each query block sees, streamed over query blocks.

`rank_kernel.py` and `select_kernel.py` do the same on GPUs.

The paper's rule (section 3): scores of pooled queries and keys, softmax, the best blocks of every row by count or mass.

ManyView's rule: a few pooled rows of scores for every query block, each a softmax over blocks and special tokens, are
averaged to the share of its attention that the query block is expected to give to each key block. One threshold
for all query blocks of a layer, found from a histogram of these shares, keeps what the budget allows.

Scores are held for a few query blocks at a time, never for all; what stays are lists. Nothing here waits for the
device.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention import Heads
from .blocks import BlockLayout, Moments, moments, pool
from .config import SparsityConfig

SCORES_AT_ONCE = 2**22  # scores held at one time; sorting them takes about 40 bytes each
INDEX_LIMIT_BYTES = 2**28  # largest index that is handed out at once, unless the input is long:
INDEX_LIMIT_PER_TOKEN = 2**10  # then so many bytes for each patch, half of what its activations take
LEVELS = 1024  # of shares: 32 for each power of two, from 2^-32 up; the last one means all
LEVEL_SHIFT = 18  # a level is what is left of a float32 without so many of its bits: exponent and five bits behind it
FIRST_LEVEL = (127 << 5) - LEVELS + 1  # what level 0 leaves: all smaller shares are there too
WIDEST_ROW = 8  # a row keeps at most so many times the average
COUNTED_LEVELS = 2**24  # of longer inputs the histogram takes some query blocks of every frame,
COUNTED_FRAMES = 256  # and of still longer ones one of every few frames, at least of so many


@dataclass(frozen=True)
class BlockIndex:
    """For each query block from `first` on, the key blocks that it sees.

    Row q belongs to query block first + q. Its first whole[..., q] entries are blocks of full length, ascending; the
    entries up to counts[..., q] are short blocks, ascending; the rest is -1. The width K is known without looking at
    data. `seen` counts the tokens in its blocks. `log_left` is, for centroids, the natural logarithm of the number of
    tokens in each group of key blocks that the row drops, -inf where there is none; None without centroids.
    """

    indices: Tensor  # (B, heads, rows, K) int32
    counts: Tensor  # (B, heads, rows) int32
    whole: Tensor  # (B, heads, rows) int32
    seen: Tensor  # (B, heads, rows) int32
    log_left: Tensor | None = None  # (B, heads, rows, Kg) float32
    first: int = 0

    @property
    def rows(self) -> int:
        return self.counts.shape[2]

    def in_memory(self) -> tuple[Tensor, Tensor, Tensor]:
        """indices with the entries of a row side by side, counts and whole in one piece: as kernels read them."""
        indices = self.indices if self.indices.stride(-1) == 1 else self.indices.contiguous()
        return indices, self.counts.contiguous(), self.whole.contiguous()

    def part(self, start: int, end: int) -> "BlockIndex":
        """A view of the query blocks start..end - 1."""
        rows = slice(start - self.first, end - self.first)
        fields = (self.indices, self.counts, self.whole, self.seen, self.log_left)
        return BlockIndex(*(None if x is None else x[:, :, rows] for x in fields), start)


@dataclass(frozen=True)
class Summary:
    """What scores are made from. For 16-bit operands the numbers are rounded to bfloat16, as the GPU multiplies them.

    `lengths` are the tokens of the key blocks, 0 in those that are empty or masked out.
    """

    query: Tensor  # (B, heads, Qb * parts, D), pooled queries
    key: Tensor  # (B, heads, Kb, D), pooled keys
    lengths: Tensor  # (Kb,) int32
    square: Tensor | None = None  # mean squares of queries over 2 sqrt(D), as `query`, and
    spread: Tensor | None = None  # variances of keys, as `key`, for pooling "spread"
    special: Tensor | None = None  # (B, heads, S, D), all special keys; ManyView's rule only
    part: Heads | None = None  # which heads these are; None: all of the layer

    @property
    def heads(self) -> Heads:
        return self.part or Heads.every(self.query.shape[1])


@torch.no_grad()
def summarize(
    query: Tensor, key: Tensor, special_key: Tensor, key_moments: Moments | None, lengths: Tensor,
    blocks: BlockLayout, config: SparsityConfig,
) -> Summary:  # fmt: skip
    """The summary of patch queries and keys (B, heads, T, D); `key_moments` are those of the key blocks, if known."""
    dtype = torch.bfloat16 if query.dtype.itemsize == 2 else query.dtype
    if not config.own:
        pooled = (
            pool(x, blocks.segments, size, each, config.pooling)
            for x, size, each in (
                (query, blocks.query_block, blocks.queries_each),
                (key, blocks.key_block, blocks.keys_each),
            )
        )
        return Summary(*pooled, lengths)
    spread = config.pooling == "spread"
    part, each = blocks.query_block // blocks.parts, blocks.queries_each * blocks.parts
    if key_moments is None:
        key_moments = moments(key, blocks.segments, blocks.key_block, blocks.keys_each, spread)
    square = pool(query, blocks.segments, part, each, "square") * half_scale(query.shape[-1]) if spread else None
    return Summary(
        pool(query, blocks.segments, part, each).to(dtype),
        key_moments.mean.to(dtype),
        lengths,
        square.to(dtype) if spread else None,
        key_moments.variance.to(dtype) if spread else None,
        special_key.to(dtype),
    )


def half_scale(width: int) -> float:
    """1 / 2 sqrt(D): the weight of spreads in the unit of query . key."""
    return 0.5 * width**-0.5


def index_chunks(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int = 0, limit_bytes: int | None = None
) -> Iterator[BlockIndex]:
    """The whole choice, a piece at a time; the pieces bound the memory of the lists."""
    pieces = index_pieces(summary, blocks, config, layer, limit_bytes)
    if not config.own:
        yield from (rank_blocks(summary, blocks, config, layer, first, last) for first, last in pieces)
        return
    width = index_width(blocks, config, layer, summary.heads.total)
    threshold = share_threshold(*share_histogram(summary, blocks), blocks, config, layer, summary.heads)
    for first, last in pieces:
        yield keep_blocks(summary, blocks, threshold, width, config, first, last)


def index_of_rows(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int, first: int, last: int
) -> BlockIndex:
    """The index of the query blocks first..last - 1 alone."""
    if not config.own:
        return rank_blocks(summary, blocks, config, layer, first, last)
    threshold = share_threshold(*share_histogram(summary, blocks), blocks, config, layer, summary.heads)
    width = index_width(blocks, config, layer, summary.heads.total)
    return keep_blocks(summary, blocks, threshold, width, config, first, last)


def index_pieces(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int, limit_bytes: int | None = None
) -> list[tuple[int, int]]:
    """First row and end of the pieces whose lists stay below a limit."""
    limit = limit_bytes or max(INDEX_LIMIT_BYTES, INDEX_LIMIT_PER_TOKEN * blocks.tokens)
    batch, heads = summary.query.shape[:2]
    entries = index_width(blocks, config, layer, summary.heads.total)
    if config.pooled:
        entries += blocks.key_groups
    row_bytes = 4 * batch * heads * entries
    rows = max(1, limit // row_bytes)
    return [(first, min(first + rows, blocks.query_blocks)) for first in range(0, blocks.query_blocks, rows)]


def index_width(blocks: BlockLayout, config: SparsityConfig, layer: int, heads: int) -> int:
    """K: the most key blocks that a row can keep."""
    least, taus = config.budget(layer, heads, blocks)
    if any(tau is not None for tau in taus):
        return blocks.filled_key_blocks
    return min(blocks.filled_key_blocks, max(least) * (WIDEST_ROW if config.own else 1))


def empty_index(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int, first: int, last: int
) -> BlockIndex:
    """Room for the index of query blocks first..last - 1. What is behind a list stays unset."""
    shape, device = (*summary.query.shape[:2], last - first), summary.query.device
    width = index_width(blocks, config, layer, summary.heads.total)
    indices = torch.empty((*shape, width), dtype=torch.int32, device=device)
    counts, whole, seen = (torch.empty(shape, dtype=torch.int32, device=device) for _ in range(3))
    log_left = None
    if config.pooled:
        log_left = torch.empty((*shape, blocks.key_groups), dtype=torch.float32, device=device)
    return BlockIndex(indices, counts, whole, seen, log_left, first)


# --- the paper's rule -----------------------------------------------------------------------------------------------


@torch.no_grad()
def rank_blocks(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int, first: int, last: int
) -> BlockIndex:
    """The index of the query blocks first..last - 1: the best n of every row.

    Blocks are ranked by pooled query . pooled key / sqrt(D), equal scores by their number; n is the larger of the count
    that rho leaves and the fewest whose softmax mass reaches tau.
    """
    batch, heads, key_blocks, depth = summary.key.shape
    width = index_width(blocks, config, layer, summary.heads.total)
    least, taus = map(summary.heads.own, config.budget(layer, summary.heads.total, blocks))
    parts = []
    for start, end in steps(first, last, batch * heads * key_blocks):
        scores = summary.query[:, :, start:end] @ summary.key.transpose(-1, -2) * depth**-0.5  # (B, heads, rows, Kb)
        scores = scores.masked_fill(summary.lengths == 0, -torch.inf)
        ranked, order = scores.sort(dim=-1, descending=True, stable=True)
        counts = head_values(least, torch.int64, scores.device).expand(scores.shape[:3])
        if any(tau is not None for tau in taus):
            mass = head_values(tuple(-1.0 if tau is None else tau for tau in taus), torch.float32, scores.device)
            reached = ranked.softmax(dim=-1).cumsum(dim=-1) >= mass[..., None]
            counts = torch.maximum(counts, key_blocks + 1 - reached.sum(dim=-1))
        counts = counts.clamp(max=width)
        kept = torch.zeros_like(scores, dtype=torch.bool)
        kept.scatter_(-1, order, torch.arange(key_blocks, device=scores.device) < counts[..., None])
        parts.append(lists_of(kept, blocks, summary.lengths, width, start))
    return joined(parts, first)


# --- ManyView's rule ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """`each` query blocks of every frame, or every `stride` frames, evenly spread; `turn`: other ones for other heads.

    Number i of head h is block f * Q + (h * Q // heads + i % each * Q // each) % Q, with Q blocks in a frame and
    f = i // each * stride + h * stride // heads.
    """

    each: int
    count: int  # of all frames
    turn: bool
    stride: int = 1

    @classmethod
    def every(cls, blocks: BlockLayout) -> "Sample":
        """All query blocks in their order."""
        return cls(blocks.queries_each, blocks.query_blocks, False)

    @classmethod
    def of(cls, blocks: BlockLayout, pairs: int) -> "Sample":
        """As many query blocks as the histogram takes; `pairs` is B * heads."""
        levels = pairs * blocks.key_blocks * blocks.segments  # of one query block of every frame
        each = min(max(1, COUNTED_LEVELS // levels), blocks.queries_each)
        stride = max(1, min(levels // COUNTED_LEVELS, blocks.segments // COUNTED_FRAMES))
        return cls(each, each * (blocks.segments // stride), each < blocks.queries_each or stride > 1, stride)

    def rows(self, blocks: BlockLayout, heads: Heads, device: torch.device) -> Tensor:
        """The numbers of the query blocks, (heads, count)."""
        number = torch.arange(self.count, device=device)
        inside = number % self.each * blocks.queries_each // self.each
        frame = number // self.each * self.stride
        if self.turn:
            head = heads.first + torch.arange(heads.count, device=device)[:, None]
            inside = inside + head * blocks.queries_each // heads.total
            frame = frame + head * self.stride // heads.total
        rows = frame * blocks.queries_each + inside % blocks.queries_each
        return rows.expand(heads.count, -1)


@torch.no_grad()
def share_histogram(summary: Summary, blocks: BlockLayout) -> tuple[Tensor, int]:
    """How many pairs of a query block and a key block have each level of share, (B, heads, LEVELS) int64.

    And of how many query blocks.
    """
    batch, heads = summary.query.shape[:2]
    histogram = torch.zeros(batch * heads * LEVELS, dtype=torch.int64, device=summary.query.device)
    pair = torch.arange(batch * heads, device=histogram.device).view(batch, heads, 1, 1) * LEVELS
    sample = Sample.of(blocks, batch * summary.heads.total)
    rows = sample.rows(blocks, summary.heads, histogram.device)
    for start, end in steps(0, sample.count, batch * heads * blocks.key_blocks * blocks.parts):
        levels = share_levels(summary, blocks, rows[:, start:end])
        histogram.scatter_add_(0, (pair + levels.clamp(min=0)).flatten(), (levels >= 0).long().flatten())
    return histogram.view(batch, heads, LEVELS), sample.count


@torch.no_grad()
def share_threshold(
    histogram: Tensor, rows: int, blocks: BlockLayout, config: SparsityConfig, layer: int, part: Heads
) -> Tensor:
    """The level from which on blocks are kept, (B, heads) int32, from a histogram of so many rows.

    By rho the lowest level that keeps no more than the budget, by tau the highest that reaches the mass; the lower.
    """
    heads, device = histogram.shape[1], histogram.device
    least, taus = config.budget(layer, part.total, blocks)
    shared = config.shares_budget(layer)
    if shared:
        least, taus = (sum(least),), taus[:1]
        histogram = part.add_up(histogram.sum(1, keepdim=True))
    else:
        least, taus = part.own(least), part.own(taus)
    budget = head_values(least, torch.int64, device) * rows  # (heads or 1, 1)
    above = histogram.flip(-1).cumsum(-1).flip(-1)  # blocks from a level on
    threshold = LEVELS - (above <= budget).sum(-1)  # (B, heads or 1)
    if any(tau is not None for tau in taus):
        level = torch.arange(LEVELS, device=device)
        mass = histogram * level_shares(level).double()
        mass = mass.flip(-1).cumsum(-1).flip(-1)
        goal = head_values(tuple(-1.0 if tau is None else tau for tau in taus), torch.float64, device)
        threshold = torch.minimum(threshold, (mass >= goal * mass[..., :1]).sum(-1) - 1)
    return threshold.expand(-1, heads).to(torch.int32)


@torch.no_grad()
def keep_blocks(
    summary: Summary, blocks: BlockLayout, threshold: Tensor, width: int, config: SparsityConfig, first: int, last: int
) -> BlockIndex:
    """The index of the query blocks first..last - 1: blocks from the threshold on, at least the best, at most `width`.

    Where there are too many, the best are kept, equal ones by their number.
    """
    batch, heads = summary.query.shape[:2]
    parts = []
    for start, end in steps(first, last, batch * heads * blocks.key_blocks * blocks.parts):
        rows = torch.arange(start, end, device=threshold.device).expand(heads, -1)
        levels = share_levels(summary, blocks, rows)
        order = levels.sort(dim=-1, descending=True, stable=True).indices
        number = (levels >= threshold[..., None, None]).sum(-1, keepdim=True).clamp(1, width)
        rank = torch.arange(blocks.key_blocks, device=levels.device)
        kept = torch.zeros_like(levels, dtype=torch.bool).scatter_(-1, order, rank < number)
        parts.append(lists_of(kept & (levels >= 0), blocks, summary.lengths, width, start, config.centroid_block > 0))
    return joined(parts, first)


@torch.no_grad()
def share_levels(summary: Summary, blocks: BlockLayout, query_blocks: Tensor) -> Tensor:
    """Levels of the shares of query blocks (heads, rows), (B, heads, rows, Kb) int64; -1 where there is no token."""
    dtype = torch.promote_types(summary.query.dtype, torch.float32)

    def rows_of(x: Tensor) -> Tensor:
        chosen = x.unflatten(2, (-1, blocks.parts)).take_along_dim(query_blocks[None, :, :, None, None], dim=2)
        return chosen.flatten(2, 3).to(dtype)

    query = rows_of(summary.query)
    scale = query.shape[-1] ** -0.5
    scores = query @ summary.key.to(dtype).transpose(-1, -2)
    if summary.spread is not None:
        scores = scores + rows_of(summary.square) @ summary.spread.to(dtype).transpose(-1, -2)
    scores = scores * scale + summary.lengths.to(dtype).log()  # -inf without tokens
    special = query @ summary.special.to(dtype).transpose(-1, -2) * scale
    total = torch.cat([scores, special], dim=-1).logsumexp(-1, keepdim=True)
    weight = blocks.part_table(scores.device)[query_blocks].to(dtype)  # (heads, rows, parts)
    weight = weight / weight.sum(-1, keepdim=True)
    share = ((scores - total).exp().unflatten(2, (-1, blocks.parts)) * weight[..., None]).sum(3)
    levels = (share.float().view(torch.int32) >> LEVEL_SHIFT) - FIRST_LEVEL
    return levels.clamp(0, LEVELS - 1).long().masked_fill(summary.lengths == 0, -1)


def level_shares(level: Tensor) -> Tensor:
    """The share in the middle of a level, float32."""
    bits = ((level + FIRST_LEVEL) << LEVEL_SHIFT) + (1 << (LEVEL_SHIFT - 1))
    return bits.to(torch.int32).view(torch.float32)


# --- lists ----------------------------------------------------------------------------------------------------------


def lists_of(
    kept: Tensor, blocks: BlockLayout, lengths: Tensor, width: int, first: int, centroids: bool = False
) -> BlockIndex:
    """A map of kept key blocks (B, heads, rows, Kb) as lists."""
    whole = lengths == blocks.key_block
    number = torch.arange(blocks.key_blocks, device=kept.device)
    place = number + torch.where(whole, 0, blocks.key_blocks)  # short blocks follow the whole ones
    place = place.masked_fill(~kept, 2 * blocks.key_blocks).sort(dim=-1).values[..., :width]
    indices = torch.where(place == 2 * blocks.key_blocks, -1, place % blocks.key_blocks)
    tokens = kept * lengths
    log_left = None
    if centroids:
        log_left = (lengths - tokens).unflatten(-1, (-1, blocks.group)).sum(-1).float().log()
    counts, full, seen = (x.sum(-1).to(torch.int32) for x in (kept, kept & whole, tokens))
    return BlockIndex(indices.to(torch.int32), counts, full, seen, log_left, first)


def joined(parts: list[BlockIndex], first: int) -> BlockIndex:
    """Indices of rows that follow each other as one."""
    fields = ("indices", "counts", "whole", "seen", "log_left")
    columns = ([getattr(part, name) for part in parts] for name in fields)
    return BlockIndex(*(None if column[0] is None else torch.cat(column, dim=2) for column in columns), first)


def steps(first: int, last: int, row_scores: int) -> Iterator[tuple[int, int]]:
    """first..last in steps that hold about SCORES_AT_ONCE scores."""
    at_once = max(1, SCORES_AT_ONCE // row_scores)
    for start in range(first, last, at_once):
        yield start, min(start + at_once, last)


def head_values(values: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One value a head, (heads, 1), made on the device: copying a list to it would wait for it."""
    if len(set(values)) == 1:
        return torch.full((len(values), 1), values[0], dtype=dtype, device=device)
    return torch.cat([torch.full((1, 1), value, dtype=dtype, device=device) for value in values])
