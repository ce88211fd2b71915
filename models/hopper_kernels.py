"""Softmax attention for Hopper GPUs in Gluon, Triton's language of explicit layouts and barriers; `hopper.py` calls it.

A program owns the queries of up to three warp groups, 64 each, and one more warp that does nothing but order copies:
the copy engine brings tiles of keys and values into two rings of shared memory while the warp groups multiply. "full"
barriers tell that a tile is there, "free" ones that all warp groups are done with it.

Importing this file imports Triton, so import it where it is used.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)

in_step = getattr(gl, "barrier", None) or gl.thread_barrier  # its name before Triton 3.7
copy_tile = getattr(tma, "async_load", None) or tma.async_copy_global_to_shared  # before Triton 3.8
GROUP_ROWS = gl.constexpr(64)  # queries of a warp group, the rows of its matrix products


@gluon.jit(
    do_not_specialize=[
        "heads",
        "first",
        "rows",
        "per_frame",
        "keys",
        "special_count",
        "groups",
        "short",
        "per_block",
        "gap",
        "skip",
        "state",
        "lse_pair",
        "index_row",
        "left_row",
    ]
)
def attend(
    q_ptr, o_ptr, k_desc, v_desc, sk_desc, sv_desc, ck_desc, cs_desc, cv_desc, left_ptr,
    index_ptr, begin_ptr, count_ptr, whole_ptr, q_start_ptr, q_length_ptr, lse_ptr,
    q_batch, q_head, q_row, o_batch, o_head, o_row, index_batch, index_head, index_row, left_batch, left_head, left_row,
    heads, first, rows, per_frame, keys, special_count, groups, short, per_block, gap, skip, state, lse_pair, scale,
    PARTS: gl.constexpr, SPECIAL: gl.constexpr, WARP_GROUPS: gl.constexpr, D: gl.constexpr, TILE: gl.constexpr,
    BLOCK: gl.constexpr, STAGES: gl.constexpr, LISTED: gl.constexpr, POOLED: gl.constexpr, OVERLAP: gl.constexpr,
    REGISTERS: gl.constexpr,
):  # fmt: skip
    """Queries of one part of a query block and one head over listed key blocks, special keys and centroids.

    Key blocks begin where `sparse.kernel.block_steps` says.
    LISTED = False: over all `keys` keys in tiles of BLOCK = TILE; no list is read, and rows is the number of queries.
    state: 0, or for one of several launches that see some of the keys each, 2: out and lse, the logarithm of the sum
    of all weights to base 2, are kept for the next one, 1: those of the last one are what this one begins with, or 3.
    Its lists begin at begin_ptr. OVERLAP: a warp group computes weights while its own last product still runs.
    """
    row = gl.program_id(0) // PARTS
    part = gl.program_id(0) % PARTS * (WARP_GROUPS * GROUP_ROWS)
    pair = gl.program_id(1)
    batch = pair // heads
    head = pair % heads
    PER: gl.constexpr = TILE // BLOCK
    list_ptr = index_ptr
    if LISTED:
        start = gl.load(q_start_ptr + first + row) + part
        length = gl.load(q_length_ptr + first + row) - part
        list_ptr += batch.to(gl.int64) * index_batch + head.to(gl.int64) * index_head + row.to(gl.int64) * index_row
        list_ptr += gl.load(begin_ptr + pair * rows + row, mask=state > 0, other=0)
        count = gl.load(count_ptr + pair * rows + row)
        whole = gl.load(whole_ptr + pair * rows + row)
    else:
        start = part + row * (PARTS * WARP_GROUPS * GROUP_ROWS)
        length = rows - start
        count = (keys + (BLOCK - 1)) // BLOCK
        whole = keys // BLOCK
    listed = (count + (PER - 1)) // PER
    tiles = listed + (special_count + (TILE - 1)) // TILE
    pools = (groups + (TILE - 1)) // TILE if POOLED else 0
    q_ptr += batch.to(gl.int64) * q_batch + head.to(gl.int64) * q_head
    o_ptr += batch.to(gl.int64) * o_batch + head.to(gl.int64) * o_head
    lse_ptr += pair.to(gl.int64) * lse_pair
    left_ptr += batch.to(gl.int64) * left_batch + head.to(gl.int64) * left_head + row.to(gl.int64) * left_row

    dtype: gl.constexpr = q_ptr.dtype.element_ty
    rows_of_tile: gl.constexpr = gl.NVMMASharedLayout(128, 16, 4)
    barrier: gl.constexpr = mbarrier.MBarrierLayout()
    q_tiles = gl.allocate_shared_memory(
        dtype, [2 * WARP_GROUPS if POOLED else WARP_GROUPS, GROUP_ROWS, D], gl.NVMMASharedLayout(128, 16, 2)
    )
    k_ring = gl.allocate_shared_memory(dtype, [STAGES, 1, 1, TILE, D], rows_of_tile)
    v_ring = gl.allocate_shared_memory(dtype, [STAGES, 1, 1, TILE, D], rows_of_tile)
    k_full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], barrier)
    k_free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], barrier)
    v_full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], barrier)
    v_free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], barrier)
    for i in gl.static_range(STAGES):
        mbarrier.init(k_full.index(i), count=1)
        mbarrier.init(v_full.index(i), count=1)
        mbarrier.init(k_free.index(i), count=WARP_GROUPS)
        mbarrier.init(v_free.index(i), count=WARP_GROUPS)
    fence_async_shared()

    rings = (q_tiles, k_ring, v_ring, k_full, k_free, v_full, v_free)
    counts = (listed, tiles, pools)
    where = (list_ptr, count, per_block, gap, skip)
    bring = (k_desc, v_desc, sk_desc, sv_desc, ck_desc, cs_desc, cv_desc, where, batch, head)
    given = (q_ptr, o_ptr, lse_ptr, left_ptr, q_row, o_row, start, length, per_frame, state)
    ends = (count, whole, special_count, groups, short)
    if WARP_GROUPS == 1:
        gl.warp_specialize(
            [
                (_compute, (given, ends, counts, rings, scale, gl.constexpr(0), BLOCK, SPECIAL, POOLED, OVERLAP)),
                (_bring, (bring, counts, rings, BLOCK, LISTED)),
            ],
            [1],
            [24],
        )
    elif WARP_GROUPS == 2:
        gl.warp_specialize(
            [
                (_compute, (given, ends, counts, rings, scale, gl.constexpr(0), BLOCK, SPECIAL, POOLED, OVERLAP)),
                (_compute, (given, ends, counts, rings, scale, gl.constexpr(1), BLOCK, SPECIAL, POOLED, OVERLAP)),
                (_bring, (bring, counts, rings, BLOCK, LISTED)),
            ],
            [4, 1],
            [REGISTERS, 24],
        )
    else:
        gl.warp_specialize(
            [
                (_compute, (given, ends, counts, rings, scale, gl.constexpr(0), BLOCK, SPECIAL, POOLED, OVERLAP)),
                (_compute, (given, ends, counts, rings, scale, gl.constexpr(1), BLOCK, SPECIAL, POOLED, OVERLAP)),
                (_compute, (given, ends, counts, rings, scale, gl.constexpr(2), BLOCK, SPECIAL, POOLED, OVERLAP)),
                (_bring, (bring, counts, rings, BLOCK, LISTED)),
            ],
            [4, 4, 1],
            [REGISTERS, REGISTERS, 24],
        )


@gluon.jit
def _bring(bring, counts, rings, BLOCK: gl.constexpr, LISTED: gl.constexpr):
    """Order the copies of all tiles, one after another, each as soon as its place in the ring is free."""
    k_desc, v_desc, sk_desc, sv_desc, ck_desc, cs_desc, cv_desc, where, batch, head = bring
    listed, tiles, pools = counts
    _, k_ring, v_ring, k_full, k_free, v_full, v_free = rings
    TILE: gl.constexpr = k_ring.shape[3]
    for tile in range(listed):
        _bring_blocks(k_desc, k_ring, k_full, k_free, tile, where, batch, head, BLOCK, LISTED)
        _bring_blocks(v_desc, v_ring, v_full, v_free, tile, where, batch, head, BLOCK, LISTED)
    for tile in range(listed, tiles):
        at = (tile - listed) * TILE
        _bring_tile(sk_desc, k_ring, k_full, k_free, tile, batch, head, at)
        _bring_tile(sv_desc, v_ring, v_full, v_free, tile, batch, head, at)
    for tile in range(pools):
        at = tile * TILE
        _bring_tile(cs_desc, k_ring, k_full, k_free, tiles + 2 * tile, batch, head, at)
        _bring_tile(ck_desc, k_ring, k_full, k_free, tiles + 2 * tile + 1, batch, head, at)
        _bring_tile(cv_desc, v_ring, v_full, v_free, tiles + tile, batch, head, at)


@gluon.jit
def _bring_blocks(desc, ring, full, free, tile, where, batch, head, BLOCK: gl.constexpr, LISTED: gl.constexpr):
    """Order the copies of a tile of several blocks."""
    list_ptr, count, per_block, gap, skip = where
    PER: gl.constexpr = ring.shape[3] // BLOCK
    place, barrier = _room(ring, full, free, tile)
    for i in gl.static_range(PER):
        block = tile * PER + i
        if LISTED:  # what is behind the list is masked later, but must be numbers
            block = gl.load(list_ptr + gl.minimum(block, count - 1))
        row = block * BLOCK
        if LISTED:
            row += gl.umulhi(block * 4 + 2, per_block) * gap + skip
        copy_tile(desc, [batch, head, row, 0], barrier, place.slice(i * BLOCK, BLOCK, dim=2))


@gluon.jit
def _bring_tile(desc, ring, full, free, number, batch, head, row):
    """Order the copy of a tile from some row on."""
    place, barrier = _room(ring, full, free, number)
    copy_tile(desc, [batch, head, row, 0], barrier, place)


@gluon.jit
def _compute(
    given, ends, counts, rings, scale,
    who: gl.constexpr, BLOCK: gl.constexpr, SPECIAL: gl.constexpr, POOLED: gl.constexpr, OVERLAP: gl.constexpr,
):  # fmt: skip
    """What warp group `who` does: online softmax, base 2, of 64 queries over all tiles."""
    q_ptr, o_ptr, lse_ptr, left_ptr, q_row, o_row, start, length, per_frame, state = given
    count, whole, special_count, groups, short = ends
    listed, tiles, pools = counts
    q_tiles, k_ring, v_ring, k_full, k_free, v_full, v_free = rings
    TILE: gl.constexpr = k_ring.shape[3]
    D: gl.constexpr = k_ring.shape[4]
    dtype: gl.constexpr = k_ring.dtype
    for_scores: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, TILE, 16])
    for_out: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, D, 16])
    weights_in: gl.constexpr = gl.DotOperandLayout(0, for_out, 2)
    out_row: gl.constexpr = gl.SliceLayout(1, for_out)

    in_rows: gl.constexpr = gl.BlockedLayout([1, 8], [256 // D, D // 8], [4, 1], [1, 0])
    lane = who * GROUP_ROWS + gl.arange(0, GROUP_ROWS, layout=gl.SliceLayout(1, in_rows))
    d = gl.arange(0, D, layout=gl.SliceLayout(0, in_rows))
    at = _token_row(start + lane, per_frame, SPECIAL)[:, None] * q_row + d[None, :]
    q = q_tiles.index(who)
    q.store(gl.load(q_ptr + at, mask=(lane < length)[:, None], other=0.0))
    fence_async_shared()
    in_step()

    top = gl.full([GROUP_ROWS], -1e30, gl.float32, layout=gl.SliceLayout(1, for_scores))  # finite: all may be masked
    total = gl.zeros([GROUP_ROWS], gl.float32, layout=gl.SliceLayout(1, for_scores))
    out = gl.zeros([GROUP_ROWS, D], gl.float32, layout=for_out)
    if state % 2 == 1:  # addresses made here, and once more below, need no registers in between
        lse_lane = who * GROUP_ROWS + gl.arange(0, GROUP_ROWS, layout=gl.SliceLayout(1, for_scores))
        top = gl.load(lse_ptr + start + lse_lane, mask=lse_lane < length, other=-1e30)
        total += 1.0
        o_lane = who * GROUP_ROWS + gl.arange(0, GROUP_ROWS, layout=out_row)
        o_column = gl.arange(0, D, layout=gl.SliceLayout(0, for_out))
        o_at = _token_row(start + o_lane, per_frame, SPECIAL)[:, None] * o_row + o_column[None, :]
        out = gl.load(o_ptr + o_at, mask=(o_lane < length)[:, None], other=0.0).to(gl.float32)
    nothing = gl.zeros([GROUP_ROWS, TILE], gl.float32, layout=for_scores)
    if tiles > 0:
        k = _arrived(k_ring, k_full, 0)
        scores = warpgroup_mma(q, k.permute((1, 0)), nothing, use_acc=False, is_async=True)
        scores = warpgroup_mma_wait(0, deps=[scores])
        _done(k_free, 0)
        if OVERLAP:  # weights of a tile while the last one is still being added up
            scores = _masked(scores, 0, listed, count, whole, short, special_count, BLOCK, for_scores)
            weights, shrink, top, total = _fold(scores, top, total, scale)
            weights = gl.convert_layout(weights.to(dtype), weights_in)
            for tile in range(1, tiles):
                k = _arrived(k_ring, k_full, tile)
                scores = warpgroup_mma(q, k.permute((1, 0)), nothing, use_acc=False, is_async=True)
                v = _arrived(v_ring, v_full, tile - 1)
                out = warpgroup_mma(weights, v, out, is_async=True)
                scores = warpgroup_mma_wait(1, deps=[scores])
                _done(k_free, tile)
                scores = _masked(scores, tile, listed, count, whole, short, special_count, BLOCK, for_scores)
                found, shrink, top, total = _fold(scores, top, total, scale)
                out, weights = warpgroup_mma_wait(0, deps=[out, weights])
                _done(v_free, tile - 1)
                out = out * gl.convert_layout(shrink, out_row)[:, None]
                weights = gl.convert_layout(found.to(dtype), weights_in)
        else:  # the sum of a tile together with the scores of the next one
            for tile in range(1, tiles):
                scores = _masked(scores, tile - 1, listed, count, whole, short, special_count, BLOCK, for_scores)
                weights, shrink, top, total = _fold(scores, top, total, scale)
                out = out * gl.convert_layout(shrink, out_row)[:, None]
                weights = gl.convert_layout(weights.to(dtype), weights_in)
                k = _arrived(k_ring, k_full, tile)
                v = _arrived(v_ring, v_full, tile - 1)
                out = warpgroup_mma(weights, v, out, is_async=True)
                scores = warpgroup_mma(q, k.permute((1, 0)), nothing, use_acc=False, is_async=True)
                out, scores, weights = warpgroup_mma_wait(0, deps=[out, scores, weights])
                _done(k_free, tile)
                _done(v_free, tile - 1)
            scores = _masked(scores, tiles - 1, listed, count, whole, short, special_count, BLOCK, for_scores)
            weights, shrink, top, total = _fold(scores, top, total, scale)
            out = out * gl.convert_layout(shrink, out_row)[:, None]
            weights = gl.convert_layout(weights.to(dtype), weights_in)
        out = warpgroup_mma(weights, _arrived(v_ring, v_full, tiles - 1), out, is_async=True)
        out = warpgroup_mma_wait(0, deps=[out])
        _done(v_free, tiles - 1)

    # Centroids of groups that are not seen in full, in the unit of q . k, as in sparse/kernel.py.
    if POOLED:
        squares = q_tiles.index(who + q_tiles.shape[0] // 2)
        found = q.load(in_rows).to(gl.float32)
        squares.store((found * found * (scale * 0.34657359027997264)).to(dtype))
        fence_async_shared()
        in_step()
        n = gl.arange(0, TILE, layout=gl.SliceLayout(0, for_scores))
        for tile in range(pools):
            known = n < groups - tile * TILE
            log_left = gl.load(left_ptr + tile * TILE + n, mask=known, other=-float("inf"))
            spread = _arrived(k_ring, k_full, tiles + 2 * tile)
            scores = warpgroup_mma(squares, spread.permute((1, 0)), nothing, use_acc=False, is_async=True)
            scores = warpgroup_mma_wait(0, deps=[scores])
            _done(k_free, tiles + 2 * tile)
            k = _arrived(k_ring, k_full, tiles + 2 * tile + 1)
            scores = warpgroup_mma(q, k.permute((1, 0)), scores, is_async=True)
            scores = warpgroup_mma_wait(0, deps=[scores])
            _done(k_free, tiles + 2 * tile + 1)
            scores = scores + (log_left * (1.4426950408889634 / scale))[None, :]
            weights, shrink, top, total = _fold(scores, top, total, scale)
            out = out * gl.convert_layout(shrink, out_row)[:, None]
            weights = gl.convert_layout(weights.to(dtype), weights_in)
            out = warpgroup_mma(weights, _arrived(v_ring, v_full, tiles + tile), out, is_async=True)
            out = warpgroup_mma_wait(0, deps=[out])
            _done(v_free, tiles + tile)

    total = gl.where(total > 0, total, 1.0)
    out = out / gl.convert_layout(total, out_row)[:, None]
    lane = who * GROUP_ROWS + gl.arange(0, GROUP_ROWS, layout=out_row)
    d = gl.arange(0, D, layout=gl.SliceLayout(0, for_out))
    at = _token_row(start + lane, per_frame, SPECIAL)[:, None] * o_row + d[None, :]
    gl.store(o_ptr + at, out.to(dtype), mask=(lane < length)[:, None])
    lse_lane = who * GROUP_ROWS + gl.arange(0, GROUP_ROWS, layout=gl.SliceLayout(1, for_scores))
    gl.store(lse_ptr + start + lse_lane, top + gl.log2(total), mask=(lse_lane < length) & (state >= 2))


@gluon.jit
def _fold(scores, top, total, scale):
    """Scores -> weights, by what earlier sums shrink, and the new maxima of scores * scale and sums of weights."""
    new_top = gl.maximum(top, gl.max(scores, 1) * scale)
    shrink = gl.exp2(top - new_top)
    weights = gl.exp2(scores * scale - new_top[:, None])
    return weights, shrink, new_top, total * shrink + gl.sum(weights, 1)


@gluon.jit
def _masked(scores, tile, listed, count, whole, short, special_count, BLOCK: gl.constexpr, layout: gl.constexpr):
    """-inf for keys that are not there; a tile that is all there costs nothing."""
    TILE: gl.constexpr = scores.shape[1]
    PER: gl.constexpr = TILE // BLOCK
    if ((tile >= whole // PER) & (tile < listed)) | (tile >= listed + special_count // TILE):
        n = gl.arange(0, TILE, layout=gl.SliceLayout(0, layout))
        if tile < listed:
            entry = tile * PER + n // BLOCK
            known = (entry < count) & (n % BLOCK < gl.where(entry < whole, BLOCK, short))
        else:
            known = n < special_count - (tile - listed) * TILE
        scores = gl.where(known[None, :], scores, -float("inf"))
    return scores


@gluon.jit
def _room(ring, full, free, number):
    """Wait for the place of the ring's `number`-th tile to be free -> the place, and the barrier for what will come."""
    STAGES: gl.constexpr = ring.shape[0]
    mbarrier.wait(free.index(number % STAGES), number // STAGES % 2 ^ 1)  # a new barrier counts as passed once
    barrier = full.index(number % STAGES)
    mbarrier.expect(barrier, ring.shape[3] * ring.shape[4] * 2)
    return ring.index(number % STAGES), barrier


@gluon.jit
def _arrived(ring, full, number):
    """Wait for the `number`-th tile of a ring -> a matrix (TILE, D)."""
    STAGES: gl.constexpr = ring.shape[0]
    mbarrier.wait(full.index(number % STAGES), number // STAGES % 2)
    return ring.index(number % STAGES).reshape([ring.shape[3], ring.shape[4]])


@gluon.jit
def _done(free, number):
    """This warp group is done with the `number`-th tile of a ring."""
    mbarrier.arrive(free.index(number % free.shape[0]))


@gluon.jit
def _token_row(patch, per_frame, SPECIAL: gl.constexpr):
    """Patches -> their rows among all tokens, where every frame begins with its special tokens."""
    if SPECIAL > 0:
        patch = patch + (patch // per_frame + 1) * SPECIAL
    return patch.to(gl.int64)
