"""The operations of `fused.py` as Triton kernels: each reads and writes its tensors once.

Importing this file imports Triton, so import it where it is used.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from .launch import on_device
from .rope import RopeTable

ELEMENTS = 4096  # of rows that a program holds at once


def normalise_rows(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Rows (T, C) normalised, in the type of the norm's weights."""
    x, out = x.contiguous(), torch.empty_like(x, dtype=norm.weight.dtype, memory_format=torch.contiguous_format)
    _launch(x, None, None, norm, out)
    return out


def add_rows(x: Tensor, branch: Tensor, factors: Tensor | None, norm: nn.LayerNorm | None = None) -> Tensor | None:
    """x += factors * branch, both (T, C) with their rows in one piece; with a norm, also the normalised result."""
    out = None if norm is None else torch.empty_like(x, dtype=norm.weight.dtype)
    _launch(x, branch.contiguous(), factors, norm, out)
    return out


def _launch(
    x: Tensor, branch: Tensor | None, factors: Tensor | None, norm: nn.LayerNorm | None, out: Tensor | None
) -> None:
    rows, width = x.shape
    columns = triton.next_power_of_2(width)
    at_once = max(1, ELEMENTS // columns)
    with on_device(x):
        _add_normalise[(triton.cdiv(rows, at_once),)](
            x, x if branch is None else branch, x if factors is None else factors,
            x if norm is None else norm.weight, x if norm is None else norm.bias, x if out is None else out,
            rows, x.stride(0), width, 0.0 if norm is None else norm.eps,
            has_branch=branch is not None, has_factors=factors is not None, has_norm=norm is not None,
            at_once=at_once, columns=columns,
            num_warps=4 if columns <= 2048 else 8,
        )  # fmt: skip


@triton.jit
def _add_normalise(
    x, branch, factors, weight, bias, out, rows, x_stride, width, eps,
    has_branch: tl.constexpr, has_factors: tl.constexpr, has_norm: tl.constexpr,
    at_once: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * at_once + tl.arange(0, at_once)
    column = tl.arange(0, columns)
    inside = column < width
    there = (row < rows)[:, None] & inside[None, :]
    place = row[:, None] * x_stride + column[None, :]
    packed = row[:, None] * width + column[None, :]
    values = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
    if has_branch:
        added = tl.load(branch + packed, mask=there, other=0.0).to(tl.float32)
        if has_factors:
            added *= tl.load(factors + column, mask=inside, other=0.0).to(tl.float32)[None, :]
        values += added
        tl.store(x + place, values.to(x.dtype.element_ty), mask=there)
    if has_norm:
        mean = tl.sum(values, axis=1)[:, None] / width
        centred = tl.where(there, values - mean, 0.0)
        scale = tl.rsqrt(tl.sum(centred * centred, axis=1)[:, None] / width + eps)
        gain = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
        shift = tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
        result = centred * scale * gain[None, :] + shift[None, :]
        tl.store(out + packed, result.to(out.dtype.element_ty), mask=there)


def rotate_rows(qkv: Tensor, q_norm: nn.LayerNorm | None, k_norm: nn.LayerNorm | None, rope: RopeTable | None) -> None:
    """Queries and keys of (B, T, 3, heads, D), in one piece, normalised and turned in place."""
    batch, tokens, _, heads, width = qkv.shape
    table = None if rope is None else torch.stack(rope).float().contiguous()  # (2, P, 2, D / 4)
    frame = 1 if rope is None else table.shape[1]
    half = width // 2
    columns = triton.next_power_of_2(half)
    at_once = max(1, ELEMENTS // (2 * columns))
    rows = batch * tokens * heads
    for kind, norm in enumerate((q_norm, k_norm)):
        with on_device(qkv):
            _rotate[(triton.cdiv(rows, at_once),)](
                qkv, qkv if norm is None else norm.weight, qkv if norm is None else norm.bias,
                qkv if table is None else table, kind, rows, tokens, frame, heads,
                0.0 if norm is None else norm.eps,
                width=width, has_norm=norm is not None, has_rope=table is not None,
                at_once=at_once, columns=columns, num_warps=4,
            )  # fmt: skip


@triton.jit(do_not_specialize=["kind", "rows", "tokens", "frame"])  # the code would be the same
def _rotate(
    qkv, weight, bias, table, kind, rows, tokens, frame, heads, eps,
    width: tl.constexpr, has_norm: tl.constexpr, has_rope: tl.constexpr,
    at_once: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    # kind: 0 queries, 1 keys
    row = tl.program_id(0).to(tl.int64) * at_once + tl.arange(0, at_once)  # (token of all sequences, head)
    token, head = row // heads, row % heads
    quarter: tl.constexpr = width // 4
    column = tl.arange(0, columns)  # of the pairs: those of y, then those of x
    inside = column < 2 * quarter
    first = column // quarter * (2 * quarter) + column % quarter
    there = (row < rows)[:, None] & inside[None, :]
    place = (token * (3 * heads) + kind * heads + head)[:, None] * width + first[None, :]
    a = tl.load(qkv + place, mask=there, other=0.0).to(tl.float32)
    b = tl.load(qkv + place + quarter, mask=there, other=0.0).to(tl.float32)
    if has_norm:
        mean = ((tl.sum(a, axis=1) + tl.sum(b, axis=1)) / width)[:, None]
        a, b = tl.where(there, a - mean, 0.0), tl.where(there, b - mean, 0.0)
        scale = tl.rsqrt((tl.sum(a * a, axis=1) + tl.sum(b * b, axis=1)) / width + eps)[:, None]
        a = a * scale * tl.load(weight + first, mask=inside, other=0.0).to(tl.float32)[None, :]
        b = b * scale * tl.load(weight + first + quarter, mask=inside, other=0.0).to(tl.float32)[None, :]
        a += tl.load(bias + first, mask=inside, other=0.0).to(tl.float32)[None, :]
        b += tl.load(bias + first + quarter, mask=inside, other=0.0).to(tl.float32)[None, :]
    if has_rope:
        entry = (token % tokens % frame)[:, None] * (2 * quarter) + column[None, :]
        cos = tl.load(table + entry, mask=there, other=0.0)
        sin = tl.load(table + frame * (2 * quarter) + entry, mask=there, other=0.0)
        a, b = a * cos - b * sin, b * cos + a * sin
    tl.store(qkv + place, a.to(qkv.dtype.element_ty), mask=there)
    tl.store(qkv + place + quarter, b.to(qkv.dtype.element_ty), mask=there)
