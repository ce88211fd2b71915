"""ManyView's choice of blocks as Triton kernels: the same as `select.index_chunks`; the paper's is in `rank_kernel.py`.

One kernel takes the softmax sums of all rows of scores, one turns scores into levels of shares, one counts the levels,
one writes the lists. Levels are two bytes each and held for a piece of the query blocks; where that is not everything,
they are computed a second time when the threshold is known.

Importing this file imports Triton, so import it where it is used.
"""

from collections.abc import Callable, Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launch import LOG2_E, on_device
from .blocks import BlockLayout
from .config import SparsityConfig
from .kernel import as_operand, interpreted
from .rank_kernel import rank_blocks_triton
from .select import (
    FIRST_LEVEL,
    LEVEL_SHIFT,
    LEVELS,
    BlockIndex,
    Sample,
    Summary,
    empty_index,
    index_pieces,
    share_threshold,
)

LEVELS_AT_ONCE = 2**24  # levels of shares held at one time, 32 MiB: about the L2 cache of a large GPU
KEY_TILES = 8  # tiles of 64 key blocks that a program of levels walks


def index_chunks_triton(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int = 0, limit_bytes: int | None = None
) -> Iterator[BlockIndex]:
    """The same as `select.index_chunks`, ties included.

    Where a mass or a share comes within rounding (about 1e-6) of a limit, a block may be chosen otherwise, because sums
    are taken in another order.
    """
    pieces = index_pieces(summary, blocks, config, layer, limit_bytes)
    if not config.own:
        yield from (rank_blocks_triton(summary, blocks, config, layer, first, last) for first, last in pieces)
        return
    with torch.no_grad():  # as a decorator of a generator it would hold on to every piece until the next one is there
        find = piece_finder(summary, blocks, config, layer)
    for first, last in pieces:
        with torch.no_grad():
            index = empty_index(summary, blocks, config, layer, first, last)
            find(index)
        yield index
        del index  # its room is free before the next one is made


def piece_finder(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int
) -> Callable[[BlockIndex], None]:
    """Find ManyView's threshold for a layer -> a function that fills in a piece of its index."""
    batch, heads = summary.query.shape[:2]
    bias = summary.lengths.float().log2()  # -inf without tokens
    totals = row_totals(summary, bias)
    histogram = torch.zeros((batch, heads, LEVELS), dtype=torch.int64, device=totals.device)
    at_once = max(1, LEVELS_AT_ONCE // (batch * heads * blocks.key_blocks))
    sample, every = Sample.of(blocks, batch * summary.heads.total), Sample.every(blocks)
    parts = blocks.part_table(totals.device)
    for first in range(0, sample.count, at_once):
        end = min(first + at_once, sample.count)
        levels = share_levels_triton(summary, blocks, parts, totals, bias, first, end, sample)
        count_levels(levels, histogram)
    threshold = share_threshold(histogram, sample.count, blocks, config, layer, summary.heads).contiguous()
    once = sample == every and at_once >= blocks.query_blocks
    there = levels if once else None  # of all query blocks

    def find(index: BlockIndex) -> None:
        last = index.first + index.rows
        for start in range(index.first, last, at_once):
            end = min(start + at_once, last)
            if there is not None:
                known = there[:, :, start:end]
            else:
                known = share_levels_triton(summary, blocks, parts, totals, bias, start, end, every)
            keep_blocks_triton(known, threshold, blocks, summary.lengths, index.part(start, end))

    return find


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
    summary: Summary,
    blocks: BlockLayout,
    parts: Tensor,
    totals: Tensor,
    bias: Tensor,
    first: int,
    last: int,
    sample: Sample,
) -> Tensor:
    """The same as `select.share_levels` for the query blocks number first..last - 1 of a sample, int16.

    parts: `blocks.part_table`, which is the same for every piece of a layer.
    """
    batch, heads, rows, depth = summary.query.shape
    levels = torch.empty((batch, heads, last - first, blocks.key_blocks), dtype=torch.int16, device=totals.device)
    square, spread = spread_of(summary)
    padded = triton.next_power_of_2(blocks.parts)
    high = max(1, 8 // padded)
    grid = (triton.cdiv(blocks.key_blocks, 64 * KEY_TILES), triton.cdiv(last - first, 8 * high), batch * heads)
    with on_device(totals):
        _share_levels[grid](
            summary.query, square, summary.key, spread, bias, totals, parts, levels,
            heads, summary.heads.first, summary.heads.total, first, last, rows, blocks.key_blocks, blocks.queries_each,
            sample.each, sample.stride, depth**-0.5 * LOG2_E,
            TURN=sample.turn, PARTS=blocks.parts, PADDED=padded, HIGH=high, TILES=KEY_TILES, LEVELS=LEVELS,
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


@triton.jit(
    do_not_specialize=[
        "heads", "first_head", "all_heads", "first", "last", "rows", "key_blocks", "queries_each", "each",
        "stride",
    ]
)  # fmt: skip
def _share_levels(
    query_ptr, square_ptr, key_ptr, spread_ptr, bias_ptr, total_ptr, part_ptr, level_ptr,
    heads, first_head, all_heads, first, last, rows, key_blocks, queries_each, each, stride, scale,
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
    frame = number // each * stride
    if TURN:
        head = first_head + (pair % heads).to(tl.int32)
        inside = (inside + head * queries_each // all_heads) % queries_each
        frame += head * stride // all_heads
    live = (number < last) & (part < PARTS)
    row = (frame * queries_each + inside) * PARTS + part
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
