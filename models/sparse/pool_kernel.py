"""Tokens pooled by blocks, and packed where those straddle frames, as in `blocks.py` and `select.summarize`, by Triton.

Importing this file imports Triton, so import it where it is used.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..launch import on_device
from .blocks import BlockLayout, Centroids, special_keys_and_values
from .config import SparsityConfig
from .kernel import Readable, Tables, as_operand, interpreted, token_row
from .select import Summary, half_scale


@torch.no_grad()
def prepare(
    query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, blocks: BlockLayout, config: SparsityConfig,
    tables: Tables,
) -> tuple[Summary, Readable, Centroids | None]:  # fmt: skip
    """What is read of all tokens (B, heads, N * P, D), and the same as `select.summarize` and `grouped` give."""
    dtype = torch.bfloat16 if query.dtype.itemsize == 2 else query.dtype
    if not config.own:
        dtype = torch.float32
    spread = config.own and config.pooling == "spread"
    keys = pack(key, lengths, blocks, dtype, "max" if config.pooling == "max" else "avg", spread, config.centroid_block)
    values = pack(value, lengths, blocks, None, "avg", False, config.centroid_block)
    read = Readable(keys.tokens, values.tokens, *special_keys_and_values(key, value, blocks))
    pooled_query, square = pool_queries(
        query, blocks, tables, dtype, "max" if config.pooling == "max" else "avg", spread
    )
    special = read.special_key.to(dtype) if config.own else None
    summary = Summary(pooled_query, keys.mean, lengths, square, keys.variance, special)
    if not config.pooled:
        return summary, read, None
    return summary, read, Centroids(keys.group_mean, keys.group_variance, values.group_mean)


def readable(key: Tensor, value: Tensor, blocks: BlockLayout) -> Readable:
    """Keys and values of all tokens (B, heads, N * P, D) as the kernels read them."""
    lengths = blocks.key_table(key.device)[1]
    tokens = (pack(x, lengths, blocks, None, "avg", False, 0).tokens for x in (key, value))
    return Readable(*tokens, *special_keys_and_values(key, value, blocks))


@dataclass(frozen=True)
class PackedTokens:
    """Tokens as they are read, and what was found about blocks and groups on the way."""

    tokens: Tensor  # packed (B, heads, Kb * key_block, D); all of them, as given, where blocks lie inside frames
    mean: Tensor | None  # (B, heads, Kb, D); the maximum if that was asked for
    variance: Tensor | None
    group_mean: Tensor | None  # (B, heads, Kg, D), in the type of the tokens
    group_variance: Tensor | None


@torch.no_grad()
def pack(
    x: Tensor, lengths: Tensor, blocks: BlockLayout, dtype: torch.dtype | None, mode: str, spread: bool,
    centroids: int,
) -> PackedTokens:  # fmt: skip
    """Keys or values of all tokens: packed where blocks straddle frames, and pooled by blocks and groups.

    With a `dtype` there are means (and, with `spread`, variances) of blocks, with `centroids` those of
    groups. Tokens of blocks whose length is 0 have no part in their group.
    """
    batch, heads, _, width = x.shape
    packs = not blocks.framed
    room = (batch, heads, blocks.key_blocks * blocks.key_block, width)
    tokens = torch.empty(room, dtype=x.dtype, device=x.device) if packs else x

    def made(wanted: bool, rows: int, kind: torch.dtype | None) -> Tensor | None:
        return torch.empty((batch, heads, rows, width), dtype=kind, device=x.device) if wanted else None

    mean, variance = (made(dtype is not None and one, blocks.key_blocks, dtype) for one in (True, spread))
    grouped = bool(centroids) and blocks.framed
    group_mean, group_variance = (
        made(grouped and one, blocks.key_groups, x.dtype) for one in (True, dtype is not None)
    )
    outputs = [tokens if one is None else one for one in (mean, variance, group_mean, group_variance)]
    if not packs and all(one is tokens for one in outputs):
        return PackedTokens(tokens, None, None, None, None)
    with on_device(x):
        _pack[(blocks.key_groups, batch * heads)](
            x, tokens, *outputs, lengths, *x.stride()[:3], heads, blocks.layout.height * blocks.layout.width,
            blocks.segment_length, blocks.key_groups // blocks.segments,
            D=width, BLOCK_D=triton.next_power_of_2(width), BLOCK=blocks.key_block, GROUP=blocks.group,
            SPECIAL=blocks.layout.special, PACK=packs, MAXIMUM=mode == "max", MEAN=mean is not None,
            SPREAD=variance is not None, GROUPED=group_mean is not None, GROUP_SPREAD=group_variance is not None,
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
    PACK: tl.constexpr, MAXIMUM: tl.constexpr, MEAN: tl.constexpr, SPREAD: tl.constexpr, GROUPED: tl.constexpr,
    GROUP_SPREAD: tl.constexpr, EMULATE: tl.constexpr,
):  # fmt: skip
    """One program packs and pools a group of key blocks of a head; `each` groups make a segment of `length` patches."""
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
    if PACK:
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
