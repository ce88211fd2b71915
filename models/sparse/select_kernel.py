"""Pooling and block choice as Triton kernels: the same as `blocks.py` and `select.py`, without sorting.

Importing this file imports Triton, so import it where it is used.

The paper's rule: scores of a piece of the query blocks come from one matrix product; then one program for each row
finds the least score that is kept, one bit after the other, and writes the list in one ascending pass.

ManyView's rule: one kernel takes the softmax sums of all rows of scores, one turns scores into levels of shares, one
counts the levels, one writes the lists. Levels are two bytes each and held for a piece of the query blocks; where that
is not everything, they are computed a second time when the threshold is known.
"""

from collections.abc import Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from .blocks import BlockLayout, Centroids, Moments, grouped, special_tokens
from .config import SparsityConfig
from .kernel import LOG2_E, Tables, as_operand, interpreted, on_device, token_row
from .select import (
    INDEX_LIMIT_BYTES,
    LEVELS,
    LEVELS_PER_OCTAVE,
    BlockIndex,
    Summary,
    head_values,
    index_pieces,
    index_width,
    share_threshold,
)

SCORES_AT_ONCE = 2**24  # scores of the paper's rule, 64 MiB: about the L2 cache of a large GPU
LEVELS_AT_ONCE = 2**26  # levels of our own rule, 128 MiB
LARGEST_TILE = 4096  # scores that a program keeps in registers; longer rows are read again for each bit


@torch.no_grad()
def prepare(
    query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, blocks: BlockLayout, config: SparsityConfig,
    tables: Tables,
) -> tuple[Summary, Centroids | None]:  # fmt: skip
    """The same as `select.summarize` and `grouped`, from all tokens (B, heads, N * P, D)."""
    if not config.own:
        mode = config.pooling
        pooled_query, _ = pool_triton(query, blocks, tables.query_start, tables.query_length, blocks.query_block, mode)
        pooled_key, _ = pool_triton(key, blocks, tables.key_start, tables.key_length, blocks.key_block, mode)
        return Summary(pooled_query, pooled_key, lengths), None
    dtype = torch.bfloat16 if query.dtype.itemsize == 2 else query.dtype
    spread = config.pooling == "spread"
    mode = "moments" if spread or config.centroid_block else "avg"
    part = blocks.query_block // blocks.parts
    starts = tables.query_start[:, None] + torch.arange(0, blocks.query_block, part, device=query.device)
    sizes = blocks.part_table(query.device)
    square = "square" if spread else "avg"
    pooled_query, query_square = pool_triton(query, blocks, starts.flatten(), sizes.flatten(), part, square, dtype)
    key_mean, key_spread = pool_triton(key, blocks, tables.key_start, tables.key_length, blocks.key_block, mode)
    centroids = None
    if config.centroid_block:
        value_mean, _ = pool_triton(value, blocks, tables.key_start, tables.key_length, blocks.key_block, "avg")
        keys = grouped(Moments(key_mean, key_spread), lengths, blocks.group)
        values = grouped(Moments(value_mean, None), lengths, blocks.group)
        centroids = Centroids(*(x.to(query.dtype) for x in (keys.mean, keys.variance, values.mean)))
    return Summary(
        pooled_query,
        key_mean.to(dtype),
        lengths,
        query_square if spread else None,
        key_spread.to(dtype) if spread else None,
        special_tokens(key, blocks).to(dtype),
    ), centroids


