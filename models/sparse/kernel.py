"""Block-sparse attention as one Triton kernel over index lists; `reference.py` says what it computes.

Importing this file imports Triton, so import it where it is used. A program owns up to 128 queries of one head. It
walks the key blocks of its query block's list, then all special keys, then (if asked) the centroids of what its list
leaves out. Programs of one head run side by side and lists ascend, so neighbours read the same keys from the L2 cache.

Keys are fetched row by row, so a tile of keys may be made of several small blocks at almost no cost. Queries are read
and results written where the projections left and want them. So are keys and values whose blocks lie inside frames;
blocks that straddle frames are packed first.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..gpu_kernels import why_no_kernels
from ..launch import LOG2_E, on_device
from .blocks import BlockLayout, Centroids
from .select import BlockIndex

HEAD_WIDTHS = (16, 32, 48, 64, 80, 96, 128)
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
PRECISIONS = ("ieee", "tf32")
LARGEST_KEY_BLOCK = 128
SHORT_TILE, SHORT_STAGES = 32, 2  # special keys and centroids of one step, and the depth of its load pipeline


def why_not(device: torch.device, dtype: torch.dtype, width: int, query_block: int, key_block: int) -> str | None:
    """Why this kernel cannot run with such tensors and blocks, in a few words, or None if it can."""
    if device.type != ("cpu" if interpreted() else "cuda"):
        return f"no Triton kernel for {device.type}"
    if device.type == "cuda" and (reason := why_no_kernels(device)) is not None:
        return reason
    if dtype not in DTYPES:
        return f"no Triton kernel for {dtype}"
    if width not in HEAD_WIDTHS:
        return f"no Triton kernel for heads of width {width}, only {', '.join(map(str, HEAD_WIDTHS))}"
    if key_block > LARGEST_KEY_BLOCK or key_block & (key_block - 1):
        return f"the Triton kernel takes key blocks of 1, 2, 4 ... {LARGEST_KEY_BLOCK} tokens, not {key_block}"
    if device.type == "cuda":
        needed = shared_bytes(tile_for(query_block, key_block, width, dtype), width, dtype)
        if needed > shared_limit(device):
            return f"tiles of {needed // 1024} KiB do not fit into this GPU's shared memory"
    return None


def interpreted() -> bool:
    """True if the kernels run on the CPU through Triton's interpreter (TRITON_INTERPRET=1 at import)."""
    return INTERPRETED


@dataclass(frozen=True)
class Readable:
    """Keys and values as the kernels read them, rows of any strides; the special ones once more, in one piece.

    Blocks inside frames are read where they lie among all tokens. Blocks that straddle frames are packed: one behind
    another, each with room for `key_block` tokens even where it is short; what is left of it is zero.
    """

    key: Tensor  # (B, heads, N * P, D), or packed (B, heads, Kb * key_block, D)
    value: Tensor
    special_key: Tensor  # (B, heads, N * S, D)
    special_value: Tensor


