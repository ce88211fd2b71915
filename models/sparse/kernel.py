"""Block-sparse attention as one Triton kernel over index lists; `reference.py` says what it computes.

Importing this file imports Triton, so import it where it is used. A program owns up to 128 queries of one head. It
walks the key blocks of its query block's list, then all special keys, then (if asked) the centroids of the blocks
that its list leaves out. Programs of one head run side by side and lists ascend, so neighbours read the same keys from
the L2 cache.

Patch tensors may be (B, heads, T, D), or (B, heads, N, patches, D): a view of all tokens with every frame's special
tokens cut off. Of such views nothing is copied.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from .blocks import BlockLayout, Centroids
from .select import BlockIndex

HEAD_WIDTHS = (16, 32, 48, 64, 80, 96, 128)
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
PRECISIONS = ("ieee", "tf32")
LARGEST_KEY_BLOCK = 128
OLDEST_GPU = (8, 0)  # Ampere: bfloat16 products and asynchronous copies
LOG2_E = math.log2(math.e)


def why_not(device: torch.device, dtype: torch.dtype, width: int, query_block: int, key_block: int) -> str | None:
    """Why this kernel cannot run with such tensors and blocks, in a few words, or None if it can."""
    if device.type != ("cpu" if interpreted() else "cuda"):
        return f"no Triton kernel for {device.type}"
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < OLDEST_GPU:
        return "the Triton kernel needs a GPU of compute capability 8.0 or later"
    if dtype not in DTYPES:
        return f"no Triton kernel for {dtype}"
    if width not in HEAD_WIDTHS:
        return f"no Triton kernel for heads of width {width}, only {', '.join(map(str, HEAD_WIDTHS))}"
    if key_block > LARGEST_KEY_BLOCK:
        return f"the Triton kernel takes key blocks of at most {LARGEST_KEY_BLOCK} tokens, not {key_block}"
    return None


def interpreted() -> bool:
    """True if the kernels run on the CPU through Triton's interpreter (TRITON_INTERPRET=1 at import)."""
    return not isinstance(_attend, triton.runtime.JITFunction)


