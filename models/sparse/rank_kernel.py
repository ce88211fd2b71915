"""The paper's choice of blocks as a Triton kernel: the same as `select.rank_blocks`, without sorting.

Scores of a piece of the query blocks come from one matrix product; then one program for each row finds the least score
that is kept, one bit after the other, and writes the list in one ascending pass.

Importing this file imports Triton, so import it where it is used.
"""

import torch
import triton
import triton.language as tl

from ..launch import on_device
from .blocks import BlockLayout
from .config import SparsityConfig
from .select import BlockIndex, Summary, empty_index, head_values

SCORES_AT_ONCE = 2**24  # 64 MiB: about the L2 cache of a large GPU
LARGEST_TILE = 8192  # scores that a program keeps in registers; longer rows are read again for each bit


@torch.no_grad()
def rank_blocks_triton(
    summary: Summary, blocks: BlockLayout, config: SparsityConfig, layer: int, first: int, last: int
) -> BlockIndex:
    """The same as `select.rank_blocks`."""
    batch, heads, key_blocks, depth = summary.key.shape
    device = summary.key.device
    index = empty_index(summary, blocks, config, layer, first, last)
    least, taus = map(summary.heads.own, config.budget(layer, summary.heads.total, blocks))
    floor = head_values(least, torch.int64, device)
    mass = head_values(tuple(-1.0 if tau is None else tau for tau in taus), torch.float32, device)
    tile = max(16, triton.next_power_of_2(key_blocks))
    tile = tile if tile <= LARGEST_TILE else LARGEST_TILE // 2
    at_once = max(1, SCORES_AT_ONCE // (batch * heads * key_blocks))
    for start in range(first, last, at_once):
        end = min(start + at_once, last)
        scores = summary.query[:, :, start:end] @ summary.key.transpose(-1, -2)  # (B, heads, rows, Kb), not yet scaled
        part = index.part(start, end)
        with on_device(scores):
            _choose_row[(end - start, batch * heads)](
                scores, floor, mass, summary.lengths, part.indices, part.counts, part.whole, part.seen,
                *part.indices.stride()[:3], *part.counts.stride()[:2],
                heads, end - start, key_blocks, index.indices.shape[-1], depth**-0.5, blocks.key_block,
                TILE=tile, ONE=key_blocks <= tile, MASS=any(tau is not None for tau in taus),
                num_warps=4 if tile <= 2048 else 8,
            )  # fmt: skip
    return index


# --- kernels --------------------------------------------------------------------------------------------------------


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
