"""Pooling and block choice as Triton kernels: the same as `blocks.py` and `select.py`, without sorting.

Importing this file imports Triton, so import it where it is used.

The paper's rule: scores of a piece of the query blocks come from one matrix product; then one program for each row
finds the least score that is kept, one bit after the other, and writes the list in one ascending pass.

ManyView's rule: one kernel takes the softmax sums of all rows of scores, one turns scores into levels of shares, one
counts the levels, one writes the lists. Levels are two bytes each and held for a piece of the query blocks; where that
is not everything, they are computed a second time when the threshold is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from .blocks import BlockLayout, Centroids, special_tokens
from .config import SparsityConfig
from .kernel import LOG2_E, Packed, Tables, as_operand, interpreted, on_device, token_row
from .select import (
    FIRST_LEVEL,
    LEVEL_SHIFT,
    LEVELS,
    BlockIndex,
    Sample,
    Summary,
    half_scale,
    head_values,
    index_pieces,
    index_width,
    share_threshold,
)

SCORES_AT_ONCE = 2**24  # scores of the paper's rule, 64 MiB: about the L2 cache of a large GPU
LEVELS_AT_ONCE = 2**24  # levels of our own rule, 32 MiB, likewise
KEY_TILES = 8  # tiles of 64 key blocks that a program of levels walks
LARGEST_TILE = 8192  # scores that a program keeps in registers; longer rows are read again for each bit


@torch.no_grad()
def prepare(
    query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, blocks: BlockLayout, config: SparsityConfig,
    tables: Tables,
) -> tuple[Summary, Packed, Centroids | None]:  # fmt: skip
    """Packed keys and values of all tokens (B, heads, N * P, D), and the same as `select.summarize` and `grouped`."""
    special_key, special_value = (special_tokens(x, blocks).contiguous() for x in (key, value))
    dtype = torch.bfloat16 if query.dtype.itemsize == 2 else query.dtype
    if not config.own:
        dtype = torch.float32
    spread = config.own and config.pooling == "spread"
    keys = pack(key, lengths, blocks, dtype, "max" if config.pooling == "max" else "avg", spread, config.centroid_block)
    values = pack(value, lengths, blocks, None, "avg", False, config.centroid_block)
    packed = Packed(keys.tokens, values.tokens, special_key, special_value)
    pooled_query, square = pool_queries(
        query, blocks, tables, dtype, "max" if config.pooling == "max" else "avg", spread
    )
    special = special_key.to(dtype) if config.own else None
    summary = Summary(pooled_query, keys.mean, lengths, square, keys.variance, special)
    if not config.own or not config.centroid_block:
        return summary, packed, None
    return summary, packed, Centroids(keys.group_mean, keys.group_variance, values.group_mean)


@dataclass(frozen=True)
class PackedTokens:
    """Patches by blocks, and what was found about blocks and groups on the way."""

    tokens: Tensor  # (B, heads, Kb * key_block, D)
    mean: Tensor | None  # (B, heads, Kb, D); the maximum if that was asked for
    variance: Tensor | None
    group_mean: Tensor | None  # (B, heads, Kg, D), in the type of the tokens
    group_variance: Tensor | None


@torch.no_grad()
def pack(
    x: Tensor, lengths: Tensor, blocks: BlockLayout, dtype: torch.dtype | None, mode: str, spread: bool,
    centroids: int,
) -> PackedTokens:  # fmt: skip
    """Keys or values of all tokens packed; with a `dtype` also pooled by blocks, with `centroids` by groups.

    Tokens of blocks whose length is 0 have no part in their group.
    """
    batch, heads, _, width = x.shape
    room = (batch, heads, blocks.key_blocks * blocks.key_block, width)
    tokens = torch.empty(room, dtype=x.dtype, device=x.device)

    def made(wanted: bool, rows: int, kind: torch.dtype | None) -> Tensor | None:
        return torch.empty((batch, heads, rows, width), dtype=kind, device=x.device) if wanted else None

    mean, variance = (made(dtype is not None and one, blocks.key_blocks, dtype) for one in (True, spread))
    grouped = bool(centroids) and blocks.framed
    group_mean, group_variance = (
        made(grouped and one, blocks.key_groups, x.dtype) for one in (True, dtype is not None)
    )
    outputs = [tokens if one is None else one for one in (mean, variance, group_mean, group_variance)]
    with on_device(x):
        _pack[(blocks.key_groups, batch * heads)](
            x, tokens, *outputs, lengths, *x.stride()[:3], heads, blocks.layout.height * blocks.layout.width,
            blocks.segment_length, blocks.key_groups // blocks.segments,
            D=width, BLOCK_D=triton.next_power_of_2(width), BLOCK=blocks.key_block, GROUP=blocks.group,
            SPECIAL=blocks.layout.special, MAXIMUM=mode == "max", MEAN=mean is not None, SPREAD=variance is not None,
            GROUPED=group_mean is not None, GROUP_SPREAD=group_variance is not None,
            EMULATE=interpreted(), num_warps=4,
        )  # fmt: skip
    return PackedTokens(tokens, mean, variance, group_mean, group_variance)


@torch.no_grad()
def pool_queries(
    query: Tensor, blocks: BlockLayout, tables: Tables, dtype: torch.dtype, mode: str, spread: bool
) -> tuple[Tensor, Tensor | None]:
    """Means or maxima of the rows of scores, (B, heads, Qb * parts, D), and with `spread` their scaled mean squares."""
    batch, heads, _, width = query.shape
    rows, size = len(tables.part_start), blocks.query_block // blocks.parts
    pooled = torch.empty((batch, heads, rows, width), dtype=dtype, device=query.device)
    square = torch.empty_like(pooled) if spread else None
    room = triton.next_power_of_2(size)
    parts = max(1, 64 // room)
    with on_device(query):
        _pool_queries[(triton.cdiv(rows, parts), batch * heads)](
            query, pooled, pooled if square is None else square, tables.part_start, tables.part_length,
            *query.stride()[:3], heads, rows, blocks.layout.height * blocks.layout.width,
            D=width, BLOCK_D=triton.next_power_of_2(width), SIZE=room, PARTS=parts, SPECIAL=blocks.layout.special,
            MAXIMUM=mode == "max", SPREAD=spread, SCALE=half_scale(width), EMULATE=interpreted(), num_warps=4,
        )  # fmt: skip
    return pooled, square


@torch.no_grad()
def index_chunks_triton(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int = 0, limit_bytes: int | None = None
) -> Iterator[BlockIndex]:
    """The same as `select.index_chunks`, ties included.

    Where a mass or a share comes within rounding (about 1e-6) of a limit, a block may be chosen otherwise, because sums
    are taken in another order.
    """
    batch, heads = summary.query.shape[:2]
    pieces = index_pieces(blocks, config, layer, (batch, heads), limit_bytes)
    if not config.own:
        yield from (rank_blocks_triton(summary, blocks, config, layer, first, last) for first, last in pieces)
        return
    bias = summary.lengths.float().log2()  # -inf without tokens
    totals = row_totals(summary, bias)
    histogram = torch.zeros((batch, heads, LEVELS), dtype=torch.int64, device=totals.device)
    at_once = max(1, LEVELS_AT_ONCE // (batch * heads * blocks.key_blocks))
    sample, every = Sample.of(blocks, batch * heads), Sample.every(blocks)
    for first in range(0, sample.count, at_once):
        end = min(first + at_once, sample.count)
        levels = share_levels_triton(summary, blocks, totals, bias, first, end, sample)
        count_levels(levels, histogram)
    threshold = share_threshold(histogram, sample.count, blocks, config, layer).contiguous()
    once = sample == every and at_once >= blocks.query_blocks
    for first, last in pieces:
        index = empty_index(blocks, config, layer, (batch, heads), first, last, totals.device)
        for start in range(first, last, at_once):
            end = min(start + at_once, last)
            if once:  # all levels are still there
                known = levels[:, :, start:end]
            else:
                known = levels = share_levels_triton(summary, blocks, totals, bias, start, end, every)
            keep_blocks_triton(known, threshold, blocks, summary.lengths, rows_of(index, start, end))
        yield index


def empty_index(
    blocks: BlockLayout, config: SparsityConfig, layer: int, pairs: tuple[int, int], first: int, last: int,
    device: torch.device,
) -> BlockIndex:  # fmt: skip
    """Room for the index of query blocks first..last - 1; `pairs` are (B, heads). What is behind a list stays unset."""
    shape = (*pairs, last - first)
    indices = torch.empty((*shape, index_width(blocks, config, layer, pairs[1])), dtype=torch.int32, device=device)
    counts, whole, seen = (torch.empty(shape, dtype=torch.int32, device=device) for _ in range(3))
    log_left = None
    if config.own and config.centroid_block:
        log_left = torch.empty((*shape, blocks.key_groups), dtype=torch.float32, device=device)
    return BlockIndex(indices, counts, whole, seen, log_left, first)


def rows_of(index: BlockIndex, start: int, end: int) -> BlockIndex:
    """A view of the query blocks start..end - 1."""
    rows = slice(start - index.first, end - index.first)
    fields = (index.indices, index.counts, index.whole, index.seen, index.log_left)
    return BlockIndex(*(None if x is None else x[:, :, rows] for x in fields), start)


# --- the paper's rule -----------------------------------------------------------------------------------------------


@torch.no_grad()
def rank_blocks_triton(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int, first: int, last: int
) -> BlockIndex:
    """The same as `select.rank_blocks`."""
    batch, heads, key_blocks, depth = summary.key.shape
    device = summary.key.device
    index = empty_index(blocks, config, layer, (batch, heads), first, last, device)
    least, taus = config.budget(layer, heads, blocks)
    floor = head_values(least, torch.int64, device)
    mass = head_values(tuple(-1.0 if tau is None else tau for tau in taus), torch.float32, device)
    tile = max(16, triton.next_power_of_2(key_blocks))
    tile = tile if tile <= LARGEST_TILE else LARGEST_TILE // 2
    at_once = max(1, SCORES_AT_ONCE // (batch * heads * key_blocks))
    for start in range(first, last, at_once):
        end = min(start + at_once, last)
        scores = summary.query[:, :, start:end] @ summary.key.transpose(-1, -2)  # (B, heads, rows, Kb), not yet scaled
        part = rows_of(index, start, end)
        with on_device(scores):
            _choose_row[(end - start, batch * heads)](
                scores, floor, mass, summary.lengths, part.indices, part.counts, part.whole, part.seen,
                *part.indices.stride()[:3], *part.counts.stride()[:2],
                heads, end - start, key_blocks, index.indices.shape[-1], depth**-0.5, blocks.key_block,
                TILE=tile, ONE=key_blocks <= tile, MASS=any(tau is not None for tau in taus),
                num_warps=4 if tile <= 2048 else 8,
            )  # fmt: skip
    return index


# --- ManyView's rule ------------------------------------------------------------------------------------------------


def row_totals(summary: Summary, bias: Tensor) -> Tensor:
    """Logarithm to base 2 of the sum over key blocks and special tokens, for each row of scores, (B, heads, rows).

    bias: the logarithm to base 2 of the tokens of each key block, (Kb,).
    """
    batch, heads, rows, depth = summary.query.shape
    totals = torch.empty((batch, heads, rows), dtype=torch.float32, device=summary.query.device)
    square, spread = spread_of(summary)
    with on_device(totals):
        _row_totals[(triton.cdiv(rows, 64), batch * heads)](
            summary.query, square, summary.key, spread, bias, summary.special, totals,
            rows, len(bias), summary.special.shape[2], depth**-0.5 * LOG2_E,
            **score_options(summary), num_warps=4, num_stages=score_stages(summary),
        )  # fmt: skip
    return totals


def share_levels_triton(
    summary: Summary, blocks: BlockLayout, totals: Tensor, bias: Tensor, first: int, last: int, sample: Sample
) -> Tensor:
    """The same as `select.share_levels` for the query blocks number first..last - 1 of a sample, int16."""
    batch, heads, rows, depth = summary.query.shape
    levels = torch.empty((batch, heads, last - first, blocks.key_blocks), dtype=torch.int16, device=totals.device)
    square, spread = spread_of(summary)
    parts = triton.next_power_of_2(blocks.parts)
    high = max(1, 8 // parts)
    grid = (triton.cdiv(blocks.key_blocks, 64 * KEY_TILES), triton.cdiv(last - first, 8 * high), batch * heads)
    with on_device(totals):
        _share_levels[grid](
            summary.query, square, summary.key, spread, bias, totals, blocks.part_table(totals.device), levels,
            heads, first, last, rows, blocks.key_blocks, blocks.queries_each, sample.each, depth**-0.5 * LOG2_E,
            TURN=sample.turn, PARTS=blocks.parts, PADDED=parts, HIGH=high, TILES=KEY_TILES, LEVELS=LEVELS,
            SHIFT=LEVEL_SHIFT, FIRST_LEVEL=FIRST_LEVEL, **score_options(summary), num_warps=4,
            num_stages=min(2, score_stages(summary)),
        )  # fmt: skip
    return levels


def count_levels(levels: Tensor, histogram: Tensor) -> None:
    """Add what `levels` (B, heads, rows, Kb) hold to the histogram (B, heads, LEVELS)."""
    batch, heads, rows, key_blocks = levels.shape
    with on_device(levels):
        _count_levels[(triton.cdiv(rows, 8), batch * heads)](
            levels, histogram, rows, key_blocks, ROWS=8, TILE=1024, LEVELS=LEVELS, num_warps=4
        )


def keep_blocks_triton(
    levels: Tensor, threshold: Tensor, blocks: BlockLayout, lengths: Tensor, index: BlockIndex
) -> None:
    """The same as `select.keep_blocks`, written into `index`; levels (B, heads, rows, Kb) may be a view of rows."""
    batch, heads, rows, key_blocks = levels.shape
    left = index.counts if index.log_left is None else index.log_left
    filled = blocks.filled_key_blocks // blocks.segments
    with on_device(levels):
        _keep_blocks[(rows, batch * heads)](
            levels, threshold, lengths, index.indices, index.counts, index.whole, index.seen, left,
            *levels.stride()[:2], *index.indices.stride()[:3], *index.counts.stride()[:2], *left.stride()[:3],
            heads, key_blocks, index.indices.shape[-1], blocks.key_block, blocks.keys_each, filled - 1, blocks.segments,
            TILE=max(16, min(1024, triton.next_power_of_2(key_blocks)), blocks.group), GROUP=blocks.group,
            POOLED=index.log_left is not None, LEVELS=LEVELS, num_warps=4,
        )  # fmt: skip


def spread_of(summary: Summary) -> tuple[Tensor, Tensor]:
    """Mean squares and variances, or tensors that are not read."""
    return (summary.query, summary.key) if summary.spread is None else (summary.square, summary.spread)


def score_options(summary: Summary) -> dict[str, object]:
    """What both kernels of scores are compiled for."""
    depth = summary.query.shape[-1]
    return {
        "D": depth,
        "BLOCK_D": triton.next_power_of_2(depth),
        "SPREAD": summary.spread is not None,
        "EMULATE": interpreted() and summary.query.dtype == torch.bfloat16,
    }


def score_stages(summary: Summary) -> int:
    """The depth of the load pipeline that fits into shared memory."""
    return 3 if summary.query.dtype.itemsize == 2 and summary.query.shape[-1] <= 64 else 1


# --- kernels --------------------------------------------------------------------------------------------------------


@triton.jit
def _rounded(x, to_ptr, EMULATE: tl.constexpr):
    """x as a number of the type behind a pointer."""
    dtype: tl.constexpr = to_ptr.dtype.element_ty
    if dtype == tl.bfloat16:
        return as_operand(x, dtype, EMULATE).to(dtype)
    else:
        return x.to(dtype)


@triton.jit(do_not_specialize=["heads", "per_frame", "length", "each"])
def _pack(
    x_ptr, tokens_ptr, mean_ptr, variance_ptr, group_mean_ptr, group_variance_ptr, length_ptr,
    x_batch, x_head, x_row, heads, per_frame, length, each,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK: tl.constexpr, GROUP: tl.constexpr, SPECIAL: tl.constexpr,
    MAXIMUM: tl.constexpr, MEAN: tl.constexpr, SPREAD: tl.constexpr, GROUPED: tl.constexpr, GROUP_SPREAD: tl.constexpr,
    EMULATE: tl.constexpr,
):  # fmt: skip
    """One program packs one group of key blocks of one head; `each` groups make a segment of `length` patches."""
    group, pair = tl.program_id(0), tl.program_id(1).to(tl.int64)
    groups = tl.num_programs(0)
    lane = tl.arange(0, GROUP * BLOCK)
    inside = group % each * (GROUP * BLOCK) + lane
    patch = group // each * length + inside
    d = tl.arange(0, BLOCK_D)
    base = x_ptr + pair // heads * x_batch + pair % heads * x_head
    at = base + token_row(patch, per_frame, SPECIAL)[:, None] * x_row + d[None, :]
    live = inside < length
    raw = tl.load(at, mask=live[:, None] & (d < D)[None, :], other=0.0)
    to = (pair * groups + group) * (GROUP * BLOCK * D) + lane[:, None] * D + d[None, :]
    tl.store(tokens_ptr + to, raw, mask=(d < D)[None, :])
    x = raw.to(tl.float32)
    block = tl.arange(0, GROUP)
    to = ((pair * groups + group) * GROUP + block)[:, None] * D + d[None, :]
    if MEAN:
        count = tl.sum(tl.reshape(live.to(tl.float32), [GROUP, BLOCK]), 1)[:, None]
        if MAXIMUM:
            found = tl.max(tl.reshape(tl.where(live[:, None], x, -float("inf")), [GROUP, BLOCK, BLOCK_D]), 1)
            mean = tl.where(count > 0, found, 0.0)
        else:
            mean = tl.sum(tl.reshape(x, [GROUP, BLOCK, BLOCK_D]), 1) / tl.maximum(count, 1.0)
        tl.store(mean_ptr + to, _rounded(mean, mean_ptr, EMULATE), mask=(d < D)[None, :])
        if SPREAD:
            square = tl.sum(tl.reshape(x * x, [GROUP, BLOCK, BLOCK_D]), 1) / tl.maximum(count, 1.0)
            variance = tl.maximum(square - mean * mean, 0.0)
            tl.store(variance_ptr + to, _rounded(variance, variance_ptr, EMULATE), mask=(d < D)[None, :])
    if GROUPED:
        seen = tl.load(length_ptr + group * GROUP + lane // BLOCK) > 0
        count = tl.maximum(tl.sum((live & seen).to(tl.float32), 0), 1.0)
        kept = tl.where(seen[:, None], x, 0.0)
        mean = tl.sum(kept, 0) / count
        to = (pair * groups + group) * D + d
        tl.store(group_mean_ptr + to, _rounded(mean, group_mean_ptr, EMULATE), mask=d < D)
        if GROUP_SPREAD:
            variance = tl.maximum(tl.sum(kept * kept, 0) / count - mean * mean, 0.0)
            tl.store(group_variance_ptr + to, _rounded(variance, group_variance_ptr, EMULATE), mask=d < D)


@triton.jit(do_not_specialize=["heads", "rows", "per_frame"])
def _pool_queries(
    x_ptr, pooled_ptr, square_ptr, start_ptr, length_ptr, x_batch, x_head, x_row, heads, rows, per_frame,
    D: tl.constexpr, BLOCK_D: tl.constexpr, SIZE: tl.constexpr, PARTS: tl.constexpr, SPECIAL: tl.constexpr,
    MAXIMUM: tl.constexpr, SPREAD: tl.constexpr, SCALE: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """One program pools PARTS rows of scores of one head."""
    pair = tl.program_id(1).to(tl.int64)
    part = tl.program_id(0) * PARTS + tl.arange(0, PARTS)
    lane = tl.arange(0, PARTS * SIZE)
    of_lane = tl.program_id(0) * PARTS + lane // SIZE
    start = tl.load(start_ptr + of_lane, mask=of_lane < rows, other=0)
    live = lane % SIZE < tl.load(length_ptr + of_lane, mask=of_lane < rows, other=0)
    d = tl.arange(0, BLOCK_D)
    base = x_ptr + pair // heads * x_batch + pair % heads * x_head
    at = base + token_row(start + lane % SIZE, per_frame, SPECIAL)[:, None] * x_row + d[None, :]
    x = tl.load(at, mask=live[:, None] & (d < D)[None, :], other=0.0).to(tl.float32)
    count = tl.load(length_ptr + part, mask=part < rows, other=0).to(tl.float32)[:, None]
    if MAXIMUM:
        pooled = tl.max(tl.reshape(tl.where(live[:, None], x, -float("inf")), [PARTS, SIZE, BLOCK_D]), 1)
        pooled = tl.where(count > 0, pooled, 0.0)
    else:
        pooled = tl.sum(tl.reshape(x, [PARTS, SIZE, BLOCK_D]), 1) / tl.maximum(count, 1.0)
    to = (pair * rows + part)[:, None] * D + d[None, :]
    within = (part < rows)[:, None] & (d < D)[None, :]
    tl.store(pooled_ptr + to, _rounded(pooled, pooled_ptr, EMULATE), mask=within)
    if SPREAD:
        square = tl.sum(tl.reshape(x * x, [PARTS, SIZE, BLOCK_D]), 1) / tl.maximum(count, 1.0) * SCALE
        tl.store(square_ptr + to, _rounded(square, square_ptr, EMULATE), mask=within)


@triton.jit
def _part(scores_ptr, length_ptr, begin, key_blocks, scale, TILE: tl.constexpr):
    """Part of a row -> scores, integers of the same order (the least for what does not compete), and which compete."""
    block = begin + tl.arange(0, TILE)
    allowed = block < key_blocks
    allowed = allowed & (tl.load(length_ptr + block, mask=allowed, other=0) > 0)
    scores = tl.load(scores_ptr + block, mask=allowed, other=0.0) * scale
    scores = tl.where(scores == 0, 0.0, scores)  # -0 and 0 are equal
    bits = scores.to(tl.int32, bitcast=True)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return scores, tl.where(allowed, order, -2147483648), allowed


@triton.jit(do_not_specialize=["heads", "rows", "key_blocks", "width"])
def _choose_row(
    scores_ptr, least_ptr, mass_ptr, length_ptr, index_ptr, count_ptr, whole_ptr, seen_ptr,
    index_batch, index_head, index_row, count_batch, count_head, heads, rows, key_blocks, width, scale, full,
    TILE: tl.constexpr, ONE: tl.constexpr, MASS: tl.constexpr,
):  # fmt: skip
    """One program chooses for one row: the best until count and mass suffice."""
    row, pair = tl.program_id(0), tl.program_id(1)
    batch, head = (pair // heads).to(tl.int64), (pair % heads).to(tl.int64)
    scores_ptr += (pair.to(tl.int64) * rows + row) * key_blocks
    least = tl.load(least_ptr + head).to(tl.int32)
    top = -float("inf")
    target = 0.0
    if MASS:
        for begin in range(0, key_blocks, TILE):
            scores, order, allowed = _part(scores_ptr, length_ptr, begin, key_blocks, scale, TILE)
            top = tl.maximum(top, tl.max(tl.where(allowed, scores, -float("inf")), 0))
        for begin in range(0, key_blocks, TILE):
            scores, order, allowed = _part(scores_ptr, length_ptr, begin, key_blocks, scale, TILE)
            target += tl.sum(tl.where(allowed, tl.math.exp2((scores - top) * 1.4426950408889634), 0.0), 0)
        target *= tl.load(mass_ptr + head)

    # The greatest integer such that the blocks that reach it suffice, bit by bit from the highest. Rows of one tile
    # stay in registers.
    limit = tl.full([], -2147483648, tl.int64)
    bit = tl.full([], 2147483648, tl.int64)
    if ONE:
        scores, order, allowed = _part(scores_ptr, length_ptr, 0, key_blocks, scale, TILE)
        weight = tl.where(allowed, tl.math.exp2((scores - top) * 1.4426950408889634), 0.0)
        for _ in range(32):
            reach = order >= (limit + bit).to(tl.int32)
            enough = tl.sum(reach.to(tl.int32), 0) >= least
            if MASS:
                enough = enough & (tl.sum(tl.where(reach, weight, 0.0), 0) >= target)
            limit = tl.where(enough, limit + bit, limit)
            bit = bit >> 1
    else:
        for _ in range(32):
            reached = 0
            mass = 0.0
            for begin in range(0, key_blocks, TILE):
                scores, order, allowed = _part(scores_ptr, length_ptr, begin, key_blocks, scale, TILE)
                reach = order >= (limit + bit).to(tl.int32)
                reached += tl.sum(reach.to(tl.int32), 0)
                if MASS:
                    mass += tl.sum(tl.where(reach, tl.math.exp2((scores - top) * 1.4426950408889634), 0.0), 0)
            limit = tl.where((reached >= least) & (mass >= target), limit + bit, limit)
            bit = bit >> 1

    # Of the blocks that are exactly at the limit, the first few that are still needed.
    limit = limit.to(tl.int32)
    above_count = 0
    above_mass = 0.0
    for begin in range(0, key_blocks, TILE):
        scores, order, allowed = _part(scores_ptr, length_ptr, begin, key_blocks, scale, TILE)
        above = order > limit
        above_count += tl.sum(above.to(tl.int32), 0)
        if MASS:
            above_mass += tl.sum(tl.where(above, tl.math.exp2((scores - top) * 1.4426950408889634), 0.0), 0)
    needed = least - above_count
    if MASS:
        score = (limit ^ ((limit >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
        weight = tl.math.exp2((score - top) * 1.4426950408889634)
        more = tl.where(weight > 0, tl.math.ceil((target - above_mass) / tl.where(weight > 0, weight, 1.0)), 0.0)
        needed = tl.maximum(needed, tl.minimum(tl.maximum(more, 0.0), 1e9).to(tl.int32))

    index_ptr += batch * index_batch + head * index_head + row.to(tl.int64) * index_row
    whole = 0
    seen = 0
    written = 0
    for short in range(2):  # whole blocks, then short ones
        level_before = 0
        for begin in range(0, key_blocks, TILE):
            scores, order, allowed = _part(scores_ptr, length_ptr, begin, key_blocks, scale, TILE)
            block = begin + tl.arange(0, TILE)
            length = tl.load(length_ptr + block, mask=block < key_blocks, other=0)
            level = ((order == limit) & allowed).to(tl.int32)
            rank = level_before + tl.cumsum(level, 0) - level
            kept = allowed & ((order > limit) | ((level > 0) & (rank < needed)))
            kept = (kept & ((length < full) == (short > 0))).to(tl.int32)
            place = written + tl.cumsum(kept, 0) - kept
            tl.store(index_ptr + place, block, mask=(kept > 0) & (place < width))
            level_before += tl.sum(level, 0)
            written += tl.sum(kept, 0)
            seen += tl.sum(kept * length, 0)
        whole = tl.where(short == 0, written, whole)
    at = batch * count_batch + head * count_head + row
    tl.store(count_ptr + at, written)
    tl.store(whole_ptr + at, whole)
    tl.store(seen_ptr + at, seen)


@triton.jit
def _scores(
    q, square, key_ptr, spread_ptr, bias_ptr, base, begin, key_blocks, scale,
    D: tl.constexpr, BLOCK_D: tl.constexpr, TILE: tl.constexpr, SPREAD: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """Logits of rows of scores against a tile of key blocks, base 2, with the logarithm of their tokens."""
    block = begin + tl.arange(0, TILE)
    d = tl.arange(0, BLOCK_D)
    known = block < key_blocks
    at = (base + block).to(tl.int64)[:, None] * D + d[None, :]
    within = known[:, None] & (d < D)[None, :]
    dtype: tl.constexpr = key_ptr.dtype.element_ty
    k = as_operand(tl.load(key_ptr + at, mask=within, other=0.0), dtype, EMULATE)
    bias = tl.load(bias_ptr + block, mask=known, other=-float("inf"))
    scores = tl.dot(q, tl.trans(k), input_precision="ieee")
    if SPREAD:
        spread = as_operand(tl.load(spread_ptr + at, mask=within, other=0.0), dtype, EMULATE)
        scores = tl.dot(square, tl.trans(spread), scores, input_precision="ieee")
    return scores * scale + bias[None, :]


@triton.jit(do_not_specialize=["rows", "key_blocks", "special_count"])
def _row_totals(
    query_ptr, square_ptr, key_ptr, spread_ptr, bias_ptr, special_ptr, total_ptr,
    rows, key_blocks, special_count, scale,
    D: tl.constexpr, BLOCK_D: tl.constexpr, SPREAD: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """One program sums for 64 rows of scores of one head."""
    pair = tl.program_id(1).to(tl.int64)
    row = tl.program_id(0) * 64 + tl.arange(0, 64)
    d = tl.arange(0, BLOCK_D)
    at = (pair * rows + row)[:, None] * D + d[None, :]
    within = (row < rows)[:, None] & (d < D)[None, :]
    dtype: tl.constexpr = query_ptr.dtype.element_ty
    q = as_operand(tl.load(query_ptr + at, mask=within, other=0.0), dtype, EMULATE)
    square = q
    if SPREAD:
        square = as_operand(tl.load(square_ptr + at, mask=within, other=0.0), dtype, EMULATE)
    top = tl.full([64], -1e30, tl.float32)  # finite: a tile may hold nothing but blocks that are masked out
    total = tl.zeros([64], tl.float32)
    base = pair * key_blocks
    for begin in range(0, key_blocks, 64):
        scores = _scores(
            q, square, key_ptr, spread_ptr, bias_ptr, base, begin, key_blocks, scale, D, BLOCK_D, 64, SPREAD, EMULATE
        )  # fmt: skip
        new_top = tl.maximum(top, tl.max(scores, 1))
        total = total * tl.math.exp2(top - new_top) + tl.sum(tl.math.exp2(scores - new_top[:, None]), 1)
        top = new_top
    t = tl.arange(0, 64)
    for begin in range(0, special_count, 64):
        known = begin + t < special_count
        at = (pair * special_count + begin + t)[:, None] * D + d[None, :]
        k = tl.load(special_ptr + at, mask=known[:, None] & (d < D)[None, :], other=0.0)
        scores = tl.dot(q, tl.trans(as_operand(k, dtype, EMULATE)), input_precision="ieee") * scale
        scores = tl.where(known[None, :], scores, -float("inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        total = total * tl.math.exp2(top - new_top) + tl.sum(tl.math.exp2(scores - new_top[:, None]), 1)
        top = new_top
    tl.store(total_ptr + pair * rows + row, top + tl.math.log2(total), mask=row < rows)


@triton.jit(do_not_specialize=["heads", "first", "last", "rows", "key_blocks", "queries_each", "each"])
def _share_levels(
    query_ptr, square_ptr, key_ptr, spread_ptr, bias_ptr, total_ptr, part_ptr, level_ptr,
    heads, first, last, rows, key_blocks, queries_each, each, scale,
    TURN: tl.constexpr, PARTS: tl.constexpr, PADDED: tl.constexpr, HIGH: tl.constexpr, TILES: tl.constexpr,
    LEVELS: tl.constexpr, SHIFT: tl.constexpr, FIRST_LEVEL: tl.constexpr,
    D: tl.constexpr, BLOCK_D: tl.constexpr, SPREAD: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """One program makes the levels of some query blocks of a sample and some tiles of key blocks, of one head.

    Rows of scores of one query block lie 8 lanes apart: there a thread holds both of them and adds without its
    neighbours.
    """
    pair = tl.program_id(2).to(tl.int64)
    BLOCKS: tl.constexpr = HIGH * 8
    lane = tl.arange(0, BLOCKS * PADDED)
    part = lane // 8 % PADDED
    number = first + tl.program_id(1) * BLOCKS + lane // (8 * PADDED) * 8 + lane % 8
    inside = number % each * queries_each // each
    if TURN:
        inside = (inside + (pair % heads).to(tl.int32) * queries_each // heads) % queries_each
    live = (number < last) & (part < PARTS)
    row = (number // each * queries_each + inside) * PARTS + part
    d = tl.arange(0, BLOCK_D)
    at = (pair * rows + row)[:, None] * D + d[None, :]
    within = live[:, None] & (d < D)[None, :]
    dtype: tl.constexpr = query_ptr.dtype.element_ty
    q = as_operand(tl.load(query_ptr + at, mask=within, other=0.0), dtype, EMULATE)
    square = q
    if SPREAD:
        square = as_operand(tl.load(square_ptr + at, mask=within, other=0.0), dtype, EMULATE)
    tokens = tl.load(part_ptr + row, mask=live, other=0).to(tl.float32)
    together = tl.sum(tl.reshape(tokens, [HIGH, PADDED, 8]), 1)
    together = tl.reshape(tl.broadcast_to(together[:, None, :], [HIGH, PADDED, 8]), [BLOCKS * PADDED])
    weight = tl.math.log2(tl.maximum(tokens, 1.0)) - tl.math.log2(tl.maximum(together, 1.0))
    shift = weight - tl.load(total_ptr + pair * rows + row, mask=live, other=0.0)
    shift = tl.where(tokens > 0, shift, -1e30)
    out = tl.program_id(1) * BLOCKS + tl.arange(0, BLOCKS)
    to = (pair * (last - first) + out)[:, None] * key_blocks
    start = tl.program_id(0) * (64 * TILES)
    for begin in range(start, tl.minimum(start + 64 * TILES, key_blocks), 64):
        scores = _scores(
            q, square, key_ptr, spread_ptr, bias_ptr, pair * key_blocks, begin, key_blocks, scale,
            D, BLOCK_D, 64, SPREAD, EMULATE,
        )  # fmt: skip
        weights = tl.math.exp2(scores + shift[:, None])
        share = tl.reshape(tl.sum(tl.reshape(weights, [HIGH, PADDED, 8, 64]), 1), [BLOCKS, 64])
        level = (share.to(tl.int32, bitcast=True) >> SHIFT) - FIRST_LEVEL
        level = tl.minimum(tl.maximum(level, 0), LEVELS - 1)
        key = begin + tl.arange(0, 64)
        bias = tl.load(bias_ptr + key, mask=key < key_blocks, other=-float("inf"))
        level = tl.where((bias > -1.0)[None, :], level, -1)
        write = (first + out < last)[:, None] & (key < key_blocks)[None, :]
        tl.store(level_ptr + to + key[None, :], level.to(tl.int16), mask=write)


@triton.jit(do_not_specialize=["rows", "key_blocks"])
def _count_levels(
    level_ptr, histogram_ptr, rows, key_blocks, ROWS: tl.constexpr, TILE: tl.constexpr, LEVELS: tl.constexpr
):  # fmt: skip
    """One program counts the levels of some rows of one head."""
    pair = tl.program_id(1).to(tl.int64)
    counted = tl.zeros([LEVELS], tl.int32)
    other = 0
    for step in range(ROWS):
        row = tl.program_id(0) * ROWS + step
        for begin in range(0, key_blocks, TILE):
            block = begin + tl.arange(0, TILE)
            known = block < tl.where(row < rows, key_blocks, 0)
            level = tl.load(level_ptr + (pair * rows + row) * key_blocks + block, mask=known, other=-1).to(tl.int32)
            counted += tl.histogram(tl.maximum(level, 0), LEVELS)
            other += tl.sum((level < 0).to(tl.int32), 0)  # these went to level 0
    bins = tl.arange(0, LEVELS)
    counted -= tl.where(bins == 0, other, 0)
    tl.atomic_add(histogram_ptr + pair * LEVELS + bins, counted.to(tl.int64), mask=counted > 0)


@triton.jit(
    do_not_specialize=[
        "heads", "key_blocks", "width", "full", "level_head", "left_row", "index_row", "each", "tail", "segments",
    ]
)  # fmt: skip
def _keep_blocks(
    level_ptr, threshold_ptr, length_ptr, index_ptr, count_ptr, whole_ptr, seen_ptr, left_ptr,
    level_batch, level_head, index_batch, index_head, index_row, count_batch, count_head,
    left_batch, left_head, left_row, heads, key_blocks, width, full, each, tail, segments,
    TILE: tl.constexpr, GROUP: tl.constexpr, POOLED: tl.constexpr, LEVELS: tl.constexpr,
):  # fmt: skip
    """One program writes the list of one row; the last filled block of a segment, number `tail`, may be short."""
    row, pair = tl.program_id(0).to(tl.int64), tl.program_id(1)
    batch, head = (pair // heads).to(tl.int64), (pair % heads).to(tl.int64)
    level_ptr += batch * level_batch + head * level_head + row * key_blocks
    lane = tl.arange(0, TILE)
    limit = tl.load(threshold_ptr + pair)
    reached = 0
    best = -1
    for begin in range(0, key_blocks, TILE):
        level = tl.load(level_ptr + begin + lane, mask=begin + lane < key_blocks, other=-1).to(tl.int32)
        reached += tl.sum((level >= limit).to(tl.int32), 0)
        best = tl.maximum(best, tl.max(level, 0))
    needed = 2147483647  # of the blocks at the limit
    if reached == 0:
        limit = tl.maximum(best, 0)
        needed = 1
    if reached > width:  # the greatest level that enough blocks reach, bit by bit
        limit = 0
        bit = LEVELS // 2
        while bit > 0:
            reached = 0
            for begin in range(0, key_blocks, TILE):
                level = tl.load(level_ptr + begin + lane, mask=begin + lane < key_blocks, other=-1).to(tl.int32)
                reached += tl.sum((level >= limit + bit).to(tl.int32), 0)
            limit = tl.where(reached >= width, limit + bit, limit)
            bit = bit // 2
        needed = width
        for begin in range(0, key_blocks, TILE):
            level = tl.load(level_ptr + begin + lane, mask=begin + lane < key_blocks, other=-1).to(tl.int32)
            needed -= tl.sum((level > limit).to(tl.int32), 0)

    # Whole blocks, and the tokens of each group that are left. Of equal blocks at the limit the first are taken: the
    # number of the last of them is `last_equal`.
    index_ptr += batch * index_batch + head * index_head + row * index_row
    left_ptr += batch * left_batch + head * left_head + row * left_row
    last_equal = key_blocks
    written = 0
    seen = 0
    before = 0
    for begin in range(0, key_blocks, TILE):
        block = begin + lane
        level = tl.load(level_ptr + block, mask=block < key_blocks, other=-1).to(tl.int32)
        length = tl.load(length_ptr + block, mask=block < key_blocks, other=0)
        kept = level >= limit
        if needed < 2147483647:
            equal = (level == limit).to(tl.int32)
            rank = before + tl.cumsum(equal, 0) - equal
            before += tl.sum(equal, 0)
            taken = (equal > 0) & (rank < needed)
            last_equal = tl.where(begin == 0, -1, last_equal)
            last_equal = tl.maximum(last_equal, tl.max(tl.where(taken, block, -1), 0))
            kept = (level > limit) | taken
        if POOLED:
            dropped = tl.sum(tl.reshape(tl.where(kept, 0, length), [TILE // GROUP, GROUP]), 1).to(tl.float32)
            group = begin // GROUP + tl.arange(0, TILE // GROUP)
            left = tl.where(dropped > 0, tl.math.log(tl.maximum(dropped, 1.0)), -float("inf"))
            tl.store(left_ptr + group, left, mask=group < key_blocks // GROUP)
        kept = (kept & (length == full)).to(tl.int32)
        place = written + tl.cumsum(kept, 0) - kept
        tl.store(index_ptr + place, block, mask=(kept > 0) & (place < width))
        written += tl.sum(kept, 0)
    whole = written
    seen = written * full
    for begin in range(0, segments, TILE):  # short blocks, at most one a segment
        segment = begin + lane
        block = segment * each + tail
        level = tl.load(level_ptr + block, mask=segment < segments, other=-1).to(tl.int32)
        length = tl.load(length_ptr + block, mask=segment < segments, other=0)
        kept = (level > limit) | ((level == limit) & (block <= last_equal))
        kept = (kept & (length < full) & (length > 0)).to(tl.int32)
        place = written + tl.cumsum(kept, 0) - kept
        tl.store(index_ptr + place, block, mask=(kept > 0) & (place < width))
        written += tl.sum(kept, 0)
        seen += tl.sum(kept * length, 0)
    at = batch * count_batch + head * count_head + row
    tl.store(count_ptr + at, written)
    tl.store(whole_ptr + at, whole)
    tl.store(seen_ptr + at, seen)