@torch.no_grad()
def sparse_attention_triton(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    special_key: Tensor,
    special_value: Tensor,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None = None,
    *,
    precision: str = "ieee",
    out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The same as `sparse_attention_reference`: out (B, heads, t, D), lse (B, heads, t) of the index' query blocks.

    query, key and value may also be (B, heads, N, patches, D), see above. With `out`, of query's shape and any strides,
    the rows of the index are written there, so several pieces of an index fill one result, and `out` is returned.
    precision: how float32 operands are multiplied; 16-bit operands are multiplied as they are. Sums are float32. A
    query without any key gets zeros and -inf.
    """
    width = query.shape[-1]
    reason = why_not(query.device, query.dtype, width, blocks.query_block, blocks.key_block)
    if reason is not None:
        raise ValueError(f"Sparse attention cannot run here: {reason}; take another backend.")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    _check(query, key, value, special_key, special_value, blocks, index)
    first, last = blocks.query_span(index.first, index.first + index.rows)
    lse = torch.empty((*query.shape[:2], last - first), dtype=torch.float32, device=query.device)
    origin = 0  # the patch that the first row of out belongs to
    if out is None:
        origin = first
        out = torch.empty((*lse.shape, width), dtype=query.dtype, device=query.device)
    elif out.shape != query.shape or out.dtype != query.dtype:
        raise ValueError(f"out must be {query.dtype} {tuple(query.shape)}, got {out.dtype} {tuple(out.shape)}.")
    elif not Rows.regular(out):
        raise ValueError(f"Rows of out must lie at equal distances, each in one piece; its strides are {out.stride()}.")
    pooled = (None, None, None) if centroids is None else (centroids.key, centroids.value, centroids.log_count)
    cut = (blocks.segments, blocks.segment_length, blocks.query_block, blocks.key_block, index.first)
    operands = (query, key, value, special_key, special_value, index.indices, index.counts)
    _launch(*operands, out, lse, *pooled, *cut, first, origin, precision)
    return out, lse


def _check(
    query: Tensor, key: Tensor, value: Tensor, special_key: Tensor, special_value: Tensor,
    blocks: BlockLayout, index: BlockIndex,
) -> None:  # fmt: skip
    """Raise ValueError if shapes or types do not fit each other."""
    batch, heads, width = query.shape[0], query.shape[1], query.shape[-1]
    if key.shape != query.shape or value.shape != query.shape:
        shapes = ", ".join(str(tuple(x.shape)) for x in (query, key, value))
        raise ValueError(f"query, key and value must have one shape, got {shapes}.")
    if math.prod(query.shape[2:-1]) != blocks.tokens:
        raise ValueError(f"The blocks are cut for {blocks.tokens} patches, but query is {tuple(query.shape)}.")
    if special_key.shape != special_value.shape or special_key.shape != (batch, heads, special_key.shape[2], width):
        raise ValueError(
            f"special_key and special_value must be ({batch}, {heads}, S, {width}), got {tuple(special_key.shape)} and "
            f"{tuple(special_value.shape)}."
        )
    if index.counts.shape[:2] != (batch, heads) or index.first + index.rows > blocks.query_blocks:
        raise ValueError(
            f"The index has {tuple(index.counts.shape)} rows from {index.first} on, but there are {batch} x {heads} "
            f"heads of {blocks.query_blocks} query blocks."
        )
    dtypes = {x.dtype for x in (query, key, value, special_key, special_value)}
    if len(dtypes) > 1:
        raise ValueError(f"Queries, keys and values must have one type, got {', '.join(sorted(map(str, dtypes)))}.")


@torch.library.custom_op("manyview::block_sparse_attention", mutates_args=("out", "lse"))
def _launch(
    query: Tensor, key: Tensor, value: Tensor, special_key: Tensor, special_value: Tensor,
    indices: Tensor, counts: Tensor, out: Tensor, lse: Tensor,
    pooled_key: Tensor | None, pooled_value: Tensor | None, log_count: Tensor | None,
    segments: int, segment_length: int, query_block: int, key_block: int, first: int, first_patch: int, origin: int,
    precision: str,
) -> None:  # fmt: skip
    """Opaque to torch.compile, so that a compiled model has no graph break here."""
    blocks = BlockLayout(segments, segment_length, query_block, key_block, frames=segments)
    batch, heads, rows = counts.shape
    if counts.numel() == 0:
        return
    tile = tile_for(query_block, key_block, query.shape[-1], query.dtype, precision)
    q, k, v, o = (Rows.of(x) for x in (query, key, value, out))
    if (k.frame, k.gap) != (v.frame, v.gap) or k.frame < key_block:  # a block would cross several borders of frames
        k, v = (Rows.of(x.flatten(2, -2)) for x in (key, value))
    unit = (special_key, special_value, indices)
    special_key, special_value, indices = (x if x.stride(-1) == 1 else x.contiguous() for x in unit)
    pooled = pooled_key is not None
    if not pooled:
        pooled_key, pooled_value, log_count = special_key, special_value, lse  # never read
    pooled_key, pooled_value, counts = pooled_key.contiguous(), pooled_value.contiguous(), counts.contiguous()
    parts = -(-query_block // tile.queries)
    with on_device(query):
        _attend[(rows * parts, batch * heads)](
            q.base, k.base, v.base, o.base, lse, special_key, special_value, pooled_key, pooled_value, log_count,
            indices, counts, key_rows(blocks, k.frame, k.gap, query.device),
            *q.strides, *k.strides, *v.strides, *o.strides, *special_key.stride()[:3], *special_value.stride()[:3],
            *indices.stride()[:3], *lse.stride()[:2],
            heads, first, first_patch, origin, rows, segment_length, special_key.shape[2], blocks.key_blocks,
            q.frame, q.gap, o.frame, o.gap, k.gap, query.shape[-1] ** -0.5 * LOG2_E,
            D=query.shape[-1], BLOCK_D=triton.next_power_of_2(query.shape[-1]), QUERY_BLOCK=query_block, PARTS=parts,
            BLOCK_M=tile.queries, BLOCK_N=tile.keys, TILE=64, SPECIAL=special_key.shape[2] > 0, POOLED=pooled,
            SHORT=key_block != tile.keys or segment_length % key_block != 0,
            STRADDLE=k.gap > 0 and k.frame != segment_length, PRECISION=precision,
            EMULATE=interpreted() and query.dtype == torch.bfloat16,
            num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip


@_launch.register_fake
def _(*arguments: object) -> None:
    return None


@dataclass(frozen=True)
class Tile:
    """Queries and keys of one step of a program, its warps, and the depth of its load pipeline."""

    queries: int
    keys: int
    warps: int
    stages: int


def tile_for(query_block: int, key_block: int, width: int, dtype: torch.dtype, precision: str = "ieee") -> Tile:
    """What suits a Hopper GPU; nothing is tried out while running, so that every call compiles the same kernel.

    A query block of 192 is walked by three programs of 64 queries. A warp group of four warps multiplies 64 rows, so
    128 queries have eight warps where scores and sums of 128 rows would not fit into the registers of four.
    """
    queries = min((128, 64), key=lambda size: (-(-query_block // size) * size, -size))
    queries = min(queries, max(16, triton.next_power_of_2(query_block)))
    keys = max(16, triton.next_power_of_2(key_block))
    if dtype == torch.float32:  # more registers and shared memory for each number, so smaller tiles
        warps = 8 if keys * width > 64 * 64 else 4
        if precision == "ieee":
            return Tile(min(queries, 32), keys, warps, 1)
        return Tile(min(queries, 64), keys, warps, 2 if width <= 64 else 1)
    warps = 8 if queries == 128 else 4
    return Tile(queries, keys, warps, 2 if keys * width > 64 * 64 else 3)


@dataclass(frozen=True)
class Rows:
    """Tokens as rows of equal distance: patch t is row t + t // frame * gap."""

    base: Tensor
    strides: tuple[int, int, int]  # of batch, head, row
    frame: int
    gap: int

    @classmethod
    def of(cls, x: Tensor) -> "Rows":
        """Tokens (B, heads, T, D) or (B, heads, N, patches, D), copied only if they are no such rows."""
        if not cls.regular(x):
            x = x.flatten(2, -2).contiguous()
        if x.ndim == 4 or x.shape[2] == 1:
            x = x.flatten(2, -2)
            return cls(x, x.stride()[:3], max(x.shape[2], 1), 0)
        return cls(x, (x.stride(0), x.stride(1), x.stride(3)), x.shape[3], x.stride(2) // x.stride(3) - x.shape[3])

    @staticmethod
    def regular(x: Tensor) -> bool:
        """True if `of` need not copy."""
        if x.stride(-1) != 1:
            return False
        if x.ndim == 4 or x.shape[2] == 1:
            return True
        frame, row = x.stride(2), x.stride(3)
        return row > 0 and frame % row == 0 and frame // row >= x.shape[3]


def key_rows(blocks: BlockLayout, frame: int, gap: int, device: torch.device) -> Tensor:
    """(Kb, 3) int32: first row of each key block, its tokens, and how many rows on the next frame begins."""
    start, length = blocks.key_table(device)
    return torch.stack([start + start // frame * gap, length, frame - start % frame], dim=1)


def on_device(x: Tensor) -> AbstractContextManager:
    """Triton launches on the current device; make that the tensor's."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


@triton.jit
def as_operand(x, dtype: tl.constexpr, EMULATE: tl.constexpr):
    """x rounded to dtype for a product. The interpreter cannot round to bfloat16 or multiply it: done by hand."""
    if EMULATE:
        bits = x.to(tl.float32).to(tl.int32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & -65536
        return bits.to(tl.float32, bitcast=True)
    else:
        return x.to(dtype)


@triton.jit
def _fold(scores, v, top, total, out, scale, PRECISION: tl.constexpr, EMULATE: tl.constexpr):
    """One step of the online softmax, base 2: `top` is the maximum of scores * scale so far, `total` sums exp2.

    The scale is multiplied and the maximum subtracted by one fused instruction for each score.
    """
    new_top = tl.maximum(top, tl.max(scores, 1) * scale)
    shrink = tl.math.exp2(top - new_top)
    weights = tl.math.exp2(scores * scale - new_top[:, None])
    total = total * shrink + tl.sum(weights, 1)
    weights = as_operand(weights, v.dtype, EMULATE)
    out = tl.dot(weights, v, out * shrink[:, None], input_precision=PRECISION)
    return new_top, total, out


@triton.jit(
    do_not_specialize=[
        "heads", "first", "first_patch", "origin", "rows", "segment_length", "special_count", "key_blocks", "q_frame",
        "q_gap", "o_frame", "o_gap", "k_gap",
    ]
)  # fmt: skip
def _attend(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, sk_ptr, sv_ptr, pk_ptr, pv_ptr, log_count_ptr,
    index_ptr, count_ptr, table_ptr,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row, o_batch, o_head, o_row,
    sk_batch, sk_head, sk_row, sv_batch, sv_head, sv_row, index_batch, index_head, index_row, lse_batch, lse_head,
    heads, first, first_patch, origin, rows, segment_length, special_count, key_blocks,
    q_frame, q_gap, o_frame, o_gap, k_gap, scale,
    D: tl.constexpr, BLOCK_D: tl.constexpr, QUERY_BLOCK: tl.constexpr, PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, TILE: tl.constexpr, SPECIAL: tl.constexpr, POOLED: tl.constexpr,
    SHORT: tl.constexpr, STRADDLE: tl.constexpr, PRECISION: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) // PARTS  # of the index
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)

    # Queries of this program: patch, and its row in memory. Once for each program, so divisions do not matter.
    per_segment = (segment_length + QUERY_BLOCK - 1) // QUERY_BLOCK
    segment = (first + row) // per_segment
    inside = (first + row) % per_segment * QUERY_BLOCK + tl.program_id(0) % PARTS * BLOCK_M
    lane = tl.arange(0, BLOCK_M)
    live = (lane < segment_length - inside) & (lane < QUERY_BLOCK - tl.program_id(0) % PARTS * BLOCK_M)
    patch = segment * segment_length + inside + lane
    d = tl.arange(0, BLOCK_D)
    q_offset = (patch + patch // q_frame * q_gap).to(tl.int64)[:, None] * q_row + d[None, :]
    q = tl.load(q_ptr + batch * q_batch + head * q_head + q_offset, mask=live[:, None] & (d < D)[None, :], other=0.0)
    q = as_operand(q, q_ptr.dtype.element_ty, EMULATE)

    top = tl.full([BLOCK_M], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    out = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)

    # 1. The listed key blocks. A block number is loaded two steps ahead and its place one step ahead, so that no
    # load of keys waits for a chain of scalar loads. Padding and what lies behind the list reads as block 0.
    list_ptr = index_ptr + batch * index_batch + head * index_head + row.to(tl.int64) * index_row
    count = tl.load(count_ptr + (batch * heads + head) * rows + row)
    n = tl.arange(0, BLOCK_N)
    k_base = k_ptr + batch * k_batch + head * k_head
    v_base = v_ptr + batch * v_batch + head * v_head
    k_offset = n[:, None] * k_row + d[None, :]
    v_offset = n[:, None] * v_row + d[None, :]
    block = tl.load(list_ptr, mask=count > 0, other=0)
    place = table_ptr + block * 3
    start, length, border = tl.load(place), tl.load(place + 1), tl.load(place + 2)
    block = tl.load(list_ptr + 1, mask=count > 1, other=0)
    for step in range(count):
        k_from = k_base + start.to(tl.int64) * k_row
        v_from = v_base + start.to(tl.int64) * v_row
        if STRADDLE:
            jump = tl.where(n >= border, k_gap, 0)[:, None]
            k_at, v_at = k_from + (k_offset + jump * k_row), v_from + (v_offset + jump * v_row)
        else:
            k_at, v_at = k_from + k_offset, v_from + v_offset
        if SHORT:
            k = tl.load(k_at, mask=(n < length)[:, None] & (d < D)[None, :], other=0.0)
            v = tl.load(v_at, mask=(n < length)[:, None] & (d < D)[None, :], other=0.0)
        elif D < BLOCK_D:
            k = tl.load(k_at, mask=(d < D)[None, :], other=0.0)
            v = tl.load(v_at, mask=(d < D)[None, :], other=0.0)
        else:
            k, v = tl.load(k_at), tl.load(v_at)
        k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
        v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        if SHORT:  # noqa: SIM102 (a constant when compiling)
            if length < BLOCK_N:  # the same for the whole program: whole blocks pay for no mask
                scores = tl.where((n < length)[None, :], scores, -float("inf"))
        top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)
        place = table_ptr + block * 3
        start, length, border = tl.load(place), tl.load(place + 1), tl.load(place + 2)
        block = tl.load(list_ptr + step + 2, mask=step + 2 < count, other=0)

    # 2. All special keys.
    t = tl.arange(0, TILE)
    if SPECIAL:
        k_at = sk_ptr + batch * sk_batch + head * sk_head + t[:, None] * sk_row + d[None, :]
        v_at = sv_ptr + batch * sv_batch + head * sv_head + t[:, None] * sv_row + d[None, :]
        for begin in range(0, special_count, TILE):
            known = t < special_count - begin
            k = tl.load(k_at, mask=known[:, None] & (d < D)[None, :], other=0.0)
            v = tl.load(v_at, mask=known[:, None] & (d < D)[None, :], other=0.0)
            k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
            v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
            scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
            scores = tl.where(known[None, :], scores, -float("inf"))
            top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)
            k_at += TILE * sk_row
            v_at += TILE * sv_row

    # 3. Centroids of the blocks that are not listed. The list ascends, so the listed blocks of one tile are the next
    # few entries of the list, at most TILE.
    if POOLED:
        pool_offset = (batch * heads + head) * key_blocks * D + t[:, None] * D + d[None, :]
        k_at, v_at = pk_ptr + pool_offset, pv_ptr + pool_offset
        seen = 0
        for begin in range(0, key_blocks, TILE):
            known = t < key_blocks - begin
            k = tl.load(k_at, mask=known[:, None] & (d < D)[None, :], other=0.0)
            v = tl.load(v_at, mask=known[:, None] & (d < D)[None, :], other=0.0)
            k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
            v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
            listed = tl.load(list_ptr + seen + t, mask=t < count - seen, other=2147483647) - begin
            dropped = known & (tl.sum((listed[None, :] == t[:, None]).to(tl.int32), 1) == 0)
            seen += tl.sum((listed < TILE).to(tl.int32), 0)
            # The logarithm of the tokens, in the unit of the scores before scaling.
            weight = tl.load(log_count_ptr + begin + t, mask=known, other=0.0) * (1.4426950408889634 / scale)
            scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
            # All of a tile may be masked only after listed blocks, when `top` is finite.
            scores = tl.where(dropped[None, :], scores + weight[None, :], -float("inf"))
            top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)
            k_at += TILE * D
            v_at += TILE * D

    some = total > 0
    out = as_operand(out / tl.where(some, total, 1.0)[:, None], o_ptr.dtype.element_ty, EMULATE)
    written = patch - origin
    o_offset = (written + written // o_frame * o_gap).to(tl.int64)[:, None] * o_row + d[None, :]
    o_at = o_ptr + batch * o_batch + head * o_head + o_offset
    tl.store(o_at, out.to(o_ptr.dtype.element_ty), mask=live[:, None] & (d < D)[None, :])
    lse = tl.where(some, top + tl.math.log2(tl.where(some, total, 1.0)), -float("inf")) * 0.6931471805599453
    tl.store(lse_ptr + batch * lse_batch + head * lse_head + patch - first_patch, lse, mask=live)
