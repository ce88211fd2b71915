"""Block-sparse attention as one Triton kernel over index lists; `reference.py` says what it computes.

Importing this file imports Triton, so import it where it is used. A program owns up to 128 queries of one head. It
walks the key blocks of its query block's list, then all special keys, then (if asked) the centroids of what its list
leaves out. Programs of one head run side by side and lists ascend, so neighbours read the same keys from the L2 cache.

Keys are fetched row by row, so a tile of keys may be made of several small blocks at almost no cost: on an H100, blocks
of 16 keys run at 95 % of the speed of blocks of 64. Nothing is copied: tokens are read where the projection left them.
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
POOL_TILE, POOL_STAGES = (
    32,
    1,
)  # of the loop over centroids: small, so that its registers do not cost a resident program


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
    if device.type == "cuda":
        needed = shared_bytes(tile_for(query_block, key_block, width, dtype), width, dtype)
        if needed > shared_limit(device):
            return f"tiles of {needed // 1024} KiB do not fit into this GPU's shared memory"
    return None


def interpreted() -> bool:
    """True if the kernels run on the CPU through Triton's interpreter (TRITON_INTERPRET=1 at import)."""
    return not isinstance(_attend, triton.runtime.JITFunction)


@torch.no_grad()
def sparse_attention_triton(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None = None,
    *,
    out: Tensor,
    lse: Tensor | None = None,
    tables: "Tables | None" = None,
    precision: str = "ieee",
) -> None:
    """The same as `sparse_attention_reference`, written into the patches of the index' query blocks.

    query, key, value, out: all tokens (B, heads, N * P, D), rows of any strides; lse (B, heads, patches) float32. A
    query without any key gets zeros and -inf. precision: how float32 operands are multiplied; 16-bit operands are
    multiplied as they are. Sums are float32.
    """
    width = query.shape[-1]
    reason = why_not(query.device, query.dtype, width, blocks.query_block, blocks.key_block)
    if reason is not None:
        raise ValueError(f"Sparse attention cannot run here: {reason}; take another backend.")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    _check(query, key, value, out, blocks, index)
    if index.counts.numel() == 0:
        return
    batch, heads, rows = index.counts.shape
    tables = tables or Tables.of(blocks, query.device)
    tile = tile_for(blocks.query_block, blocks.key_block, width, query.dtype, precision)
    parts = -(-blocks.query_block // tile.queries)
    indices = index.indices if index.indices.stride(-1) == 1 else index.indices.contiguous()
    counts, whole = index.counts.contiguous(), index.whole.contiguous()
    pooled = centroids is not None
    own = (centroids.key, centroids.spread, centroids.value) if pooled else (key, key, key)  # else never read
    own = [x.contiguous() for x in own] if pooled else own
    left = index.left if pooled else counts
    segment_length = blocks.segment_length
    with on_device(query):
        _attend[(rows * parts, batch * heads)](
            query, key, value, out, counts if lse is None else lse, *own, left,
            indices, counts, whole, tables.query_start, tables.query_length, tables.key_row, tables.key_border,
            *query.stride()[:3], *key.stride()[:3], *value.stride()[:3], *out.stride()[:3],
            *indices.stride()[:3], *left.stride()[:3], *((0, 0) if lse is None else lse.stride()[:2]),
            heads, index.first, rows, blocks.layout.height * blocks.layout.width, blocks.layout.frames,
            blocks.key_groups, segment_length % blocks.key_block or blocks.key_block, width**-0.5 * LOG2_E,
            D=width, BLOCK_D=triton.next_power_of_2(width), PARTS=parts, SPECIAL=blocks.layout.special,
            BLOCK_M=tile.queries, BLOCK_N=tile.keys, BLOCK=triton.next_power_of_2(blocks.key_block),
            TILE=32, POOLED=pooled, POOL_TILE=POOL_TILE, POOL_STAGES=POOL_STAGES,
            ODD=triton.next_power_of_2(blocks.key_block) != blocks.key_block, LSE=lse is not None,
            KEY_BLOCK=blocks.key_block, STRADDLE=straddle(blocks), PRECISION=precision,
            EMULATE=interpreted() and query.dtype == torch.bfloat16,
            num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip


def _check(query: Tensor, key: Tensor, value: Tensor, out: Tensor, blocks: BlockLayout, index: BlockIndex) -> None:
    """Raise ValueError if shapes or types do not fit each other."""
    shapes = {tuple(x.shape) for x in (query, key, value, out)}
    tokens = blocks.layout.frames * blocks.layout.tokens_per_frame
    if len(shapes) > 1 or query.shape[2] != tokens:
        raise ValueError(
            f"Queries, keys, values and out must have one shape with {tokens} tokens, got {sorted(shapes)}."
        )
    if index.counts.shape[:2] != query.shape[:2] or index.first + index.rows > blocks.query_blocks:
        raise ValueError(
            f"The index has {tuple(index.counts.shape)} rows from {index.first} on, but there are {query.shape[0]} x "
            f"{query.shape[1]} heads of {blocks.query_blocks} query blocks."
        )
    dtypes = {x.dtype for x in (query, key, value, out)}
    if len(dtypes) > 1:
        raise ValueError(f"Queries, keys and values must have one type, got {', '.join(sorted(map(str, dtypes)))}.")
    if any(x.stride(-1) != 1 for x in (query, key, value, out)):
        raise ValueError("The numbers of a query, key or value must lie side by side; make the tensors contiguous.")


@dataclass(frozen=True)
class Tables:
    """First patches and lengths of all blocks, int32, on the device."""

    query_start: Tensor  # (Qb,)
    query_length: Tensor
    key_start: Tensor  # (Kb,)
    key_length: Tensor
    key_row: Tensor  # row of the first patch among all tokens; the patch itself where blocks cross several frames
    key_border: Tensor  # patches from the start to the end of its frame

    @classmethod
    def of(cls, blocks: BlockLayout, device: torch.device) -> "Tables":
        start, length = blocks.key_table(device)
        per_frame = blocks.layout.height * blocks.layout.width
        row = start if straddle(blocks) == 2 else blocks.token_rows(start)
        return cls(*blocks.query_table(device), start, length, row, per_frame - start % per_frame)


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
    block = triton.next_power_of_2(key_block)
    if dtype == torch.float32:  # more registers and shared memory for each number, so smaller tiles
        keys = max(16, min(block, 64))
        warps = 8 if keys * width > 64 * 64 else 4
        if precision == "ieee":
            return Tile(min(queries, 32), max(keys, block), warps, 1)
        return Tile(min(queries, 64), max(keys, block), warps, 2 if width <= 64 else 1)
    keys = max(block, 64)
    if queries == 128:
        return Tile(queries, keys, 4 if keys == 128 and width <= 64 else 8, 3 if keys * width <= 64 * 64 else 2)
    return Tile(queries, keys, 4, 3 if keys * width <= 64 * 64 else 2)


def straddle(blocks: BlockLayout) -> int:
    """How many borders of frames a key block can cross: 0, 1, or 2 for any number."""
    if blocks.framed or blocks.layout.special == 0:
        return 0
    return 1 if blocks.key_block <= blocks.layout.height * blocks.layout.width else 2


def shared_bytes(tile: Tile, width: int, dtype: torch.dtype) -> int:
    """Shared memory of a program, about: the queries and the pipeline of keys and values."""
    width = triton.next_power_of_2(width)
    return (tile.queries + 2 * tile.stages * tile.keys) * width * dtype.itemsize


def shared_limit(device: torch.device) -> int:
    """Shared memory that one program may have; older PyTorch does not tell, so Ampere's least is taken."""
    return getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 101_376)


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


@triton.jit
def token_row(patch, per_frame, SPECIAL: tl.constexpr):
    """Patches -> their rows among all tokens, where every frame begins with its special tokens."""
    return (patch + (patch // per_frame + 1) * SPECIAL).to(tl.int64)


@triton.jit
def key_row(start, border, inside, per_frame, SPECIAL: tl.constexpr, STRADDLE: tl.constexpr):
    """Rows among all tokens of the patches start + inside; a division for each only where it must be."""
    if STRADDLE == 2:
        return token_row(start + inside, per_frame, SPECIAL)
    row = start + inside
    if STRADDLE == 1:
        row += tl.where(inside >= border, SPECIAL, 0)
    return row.to(tl.int64)


@triton.jit(
    do_not_specialize=["heads", "first", "rows", "per_frame", "frames", "groups", "short", "left_row", "index_row"]
)
def _attend(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, ck_ptr, cs_ptr, cv_ptr, left_ptr,
    index_ptr, count_ptr, whole_ptr, q_start_ptr, q_length_ptr, k_start_ptr, k_border_ptr,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row, o_batch, o_head, o_row,
    index_batch, index_head, index_row, left_batch, left_head, left_row, lse_batch, lse_head,
    heads, first, rows, per_frame, frames, groups, short, scale,
    D: tl.constexpr, BLOCK_D: tl.constexpr, PARTS: tl.constexpr, SPECIAL: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr, POOLED: tl.constexpr,
    POOL_TILE: tl.constexpr, POOL_STAGES: tl.constexpr,
    ODD: tl.constexpr, LSE: tl.constexpr, KEY_BLOCK: tl.constexpr, STRADDLE: tl.constexpr,
    PRECISION: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) // PARTS  # of the index
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)

    lane = tl.program_id(0) % PARTS * BLOCK_M + tl.arange(0, BLOCK_M)
    live = lane < tl.load(q_length_ptr + first + row)
    patch = tl.load(q_start_ptr + first + row) + lane
    q_token = token_row(patch, per_frame, SPECIAL)[:, None]
    d = tl.arange(0, BLOCK_D)
    q_at = q_ptr + batch * q_batch + head * q_head + q_token * q_row + d[None, :]
    q = tl.load(q_at, mask=live[:, None] & (d < D)[None, :], other=0.0)
    q = as_operand(q, q_ptr.dtype.element_ty, EMULATE)

    top = tl.full([BLOCK_M], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    out = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)

    # 1. The listed key blocks, PER of them in a tile. A block's number is loaded two tiles ahead and its place one tile
    # ahead, so that no load of keys waits for a chain of loads. First the tiles of whole blocks, without any mask;
    # then what is left of them and the short ones.
    PER: tl.constexpr = BLOCK_N // BLOCK
    n = tl.arange(0, BLOCK_N)
    inside = n % BLOCK
    which = n // BLOCK
    list_ptr = index_ptr + batch * index_batch + head * index_head + row.to(tl.int64) * index_row
    count = tl.load(count_ptr + (batch * heads + head) * rows + row)
    whole = tl.load(whole_ptr + (batch * heads + head) * rows + row)
    k_base = k_ptr + batch * k_batch + head * k_head + d[None, :]
    v_base = v_ptr + batch * v_batch + head * v_head + d[None, :]
    tiles = whole // PER
    if ODD:
        tiles = 0
    block = tl.load(list_ptr + which, mask=which < count, other=0)
    start = tl.load(k_start_ptr + block)
    border = start
    if STRADDLE == 1:
        border = tl.load(k_border_ptr + block)
    block = tl.load(list_ptr + PER + which, mask=PER + which < count, other=0)
    for tile in range(tiles):
        token = key_row(start, border, inside, per_frame, SPECIAL, STRADDLE)[:, None]
        if D < BLOCK_D:
            k = tl.load(k_base + token * k_row, mask=(d < D)[None, :], other=0.0)
            v = tl.load(v_base + token * v_row, mask=(d < D)[None, :], other=0.0)
        else:
            k, v = tl.load(k_base + token * k_row), tl.load(v_base + token * v_row)
        start = tl.load(k_start_ptr + block)
        border = start
        if STRADDLE == 1:
            border = tl.load(k_border_ptr + block)
        after = (tile + 2) * PER + which
        block = tl.load(list_ptr + after, mask=after < count, other=0)
        k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
        v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)
    for done in range(tiles * PER, count, PER):
        entry = done + which
        block = tl.load(list_ptr + entry, mask=entry < count, other=0)
        known = (entry < count) & (inside < tl.where(entry < whole, KEY_BLOCK, short))
        border = block
        if STRADDLE == 1:
            border = tl.load(k_border_ptr + block)
        token = key_row(tl.load(k_start_ptr + block), border, inside, per_frame, SPECIAL, STRADDLE)[:, None]
        k = tl.load(k_base + token * k_row, mask=known[:, None] & (d < D)[None, :], other=0.0)
        v = tl.load(v_base + token * v_row, mask=known[:, None] & (d < D)[None, :], other=0.0)
        k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
        v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        scores = tl.where(known[None, :], scores, -float("inf"))
        top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)

    # 2. All special keys.
    t = tl.arange(0, TILE)
    if SPECIAL > 0:
        for begin in range(0, frames * SPECIAL, TILE):
            known = begin + t < frames * SPECIAL
            token = ((begin + t) // SPECIAL).to(tl.int64) * (per_frame + SPECIAL) + (begin + t) % SPECIAL
            k = tl.load(k_base + token[:, None] * k_row, mask=known[:, None] & (d < D)[None, :], other=0.0)
            v = tl.load(v_base + token[:, None] * v_row, mask=known[:, None] & (d < D)[None, :], other=0.0)
            k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
            v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
            scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
            scores = tl.where(known[None, :], scores, -float("inf"))
            top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)

    # 3. Centroids of groups that are not seen in full.
    if POOLED:
        square = as_operand(q.to(tl.float32) * q.to(tl.float32), q_ptr.dtype.element_ty, EMULATE)
        c = tl.arange(0, POOL_TILE)
        pool_offset = (batch * heads + head) * groups * D + c[:, None] * D + d[None, :]
        left_at = left_ptr + batch * left_batch + head * left_head + row.to(tl.int64) * left_row + c
        for begin in tl.range(0, groups, POOL_TILE, num_stages=POOL_STAGES):
            known = c < groups - begin
            at = pool_offset + begin * D
            within = known[:, None] & (d < D)[None, :]
            k = as_operand(tl.load(ck_ptr + at, mask=within, other=0.0), q_ptr.dtype.element_ty, EMULATE)
            spread = as_operand(tl.load(cs_ptr + at, mask=within, other=0.0), q_ptr.dtype.element_ty, EMULATE)
            v = as_operand(tl.load(cv_ptr + at, mask=within, other=0.0), q_ptr.dtype.element_ty, EMULATE)
            left = tl.load(left_at + begin, mask=known, other=0).to(tl.float32)
            # All terms in the unit of q . k: half the spread times 1 / sqrt(D), and the logarithm times sqrt(D).
            scores = tl.dot(square, tl.trans(spread), input_precision=PRECISION) * (scale * 0.34657359027997264)
            scores = tl.dot(q, tl.trans(k), scores, input_precision=PRECISION)
            log_left = tl.math.log2(tl.maximum(left, 1.0)) / scale
            scores = tl.where((left > 0)[None, :], scores + log_left[None, :], -float("inf"))
            if tl.max(left, 0) > 0:  # else nothing may have been seen yet, and -inf less -inf is no number
                top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)

    some = total > 0
    out = as_operand(out / tl.where(some, total, 1.0)[:, None], o_ptr.dtype.element_ty, EMULATE)
    o_at = o_ptr + batch * o_batch + head * o_head + q_token * o_row + d[None, :]
    tl.store(o_at, out.to(o_ptr.dtype.element_ty), mask=live[:, None] & (d < D)[None, :])
    if LSE:
        lse = tl.where(some, top + tl.math.log2(tl.where(some, total, 1.0)), -float("inf")) * 0.6931471805599453
        tl.store(lse_ptr + batch * lse_batch + head * lse_head + patch, lse, mask=live)