def block_steps(blocks: BlockLayout) -> tuple[int, int, int]:
    """(per_block, gap, skip): key block b begins at row b * key_block + floor((4 b + 2) per_block / 2^32) gap + skip.

    That is the segment of b, without a division, while (4 b + 2) times the blocks of a segment is below 2^31.
    """
    if not blocks.framed:
        return 0, 0, 0
    gap = blocks.layout.tokens_per_frame - blocks.keys_each * blocks.key_block
    return -(-(2**30) // blocks.keys_each), gap, blocks.layout.special


@torch.no_grad()
def sparse_attention_triton(
    query: Tensor,
    keys: Readable,
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

    query, out: all tokens (B, heads, N * P, D), rows of any strides; lse (B, heads, patches) float32. A query without
    any key gets zeros and -inf. precision: how float32 operands are multiplied; 16-bit operands are multiplied as they
    are. Sums are float32.
    """
    width = query.shape[-1]
    reason = why_not(query.device, query.dtype, width, blocks.query_block, blocks.key_block)
    if reason is not None:
        raise ValueError(f"Sparse attention cannot run here: {reason}; take another backend.")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    _check(query, keys, out, blocks, index)
    if index.counts.numel() == 0:
        return
    batch, heads, rows = index.counts.shape
    tables = tables or Tables.of(blocks, query.device)
    tile = tile_for(blocks.query_block, blocks.key_block, width, query.dtype, precision)
    parts = -(-blocks.query_block // tile.queries)
    indices, counts, whole = index.in_memory()
    pooled = centroids is not None
    unused = keys.special_key
    own = (centroids.key, centroids.spread, centroids.value) if pooled else (unused, unused, unused)
    left = index.log_left if pooled else counts
    with on_device(query):
        _attend[(rows * parts, batch * heads)](
            query, keys.key, keys.value, out, counts if lse is None else lse,
            keys.special_key, keys.special_value, *own, left,
            indices, counts, whole, tables.query_start, tables.query_length,
            *query.stride()[:3], *keys.key.stride()[:2], *keys.value.stride()[:2], *out.stride()[:3],
            *indices.stride()[:3], *left.stride()[:3],
            *((0, 0) if lse is None else lse.stride()[:2]),
            heads, index.first, rows, blocks.layout.height * blocks.layout.width, keys.special_key.shape[2],
            blocks.key_groups, blocks.last_key_block, *block_steps(blocks), width**-0.5 * LOG2_E,
            K_ROW=keys.key.stride(2), V_ROW=keys.value.stride(2),
            D=width, BLOCK_D=triton.next_power_of_2(width), PARTS=parts, SPECIAL=blocks.layout.special,
            BLOCK_M=tile.queries, BLOCK_N=tile.keys, BLOCK=blocks.key_block, POOLED=pooled,
            SPECIAL_TILE=tile.special, POOL_TILE=SHORT_TILE, STAGES=SHORT_STAGES,
            LSE=lse is not None, PRECISION=precision,
            EMULATE=interpreted() and query.dtype == torch.bfloat16,
            num_warps=tile.warps, num_stages=tile.stages, **(limits(tile) if query.dtype.itemsize == 2 else {}),
        )  # fmt: skip


def _check(query: Tensor, keys: Readable, out: Tensor, blocks: BlockLayout, index: BlockIndex) -> None:
    """Raise ValueError if shapes or types do not fit each other."""
    batch, heads, _, width = query.shape
    layout = blocks.layout
    tokens = layout.frames * layout.tokens_per_frame
    if query.shape != out.shape or query.shape[2] != tokens:
        shapes = f"{tuple(query.shape)} and {tuple(out.shape)}"
        raise ValueError(f"Queries and out must have one shape with {tokens} tokens, got {shapes}.")
    rows, special = tokens if blocks.framed else blocks.key_blocks * blocks.key_block, layout.frames * layout.special
    wanted = (
        (keys.key, rows, keys.key.stride(-1) == 1),
        (keys.value, rows, keys.value.stride(-1) == 1),
        (keys.special_key, special, keys.special_key.is_contiguous()),
        (keys.special_value, special, keys.special_value.is_contiguous()),
    )
    for x, rows, readable in wanted:
        if x.shape != (batch, heads, rows, width) or not readable:
            raise ValueError(
                f"Keys and values must be {(batch, heads, rows, width)}, the numbers of a key side by side and the "
                f"special ones in one piece, got {tuple(x.shape)} with strides {x.stride()}."
            )
    if index.counts.shape[:2] != query.shape[:2] or index.first + index.rows > blocks.query_blocks:
        raise ValueError(
            f"The index has {tuple(index.counts.shape)} rows from {index.first} on, but there are {batch} x {heads} "
            f"heads of {blocks.query_blocks} query blocks."
        )
    dtypes = {x.dtype for x in (query, out, *(x for x, _, _ in wanted))}
    if len(dtypes) > 1:
        raise ValueError(f"Queries, keys and values must have one type, got {', '.join(sorted(map(str, dtypes)))}.")
    if query.stride(-1) != 1 or out.stride(-1) != 1:
        raise ValueError("The numbers of a query must lie side by side; make the tensors contiguous.")


@dataclass(frozen=True)
class Tables:
    """First patches and lengths of query blocks and of their rows of scores, int32, on the device."""

    query_start: Tensor  # (Qb,)
    query_length: Tensor
    part_start: Tensor  # (Qb * parts,)
    part_length: Tensor

    @classmethod
    def of(cls, blocks: BlockLayout, device: torch.device) -> "Tables":
        start, length = blocks.query_table(device)
        size = blocks.query_block // blocks.parts
        inside = torch.arange(blocks.parts, dtype=torch.int32, device=device) * size
        return cls(start, length, (start[:, None] + inside).flatten(), blocks.part_table(device).flatten())


@dataclass(frozen=True)
class Tile:
    """Queries and keys of one step of a program, its warps, and the depth of its load pipeline."""

    queries: int
    keys: int
    warps: int
    stages: int
    special: int = SHORT_TILE  # special keys of a step


def tile_for(query_block: int, key_block: int, width: int, dtype: torch.dtype, precision: str = "ieee") -> Tile:
    """What suits a Hopper GPU; nothing is tried out while running, so that every call compiles the same kernel.

    A query block of 192 is walked by three programs of 64 queries. A warp group of four warps multiplies 64 rows, so
    128 queries have eight warps where scores and sums of 128 rows would not fit into the registers of four.
    """
    queries = min((128, 64), key=lambda size: (-(-query_block // size) * size, -size))
    queries = min(queries, max(16, triton.next_power_of_2(query_block)))
    block = key_block
    if dtype == torch.float32:  # more registers and shared memory for each number, so smaller tiles
        keys = max(16, min(block, 64))
        warps = 8 if keys * width > 64 * 64 else 4
        if precision == "ieee":
            return Tile(min(queries, 32), max(keys, block), warps, 1)
        return Tile(min(queries, 64), max(keys, block), warps, 2 if width <= 64 else 1)
    keys = max(block, 64)
    if queries == 128:
        warps, stages = 4 if keys == 128 and width <= 64 else 8, 3 if keys * width <= 64 * 64 else 2
        return Tile(queries, keys, warps, stages, special=64)
    return Tile(queries, keys, 4, 3 if keys * width <= 64 * 64 else 2)


def limits(tile: Tile) -> dict[str, int]:
    """Registers of a thread, so that one more program fits on a multiprocessor than the compiler would see to."""
    return {"maxnreg": 128} if tile.queries >= 64 and tile.keys <= 64 else {}


def shared_bytes(tile: Tile, width: int, dtype: torch.dtype) -> int:
    """Shared memory of a program, about: the queries and the pipeline of keys and values."""
    width = triton.next_power_of_2(width)
    return (tile.queries + 2 * tile.stages * tile.keys) * width * dtype.itemsize


@torch.compiler.assume_constant_result
def shared_limit(device: torch.device) -> int:
    """Shared memory that one program may have; older PyTorch does not tell, so the least of these GPUs is taken."""
    return getattr(torch.cuda.get_device_properties(device), "shared_memory_per_block_optin", 101_376)


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
def block_row(block, per_block, gap, skip, BLOCK: tl.constexpr):
    """Key blocks -> rows of their first keys, by `block_steps`.

    The upper half of the product is taken by its own instruction: written as a 64-bit product and a shift, ptxas 12.8
    multiplies `gap` into `per_block` before the shift.
    """
    segment = tl.umulhi(block * 4 + 2, per_block)
    return (block * BLOCK + segment * gap + skip).to(tl.int64)


@triton.jit(
    do_not_specialize=[
        "heads",
        "first",
        "rows",
        "per_frame",
        "special_count",
        "groups",
        "short",
        "per_block",
        "gap",
        "skip",
        "left_row",
        "index_row",
    ]
)
def _attend(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr, sk_ptr, sv_ptr, ck_ptr, cs_ptr, cv_ptr, left_ptr,
    index_ptr, count_ptr, whole_ptr, q_start_ptr, q_length_ptr,
    q_batch, q_head, q_row, k_batch, k_head, v_batch, v_head, o_batch, o_head, o_row,
    index_batch, index_head, index_row, left_batch, left_head, left_row, lse_batch, lse_head,
    heads, first, rows, per_frame, special_count, groups, short, per_block, gap, skip, scale,
    K_ROW: tl.constexpr, V_ROW: tl.constexpr,  # steps between keys, known at compilation for short addresses
    D: tl.constexpr, BLOCK_D: tl.constexpr, PARTS: tl.constexpr, SPECIAL: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK: tl.constexpr, POOLED: tl.constexpr,
    SPECIAL_TILE: tl.constexpr, POOL_TILE: tl.constexpr, STAGES: tl.constexpr,
    LSE: tl.constexpr, PRECISION: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) // PARTS  # of the index
    pair = tl.program_id(1).to(tl.int64)
    batch, head = pair // heads, pair % heads

    lane = tl.program_id(0) % PARTS * BLOCK_M + tl.arange(0, BLOCK_M)
    live = lane < tl.load(q_length_ptr + first + row)
    patch = tl.load(q_start_ptr + first + row) + lane
    q_token = token_row(patch, per_frame, SPECIAL)[:, None]
    d = tl.arange(0, BLOCK_D)
    q_at = q_ptr + batch * q_batch + head * q_head + q_token * q_row + d[None, :]
    q = tl.load(q_at, mask=live[:, None] & (d < D)[None, :], other=0.0)
    q = as_operand(q, q_ptr.dtype.element_ty, EMULATE)

    top = tl.full([BLOCK_M], -1e30, tl.float32)  # finite: a tile may hold nothing that is seen
    total = tl.zeros([BLOCK_M], tl.float32)
    out = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)

    # 1. The listed key blocks, PER of them in a tile. Their numbers are loaded one tile ahead, so that no load of keys
    # waits for them. First the tiles of whole blocks, without any mask; then what is left of them and the short ones.
    PER: tl.constexpr = BLOCK_N // BLOCK
    n = tl.arange(0, BLOCK_N)
    inside = n % BLOCK
    which = n // BLOCK
    list_ptr = index_ptr + batch * index_batch + head * index_head + row.to(tl.int64) * index_row
    count = tl.load(count_ptr + pair * rows + row)
    whole = tl.load(whole_ptr + pair * rows + row)
    k_base = k_ptr + batch * k_batch + head * k_head + d[None, :]
    v_base = v_ptr + batch * v_batch + head * v_head + d[None, :]
    tiles = whole // PER
    if PER == 1:
        block = tl.load(list_ptr, mask=count > 0, other=0)
    else:
        block = tl.load(list_ptr + which, mask=which < count, other=0)
    for tile in range(tiles):
        at = block_row(block, per_block, gap, skip, BLOCK)
        if PER > 1:
            at = at[:, None]
        k_at, v_at = at * K_ROW + inside[:, None] * K_ROW, at * V_ROW + inside[:, None] * V_ROW
        if D < BLOCK_D:
            k = tl.load(k_base + k_at, mask=(d < D)[None, :], other=0.0)
            v = tl.load(v_base + v_at, mask=(d < D)[None, :], other=0.0)
        else:
            k, v = tl.load(k_base + k_at), tl.load(v_base + v_at)
        if PER == 1:
            block = tl.load(list_ptr + tile + 1, mask=tile + 1 < count, other=0)
        else:
            after = (tile + 1) * PER + which
            block = tl.load(list_ptr + after, mask=after < count, other=0)
        k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
        v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)
    for done in tl.range(tiles * PER, count, PER, num_stages=1):
        entry = done + which
        number = tl.load(list_ptr + entry, mask=entry < count, other=0)
        known = (entry < count) & (inside < tl.where(entry < whole, BLOCK, short))
        at = (block_row(number, per_block, gap, skip, BLOCK) + inside)[:, None]
        k = tl.load(k_base + at * K_ROW, mask=known[:, None] & (d < D)[None, :], other=0.0)
        v = tl.load(v_base + at * V_ROW, mask=known[:, None] & (d < D)[None, :], other=0.0)
        k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
        v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        scores = tl.where(known[None, :], scores, -float("inf"))
        top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)

    # 2. All special keys: whole tiles without any mask, then the rest.
    if SPECIAL > 0:
        t = tl.arange(0, SPECIAL_TILE)
        sk_base = sk_ptr + pair * special_count * D + d[None, :]
        sv_base = sv_ptr + pair * special_count * D + d[None, :]
        unmasked = special_count // SPECIAL_TILE * SPECIAL_TILE
        for begin in tl.range(0, unmasked, SPECIAL_TILE, num_stages=STAGES):
            at = (begin + t)[:, None] * D
            if D < BLOCK_D:
                k = tl.load(sk_base + at, mask=(d < D)[None, :], other=0.0)
                v = tl.load(sv_base + at, mask=(d < D)[None, :], other=0.0)
            else:
                k, v = tl.load(sk_base + at), tl.load(sv_base + at)
            k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
            v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
            scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
            top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)
        for begin in tl.range(unmasked, special_count, SPECIAL_TILE, num_stages=1):
            known = begin + t < special_count
            at = (begin + t)[:, None] * D
            k = tl.load(sk_base + at, mask=known[:, None] & (d < D)[None, :], other=0.0)
            v = tl.load(sv_base + at, mask=known[:, None] & (d < D)[None, :], other=0.0)
            k = as_operand(k, k_ptr.dtype.element_ty, EMULATE)
            v = as_operand(v, v_ptr.dtype.element_ty, EMULATE)
            scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
            scores = tl.where(known[None, :], scores, -float("inf"))
            top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)

    # 3. Centroids of groups that are not seen in full. All terms are in the unit of q . k: half the spread times
    # 1 / sqrt(D), and the logarithm times sqrt(D). The first factor goes with the squares, so that both products add up
    # in one accumulator.
    if POOLED:
        t = tl.arange(0, POOL_TILE)
        square = q.to(tl.float32) * q.to(tl.float32) * (scale * 0.34657359027997264)
        square = as_operand(square, q_ptr.dtype.element_ty, EMULATE)
        pool_base = pair * groups * D + d[None, :]
        left_at = left_ptr + batch * left_batch + head * left_head + row.to(tl.int64) * left_row + t
        for begin in tl.range(0, groups, POOL_TILE, num_stages=STAGES):
            known = t < groups - begin
            at = pool_base + (begin + t)[:, None] * D
            within = known[:, None] & (d < D)[None, :]
            k = as_operand(tl.load(ck_ptr + at, mask=within, other=0.0), q_ptr.dtype.element_ty, EMULATE)
            spread = as_operand(tl.load(cs_ptr + at, mask=within, other=0.0), q_ptr.dtype.element_ty, EMULATE)
            v = as_operand(tl.load(cv_ptr + at, mask=within, other=0.0), q_ptr.dtype.element_ty, EMULATE)
            log_left = tl.load(left_at + begin, mask=known, other=-float("inf")) * (1.4426950408889634 / scale)
            scores = tl.dot(square, tl.trans(spread), input_precision=PRECISION)
            scores = tl.dot(q, tl.trans(k), scores, input_precision=PRECISION) + log_left[None, :]
            top, total, out = _fold(scores, v, top, total, out, scale, PRECISION, EMULATE)

    some = total > 0
    out = as_operand(out / tl.where(some, total, 1.0)[:, None], o_ptr.dtype.element_ty, EMULATE)
    o_at = o_ptr + batch * o_batch + head * o_head + q_token * o_row + d[None, :]
    tl.store(o_at, out.to(o_ptr.dtype.element_ty), mask=live[:, None] & (d < D)[None, :])
    if LSE:
        lse = tl.where(some, top + tl.math.log2(tl.where(some, total, 1.0)), -float("inf")) * 0.6931471805599453
        tl.store(lse_ptr + batch * lse_batch + head * lse_head + patch, lse, mask=live)


INTERPRETED = not isinstance(_attend, triton.runtime.JITFunction)