@torch.no_grad()
def pool_triton(
    x: Tensor, blocks: BlockLayout, starts: Tensor, lengths: Tensor, size: int, mode: str,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Blocks of tokens x (B, heads, N * P, D) that begin at the patches `starts`, (B, heads, blocks, D) in `dtype`.

    mode: "avg" or "max" gives one result; "square" the means and the mean squares, "moments" means and variances.
    """
    batch, heads, _, width = x.shape
    pooled = torch.empty((batch, heads, len(starts), width), dtype=dtype, device=x.device)
    second = torch.empty_like(pooled) if mode in ("square", "moments") else None
    with on_device(x):
        _pool[(len(starts), batch * heads)](
            x, pooled, pooled if second is None else second, starts.to(torch.int32), lengths,
            *x.stride()[:3], heads, blocks.layout.height * blocks.layout.width,
            D=width, BLOCK_D=triton.next_power_of_2(width), SIZE=triton.next_power_of_2(size),
            SPECIAL=blocks.layout.special, MODE=mode, EMULATE=interpreted() and dtype == torch.bfloat16, num_warps=4,
        )  # fmt: skip
    return pooled, second


@torch.no_grad()
def index_chunks_triton(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int = 0, limit_bytes: int | None = None
) -> Iterator[BlockIndex]:
    """The same as `select.index_chunks`, ties included.

    Where a mass or a share comes within rounding (about 1e-6) of a limit, a block may be chosen otherwise, because sums
    are taken in another order.
    """
    batch, heads = summary.query.shape[:2]
    pieces = index_pieces(blocks, config, layer, (batch, heads), limit_bytes or INDEX_LIMIT_BYTES)
    if not config.own:
        yield from (rank_blocks_triton(summary, blocks, config, layer, first, last) for first, last in pieces)
        return
    totals = row_totals(summary, blocks)
    histogram = torch.zeros((batch, heads, LEVELS), dtype=torch.int64, device=totals.device)
    at_once = max(1, LEVELS_AT_ONCE // (batch * heads * blocks.key_blocks))
    for first in range(0, blocks.query_blocks, at_once):
        levels = share_levels_triton(summary, blocks, totals, first, min(first + at_once, blocks.query_blocks))
        count_levels(levels, histogram)
    threshold = share_threshold(histogram, blocks, config, layer).contiguous()
    for first, last in pieces:
        index = empty_index(blocks, config, layer, (batch, heads), first, last, totals.device)
        for start in range(first, last, at_once):
            end = min(start + at_once, last)
            if at_once < blocks.query_blocks:
                known = share_levels_triton(summary, blocks, totals, start, end)
            else:  # all levels are still there
                known = levels[:, :, start:end]
            keep_blocks_triton(known, threshold, blocks, summary.lengths, rows_of(index, start, end))
        yield index


def empty_index(
    blocks: BlockLayout, config: SparsityConfig, layer: int, pairs: tuple[int, int], first: int, last: int,
    device: torch.device,
) -> BlockIndex:  # fmt: skip
    """Room for the index of the query blocks first..last - 1; `pairs` are (B, heads)."""
    shape = (*pairs, last - first)
    indices = torch.full((*shape, index_width(blocks, config, layer, pairs[1])), -1, dtype=torch.int32, device=device)
    counts, whole, seen = (torch.empty(shape, dtype=torch.int32, device=device) for _ in range(3))
    left = None
    if config.own and config.centroid_block:
        left = torch.empty((*shape, blocks.key_groups), dtype=torch.int16, device=device)
    return BlockIndex(indices, counts, whole, seen, left, first)


def rows_of(index: BlockIndex, start: int, end: int) -> BlockIndex:
    """A view of the query blocks start..end - 1."""
    rows = slice(start - index.first, end - index.first)
    fields = (index.indices, index.counts, index.whole, index.seen, index.left)
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


def row_totals(summary: Summary, blocks: BlockLayout) -> Tensor:
    """Logarithm to base 2 of the sum over key blocks and special tokens, for each row of scores, (B, heads, rows)."""
    batch, heads, rows, depth = summary.query.shape
    totals = torch.empty((batch, heads, rows), dtype=torch.float32, device=summary.query.device)
    square, spread = spread_of(summary)
    special = summary.special.contiguous()
    with on_device(totals):
        _row_totals[(triton.cdiv(rows, 64), batch * heads)](
            summary.query, square, summary.key, spread, summary.lengths, special, totals,
            rows, blocks.key_blocks, special.shape[2], depth**-0.5 * LOG2_E,
            **score_options(summary), num_warps=4, num_stages=score_stages(summary),
        )  # fmt: skip
    return totals


def share_levels_triton(summary: Summary, blocks: BlockLayout, totals: Tensor, first: int, last: int) -> Tensor:
    """The same as `select.share_levels`, (B, heads, rows, Kb) int16."""
    batch, heads, rows, depth = summary.query.shape
    levels = torch.empty((batch, heads, last - first, blocks.key_blocks), dtype=torch.int16, device=totals.device)
    square, spread = spread_of(summary)
    parts = triton.next_power_of_2(blocks.parts)
    lanes = max(64, parts)
    with on_device(totals):
        _share_levels[(triton.cdiv(blocks.key_blocks, 64), triton.cdiv(last - first, lanes // parts), batch * heads)](
            summary.query, square, summary.key, spread, summary.lengths, totals, blocks.part_table(totals.device),
            levels, first, last, rows, blocks.key_blocks, depth**-0.5 * LOG2_E,
            PARTS=blocks.parts, PADDED=parts, LANES=lanes, LEVELS=LEVELS, PER_OCTAVE=LEVELS_PER_OCTAVE,
            **score_options(summary), num_warps=4,
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
    left = index.counts if index.left is None else index.left
    with on_device(levels):
        _keep_blocks[(rows, batch * heads)](
            levels, threshold, lengths, index.indices, index.counts, index.whole, index.seen, left,
            *levels.stride()[:2], *index.indices.stride()[:3], *index.counts.stride()[:2], *left.stride()[:3],
            heads, key_blocks, index.indices.shape[-1], blocks.key_block,
            TILE=max(16, min(1024, triton.next_power_of_2(key_blocks)), blocks.group), GROUP=blocks.group,
            POOLED=index.left is not None, LEVELS=LEVELS, num_warps=4,
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


@triton.jit(do_not_specialize=["heads", "per_frame"])
def _pool(
    x_ptr, pooled_ptr, second_ptr, start_ptr, length_ptr, x_batch, x_head, x_row, heads, per_frame,
    D: tl.constexpr, BLOCK_D: tl.constexpr, SIZE: tl.constexpr, SPECIAL: tl.constexpr, MODE: tl.constexpr,
    EMULATE: tl.constexpr,
):  # fmt: skip
    """One program pools one block of one head."""
    block, pair = tl.program_id(0), tl.program_id(1)
    length = tl.load(length_ptr + block)
    lane = tl.arange(0, SIZE)
    live = lane < length
    d = tl.arange(0, BLOCK_D)
    base = x_ptr + (pair // heads).to(tl.int64) * x_batch + (pair % heads).to(tl.int64) * x_head
    at = base + token_row(tl.load(start_ptr + block) + lane, per_frame, SPECIAL)[:, None] * x_row + d[None, :]
    within = live[:, None] & (d < D)[None, :]
    count = tl.maximum(length, 1).to(tl.float32)
    to = (pair.to(tl.int64) * tl.num_programs(0) + block) * D + d
    if MODE == "max":
        pooled = tl.max(tl.load(at, mask=within, other=-float("inf")).to(tl.float32), 0)
        pooled = tl.where(length > 0, pooled, 0.0)
    else:
        x = tl.load(at, mask=within, other=0.0).to(tl.float32)
        pooled = tl.sum(x, 0) / count
        if MODE != "avg":
            second = tl.sum(x * x, 0) / count
            if MODE == "moments":
                second = tl.maximum(second - pooled * pooled, 0.0)
            second = as_operand(second, second_ptr.dtype.element_ty, EMULATE).to(second_ptr.dtype.element_ty)
            tl.store(second_ptr + to, second, mask=d < D)
    pooled = as_operand(pooled, pooled_ptr.dtype.element_ty, EMULATE).to(pooled_ptr.dtype.element_ty)
    tl.store(pooled_ptr + to, pooled, mask=d < D)


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
    q, square, key_ptr, spread_ptr, length_ptr, base, begin, key_blocks, scale,
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
    length = tl.load(length_ptr + block, mask=known, other=0).to(tl.float32)
    scores = tl.dot(q, tl.trans(k), input_precision="ieee")
    if SPREAD:
        spread = as_operand(tl.load(spread_ptr + at, mask=within, other=0.0), dtype, EMULATE)
        # half the spread over D, in the unit of q . k
        scores += tl.dot(square, tl.trans(spread), input_precision="ieee") * (scale * 0.34657359027997264)
    return tl.where(
        (length > 0)[None, :], scores * scale + tl.math.log2(tl.maximum(length, 1.0))[None, :], -float("inf")
    )


@triton.jit(do_not_specialize=["rows", "key_blocks", "special_count"])
def _row_totals(
    query_ptr, square_ptr, key_ptr, spread_ptr, length_ptr, special_ptr, total_ptr,
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
            q, square, key_ptr, spread_ptr, length_ptr, base, begin, key_blocks, scale, D, BLOCK_D, 64, SPREAD, EMULATE
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


@triton.jit(do_not_specialize=["first", "last", "rows", "key_blocks"])
def _share_levels(
    query_ptr, square_ptr, key_ptr, spread_ptr, length_ptr, total_ptr, part_ptr, level_ptr,
    first, last, rows, key_blocks, scale,
    PARTS: tl.constexpr, PADDED: tl.constexpr, LANES: tl.constexpr, LEVELS: tl.constexpr, PER_OCTAVE: tl.constexpr,
    D: tl.constexpr, BLOCK_D: tl.constexpr, SPREAD: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """One program makes the levels of some query blocks and 64 key blocks of one head."""
    pair = tl.program_id(2).to(tl.int64)
    BLOCKS: tl.constexpr = LANES // PADDED
    lane = tl.arange(0, LANES)
    block = first + tl.program_id(1) * BLOCKS + lane // PADDED
    part = lane % PADDED
    live = (block < last) & (part < PARTS)
    row = block * PARTS + part
    d = tl.arange(0, BLOCK_D)
    at = (pair * rows + row)[:, None] * D + d[None, :]
    within = live[:, None] & (d < D)[None, :]
    dtype: tl.constexpr = query_ptr.dtype.element_ty
    q = as_operand(tl.load(query_ptr + at, mask=within, other=0.0), dtype, EMULATE)
    square = q
    if SPREAD:
        square = as_operand(tl.load(square_ptr + at, mask=within, other=0.0), dtype, EMULATE)
    begin = tl.program_id(0) * 64
    scores = _scores(
        q, square, key_ptr, spread_ptr, length_ptr, pair * key_blocks, begin, key_blocks, scale,
        D, BLOCK_D, 64, SPREAD, EMULATE,
    )  # fmt: skip
    total = tl.load(total_ptr + pair * rows + row, mask=live, other=0.0)
    tokens = tl.load(part_ptr + row, mask=live, other=0).to(tl.float32)
    weights = tl.math.exp2(scores - total[:, None]) * tokens[:, None]
    share = tl.sum(tl.reshape(weights, [BLOCKS, PADDED, 64]), 1)
    share = share / tl.maximum(tl.sum(tl.reshape(tokens, [BLOCKS, PADDED]), 1), 1.0)[:, None]
    level = tl.math.floor(tl.math.log2(tl.maximum(share, 1e-30)) * PER_OCTAVE) + (LEVELS - 1)
    level = tl.minimum(tl.maximum(level, 0.0), LEVELS - 1.0).to(tl.int32)
    key = begin + tl.arange(0, 64)
    length = tl.load(length_ptr + key, mask=key < key_blocks, other=0)
    level = tl.where((length > 0)[None, :], level, -1)
    out = first + tl.program_id(1) * BLOCKS + tl.arange(0, BLOCKS)
    at = (pair * (last - first) + (out - first))[:, None] * key_blocks + key[None, :]
    tl.store(level_ptr + at, level.to(tl.int16), mask=(out < last)[:, None] & (key < key_blocks)[None, :])


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


@triton.jit(do_not_specialize=["heads", "key_blocks", "width", "full", "level_head", "left_row", "index_row"])
def _keep_blocks(
    level_ptr, threshold_ptr, length_ptr, index_ptr, count_ptr, whole_ptr, seen_ptr, left_ptr,
    level_batch, level_head, index_batch, index_head, index_row, count_batch, count_head,
    left_batch, left_head, left_row, heads, key_blocks, width, full,
    TILE: tl.constexpr, GROUP: tl.constexpr, POOLED: tl.constexpr, LEVELS: tl.constexpr,
):  # fmt: skip
    """One program writes the list of one row."""
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

    index_ptr += batch * index_batch + head * index_head + row * index_row
    left_ptr += batch * left_batch + head * left_head + row * left_row
    whole = 0
    seen = 0
    written = 0
    for short in range(2):  # whole blocks, then short ones
        before = 0
        for begin in range(0, key_blocks, TILE):
            block = begin + lane
            level = tl.load(level_ptr + block, mask=block < key_blocks, other=-1).to(tl.int32)
            length = tl.load(length_ptr + block, mask=block < key_blocks, other=0)
            equal = (level == limit).to(tl.int32)
            rank = before + tl.cumsum(equal, 0) - equal
            kept = (level > limit) | ((equal > 0) & (rank < needed))
            before += tl.sum(equal, 0)
            if POOLED:
                dropped = tl.sum(tl.reshape(tl.where(kept, 0, length), [TILE // GROUP, GROUP]), 1)
                group = begin // GROUP + tl.arange(0, TILE // GROUP)
                tl.store(left_ptr + group, dropped.to(tl.int16), mask=group < key_blocks // GROUP)
            kept = (kept & ((length < full) == (short > 0))).to(tl.int32)
            place = written + tl.cumsum(kept, 0) - kept
            tl.store(index_ptr + place, block, mask=(kept > 0) & (place < width))
            written += tl.sum(kept, 0)
            seen += tl.sum(kept * length, 0)
        whole = tl.where(short == 0, written, whole)
    at = batch * count_batch + head * count_head + row
    tl.store(count_ptr + at, written)
    tl.store(whole_ptr + at, whole)
    tl.store(seen_ptr + at, seen)
