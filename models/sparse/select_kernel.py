"""Pooling and block choice as Triton kernels: the same as `pool` and `select_blocks`, without sorting.

Importing this file imports Triton, so import it where it is used. Scores of a piece of the query blocks come from one
matrix product; then one program for each row finds the least score that is kept, one bit after the other, and writes
the list in one ascending pass. Memory beside the lists is that of one piece of scores.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .blocks import BlockLayout, Centroids, blocks_in
from .config import SparsityConfig
from .kernel import Rows, as_operand, interpreted, on_device
from .select import BlockIndex, head_values, index_width, leaves_own

SCORES_AT_ONCE = 2**24  # 64 MiB: about the L2 cache of a large GPU
LARGEST_TILE = 4096  # scores that a program keeps in registers; longer rows are read again for each bit
OWN_RULES = {"score": 0, "always": 1, "never": 2}


@torch.no_grad()
def pool_triton(x: Tensor, segments: int, size: int, mode: str = "avg", dtype: torch.dtype = torch.float32) -> Tensor:
    """The same as `pool`, (B, heads, blocks, D) in `dtype`; x may also be (B, heads, N, patches, D), uncopied."""
    batch, heads, width = x.shape[0], x.shape[1], x.shape[-1]
    rows = Rows.of(x)
    tokens = x.shape[2:-1].numel()
    length = tokens // segments
    pooled = torch.empty((batch, heads, segments * blocks_in(length, size), width), dtype=dtype, device=x.device)
    with on_device(x):
        _pool[(pooled.shape[2], batch * heads)](
            rows.base, pooled, *rows.strides, heads, length, size, rows.frame, rows.gap,
            D=width, BLOCK_D=triton.next_power_of_2(width), SIZE=triton.next_power_of_2(size), MAXIMUM=mode == "max",
            EMULATE=interpreted() and dtype == torch.bfloat16, num_warps=4,
        )  # fmt: skip
    return pooled


def key_centroids_triton(key: Tensor, value: Tensor, blocks: BlockLayout) -> Centroids:
    """The same as `key_centroids`."""
    means = (pool_triton(x, blocks.segments, blocks.key_block, dtype=x.dtype) for x in (key, value))
    return Centroids(*means, blocks.key_table(key.device)[1].float().log())


@torch.no_grad()
def select_blocks_triton(
    pooled_query: Tensor,
    pooled_key: Tensor,
    blocks: BlockLayout,
    config: SparsityConfig,
    layer: int = 0,
    first: int = 0,
    rows: int | None = None,
) -> BlockIndex:
    """The same as `select_blocks`, ties included, for pooled queries and keys in float32.

    Where the mass of the best blocks comes within rounding (about 1e-6) of tau, the count may differ by a block,
    because sums of exponentials are taken in another order.
    """
    last = blocks.query_blocks if rows is None else first + rows
    batch, heads, key_blocks, _ = pooled_key.shape
    device = pooled_key.device
    width = index_width(blocks, config, layer, heads)
    indices = torch.full((batch, heads, last - first, width), -1, dtype=torch.int32, device=device)
    counts = torch.empty((batch, heads, last - first), dtype=torch.int32, device=device)
    at_once = max(1, SCORES_AT_ONCE // (batch * heads * key_blocks))
    for start in range(first, last, at_once):
        end = min(start + at_once, last)
        scores = pooled_query[:, :, start:end] @ pooled_key.transpose(-1, -2)  # (B, heads, rows, Kb), not yet scaled
        piece = slice(start - first, end - first)
        scale = pooled_query.shape[-1] ** -0.5
        _choose(scores, scale, blocks, config, layer, start, indices[:, :, piece], counts[:, :, piece])
    return BlockIndex(indices, counts, first)


def _choose(
    scores: Tensor, scale: float, blocks: BlockLayout, config: SparsityConfig, layer: int, start: int,
    indices: Tensor, counts: Tensor,
) -> None:  # fmt: skip
    """Fill indices and counts of the query blocks from `start` on."""
    batch, heads, rows, key_blocks = scores.shape
    if scores.numel() == 0:
        return
    least, taus = config.budget(layer, heads, key_blocks)
    by_mass = any(tau is not None for tau in taus)
    floor = head_values(least, torch.int64, scores.device)
    mass = head_values(tuple(-1.0 if tau is None else tau for tau in taus), torch.float32, scores.device)
    own = OWN_RULES[config.own_frame] if config.own_frame != "never" or leaves_own(blocks, config) else 0
    framed = config.layout == "frames"  # else blocks belong to no frame, and no rule asks for one
    key_frame = key_blocks // blocks.frames if framed else key_blocks
    query_frame = blocks.query_blocks // blocks.frames if framed else blocks.query_blocks
    quota = min(config.frame_quota, key_frame)
    forced = torch.empty(scores.shape if quota else 1, dtype=torch.uint8, device=scores.device)
    tile = max(16, triton.next_power_of_2(key_blocks))
    tile = tile if tile <= LARGEST_TILE else LARGEST_TILE // 2
    with on_device(scores):
        if quota:
            columns = triton.next_power_of_2(key_frame)
            frames = max(1, 1024 // columns)
            _mark_best[(batch * heads * rows, -(-blocks.frames // frames))](
                scores, forced, key_blocks, key_frame, QUOTA=quota, FRAMES=frames, COLUMNS=columns, num_warps=4
            )
        _choose_row[(rows, batch * heads)](
            scores, forced, floor, mass, indices, counts, *indices.stride()[:3], *counts.stride()[:2],
            heads, rows, key_blocks, start, key_frame, query_frame, indices.shape[-1], scale,
            TILE=tile, WHOLE=key_blocks <= tile, MASS=by_mass, OWN=own, QUOTA=quota > 0,
            num_warps=4 if tile <= 2048 else 8,
        )  # fmt: skip


@triton.jit(do_not_specialize=["heads", "length", "size", "frame", "gap"])
def _pool(
    x_ptr, pooled_ptr, x_batch, x_head, x_row, heads, length, size, frame, gap,
    D: tl.constexpr, BLOCK_D: tl.constexpr, SIZE: tl.constexpr, MAXIMUM: tl.constexpr,
    EMULATE: tl.constexpr,
):  # fmt: skip
    """One program pools one block of one head."""
    block, pair = tl.program_id(0), tl.program_id(1)
    per_segment = (length + size - 1) // size
    inside = block % per_segment * size
    lane = tl.arange(0, SIZE)
    live = (lane < size) & (lane < length - inside)
    token = block // per_segment * length + inside + lane
    d = tl.arange(0, BLOCK_D)
    base = x_ptr + (pair // heads).to(tl.int64) * x_batch + (pair % heads).to(tl.int64) * x_head
    at = base + (token + token // frame * gap).to(tl.int64)[:, None] * x_row + d[None, :]
    fill = -float("inf") if MAXIMUM else 0.0
    x = tl.load(at, mask=live[:, None] & (d < D)[None, :], other=fill).to(tl.float32)
    if MAXIMUM:
        pooled = tl.max(x, 0)
    else:
        pooled = tl.sum(x, 0) / tl.minimum(size, length - inside).to(tl.float32)
    at = pooled_ptr + (pair.to(tl.int64) * tl.num_programs(0) + block) * D + d
    tl.store(at, as_operand(pooled, pooled_ptr.dtype.element_ty, EMULATE).to(pooled_ptr.dtype.element_ty), mask=d < D)


@triton.jit(do_not_specialize=["key_blocks", "key_frame"])
def _mark_best(
    scores_ptr, forced_ptr, key_blocks, key_frame, QUOTA: tl.constexpr, FRAMES: tl.constexpr, COLUMNS: tl.constexpr
):  # fmt: skip
    """One program marks the QUOTA best key blocks in each of some frames of one row."""
    row = tl.program_id(0).to(tl.int64) * key_blocks
    column = tl.arange(0, COLUMNS)[None, :]
    block = (tl.program_id(1) * FRAMES + tl.arange(0, FRAMES))[:, None] * key_frame + column
    known = (column < key_frame) & (block < key_blocks)
    scores = tl.load(scores_ptr + row + block, mask=known, other=-float("inf"))
    marked = tl.zeros([FRAMES, COLUMNS], tl.int32)
    for _ in range(QUOTA):
        best = tl.max(scores, 1)[:, None]
        place = tl.min(tl.where(scores == best, column, COLUMNS), 1)[:, None]  # the first of equal scores
        marked = tl.where(column == place, 1, marked)
        scores = tl.where(column == place, -float("inf"), scores)
    tl.store(forced_ptr + row + block, marked.to(tl.uint8), mask=known)


@triton.jit
def _part(
    scores_ptr, forced_ptr, begin, key_blocks, scale, own_first, own_last,
    TILE: tl.constexpr, OWN: tl.constexpr, QUOTA: tl.constexpr,
):  # fmt: skip
    """Part of a row -> scores, integers of the same order (the least for what does not compete), allowed, forced."""
    block = begin + tl.arange(0, TILE)
    allowed = block < key_blocks
    scores = tl.load(scores_ptr + block, mask=allowed, other=0.0) * scale
    scores = tl.where(scores == 0, 0.0, scores)  # -0 and 0 are equal
    bits = scores.to(tl.int32, bitcast=True)
    order = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    mine = (block >= own_first) & (block < own_last)
    forced = block < 0
    if QUOTA:
        forced = tl.load(forced_ptr + block, mask=allowed, other=0) > 0
    if OWN == 1:
        forced = forced | mine
    if OWN == 2:
        allowed = allowed & (mine == 0)
    forced = forced & allowed
    order = tl.where(allowed & (forced == 0), order, -2147483648)
    return scores, order, allowed, forced


@triton.jit(do_not_specialize=["heads", "rows", "key_blocks", "start", "key_frame", "query_frame", "width"])
def _choose_row(
    scores_ptr, forced_ptr, least_ptr, mass_ptr, index_ptr, count_ptr,
    index_batch, index_head, index_row, count_batch, count_head,
    heads, rows, key_blocks, start, key_frame, query_frame, width, scale,
    TILE: tl.constexpr, WHOLE: tl.constexpr, MASS: tl.constexpr, OWN: tl.constexpr, QUOTA: tl.constexpr,
):  # fmt: skip
    """One program chooses for one row: forced blocks, then the best of the others until count and mass suffice."""
    row, pair = tl.program_id(0), tl.program_id(1)
    batch, head = pair // heads, pair % heads
    scores_ptr += (pair.to(tl.int64) * rows + row) * key_blocks
    if QUOTA:
        forced_ptr += (pair.to(tl.int64) * rows + row) * key_blocks
    own_first = (start + row) // query_frame * key_frame
    own_last = own_first + key_frame
    least = tl.load(least_ptr + head).to(tl.int32)

    # What is forced, and all mass, relative to the best score.
    top = -float("inf")
    forced_count = 0
    for begin in range(0, key_blocks, TILE):
        scores, order, allowed, forced = _part(
            scores_ptr, forced_ptr, begin, key_blocks, scale, own_first, own_last, TILE, OWN, QUOTA
        )  # fmt: skip
        top = tl.maximum(top, tl.max(tl.where(allowed, scores, -float("inf")), 0))
        forced_count += tl.sum(forced.to(tl.int32), 0)
    target = 0.0
    forced_mass = 0.0
    if MASS:
        for begin in range(0, key_blocks, TILE):
            scores, order, allowed, forced = _part(
                scores_ptr, forced_ptr, begin, key_blocks, scale, own_first, own_last, TILE, OWN, QUOTA
            )  # fmt: skip
            weight = tl.where(allowed, tl.math.exp2((scores - top) * 1.4426950408889634), 0.0)
            target += tl.sum(weight, 0)
            forced_mass += tl.sum(tl.where(forced, weight, 0.0), 0)
        target *= tl.load(mass_ptr + head)

    # The greatest integer such that the blocks that reach it suffice, bit by bit from the highest. Rows of one tile
    # stay in registers.
    limit = tl.full([], -2147483648, tl.int64)
    bit = tl.full([], 2147483648, tl.int64)
    if WHOLE:
        scores, order, allowed, forced = _part(
            scores_ptr, forced_ptr, 0, key_blocks, scale, own_first, own_last, TILE, OWN, QUOTA
        )  # fmt: skip
        weight = tl.where(allowed, tl.math.exp2((scores - top) * 1.4426950408889634), 0.0)
        for _ in range(32):
            reach = order >= (limit + bit).to(tl.int32)
            enough = forced_count + tl.sum(reach.to(tl.int32), 0) >= least
            if MASS:
                enough = enough & (forced_mass + tl.sum(tl.where(reach, weight, 0.0), 0) >= target)
            limit = tl.where(enough, limit + bit, limit)
            bit = bit >> 1
    else:
        for _ in range(32):
            reached = forced_count
            mass = forced_mass
            for begin in range(0, key_blocks, TILE):
                scores, order, allowed, forced = _part(
                    scores_ptr, forced_ptr, begin, key_blocks, scale, own_first, own_last, TILE, OWN, QUOTA
                )  # fmt: skip
                reach = order >= (limit + bit).to(tl.int32)
                reached += tl.sum(reach.to(tl.int32), 0)
                if MASS:
                    weight = tl.where(reach, tl.math.exp2((scores - top) * 1.4426950408889634), 0.0)
                    mass += tl.sum(weight, 0)
            limit = tl.where((reached >= least) & (mass >= target), limit + bit, limit)
            bit = bit >> 1

    # Of the blocks that are exactly at the limit, the first few that are still needed.
    limit = limit.to(tl.int32)
    above_count = forced_count
    above_mass = forced_mass
    for begin in range(0, key_blocks, TILE):
        scores, order, allowed, forced = _part(
            scores_ptr, forced_ptr, begin, key_blocks, scale, own_first, own_last, TILE, OWN, QUOTA
        )  # fmt: skip
        above = order > limit
        above_count += tl.sum(above.to(tl.int32), 0)
        if MASS:
            weight = tl.math.exp2((scores - top) * 1.4426950408889634)
            above_mass += tl.sum(tl.where(above, weight, 0.0), 0)
    needed = least - above_count
    if MASS:
        score = (limit ^ ((limit >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
        weight = tl.math.exp2((score - top) * 1.4426950408889634)
        more = tl.where(weight > 0, tl.math.ceil((target - above_mass) / tl.where(weight > 0, weight, 1.0)), 0.0)
        needed = tl.maximum(needed, tl.minimum(tl.maximum(more, 0.0), 1e9).to(tl.int32))

    index_ptr += batch.to(tl.int64) * index_batch + head.to(tl.int64) * index_head + row.to(tl.int64) * index_row
    written = 0
    level_before = 0
    for begin in range(0, key_blocks, TILE):
        scores, order, allowed, forced = _part(
            scores_ptr, forced_ptr, begin, key_blocks, scale, own_first, own_last, TILE, OWN, QUOTA
        )  # fmt: skip
        level = ((order == limit) & allowed & (forced == 0)).to(tl.int32)
        rank = level_before + tl.cumsum(level, 0) - level
        kept = (forced | (allowed & (order > limit)) | ((level > 0) & (rank < needed))).to(tl.int32)
        place = written + tl.cumsum(kept, 0) - kept
        tl.store(index_ptr + place, begin + tl.arange(0, TILE), mask=(kept > 0) & (place < width))
        level_before += tl.sum(level, 0)
        written += tl.sum(kept, 0)
    tl.store(count_ptr + batch.to(tl.int64) * count_batch + head.to(tl.int64) * count_head + row, written)
