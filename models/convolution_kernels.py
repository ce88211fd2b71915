"""The operations of `convolutions.py` as Triton kernels: each reads and writes its maps once.

Maps (M, C, h, w) have their channels side by side in memory. Numbers are added in float32. Importing this file imports
Triton, so import it where it is used.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import on_device

ELEMENTS = 4096  # of a map that a program holds at once


def add_(x: Tensor, bias: Tensor | None, others: tuple[Tensor, ...], rectify: bool) -> Tensor:
    """x += bias + up to two other maps, then max(x, 0) if wanted; in place."""
    if len(others) > 2:
        raise ValueError(f"At most two maps can be added at once, got {len(others)}.")
    channels, pixels = x.shape[1], x.numel() // x.shape[1]
    columns = triton.next_power_of_2(channels)
    at_once = max(1, ELEMENTS // columns)
    first, second = (*others, x, x)[:2]
    with on_device(x):
        _add[(triton.cdiv(pixels, at_once),)](
            x, x if bias is None else bias, first, second, pixels, channels,
            has_bias=bias is not None, count=len(others), rectify=rectify,
            at_once=at_once, columns=columns, num_warps=4,
        )  # fmt: skip
    return x


@triton.jit
def _add(
    x, bias, first, second, pixels, channels,
    has_bias: tl.constexpr, count: tl.constexpr, rectify: tl.constexpr, at_once: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * at_once + tl.arange(0, at_once)
    channel = tl.arange(0, columns)
    known = channel < channels
    there = (pixel < pixels)[:, None] & known[None, :]
    place = pixel[:, None] * channels + channel[None, :]
    values = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
    if has_bias:
        values += tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)[None, :]
    if count > 0:
        values += tl.load(first + place, mask=there, other=0.0).to(tl.float32)
    if count > 1:
        values += tl.load(second + place, mask=there, other=0.0).to(tl.float32)
    if rectify:
        values = tl.maximum(values, 0.0)
    tl.store(x + place, values.to(x.dtype.element_ty), mask=there)


def resample(
    x: Tensor, bias: Tensor | None, size: tuple[int, int], position: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """(M, C, h, w) -> (M, C, *size): bilinear, corners on corners, plus bias and position as in `convolve_resample`."""
    frames, channels, height, width = x.shape
    out = torch.empty((frames, channels, *size), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    across, down = (x, x) if position is None else (term.t().float().contiguous() for term in position)
    columns = triton.next_power_of_2(channels)
    at_once = max(1, ELEMENTS // columns)
    steps = (step(before, after) for before, after in zip((height, width), size, strict=True))
    with on_device(x):
        _resample[(triton.cdiv(size[1], at_once), size[0], frames)](
            x, x if bias is None else bias, across, down, out, height, width, *size, *steps, channels,
            half=channels // 2, has_bias=bias is not None, has_position=position is not None,
            at_once=at_once, columns=columns, num_warps=4,
        )  # fmt: skip
    return out


def step(before: int, after: int) -> float:
    """How far the places of neighbouring results lie apart in the source."""
    return (before - 1) / (after - 1) if after > 1 else 0.0


@triton.jit
def _resample(
    x, bias, across, down, out, height, width, new_height, new_width, step_y, step_x, channels,
    half: tl.constexpr, has_bias: tl.constexpr, has_position: tl.constexpr,
    at_once: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """One program makes some pixels of one row of one frame, all channels."""
    frame, row = tl.program_id(2).to(tl.int64), tl.program_id(1)
    column = tl.program_id(0) * at_once + tl.arange(0, at_once)
    channel = tl.arange(0, columns)
    known = channel < channels
    there = (column < new_width)[:, None] & known[None, :]
    source_y = row * step_y
    source_x = column * step_x
    top, left = tl.minimum(source_y.to(tl.int32), height - 1), tl.minimum(source_x.to(tl.int32), width - 1)
    bottom, right = tl.minimum(top + 1, height - 1), tl.minimum(left + 1, width - 1)
    part_y, part_x = source_y - top, (source_x - left)[:, None]
    upper = x + ((frame * height + top) * width) * channels + channel[None, :]
    lower = x + ((frame * height + bottom) * width) * channels + channel[None, :]
    first, second = left[:, None] * channels, right[:, None] * channels
    a = tl.load(upper + first, mask=there, other=0.0).to(tl.float32)
    b = tl.load(upper + second, mask=there, other=0.0).to(tl.float32)
    c = tl.load(lower + first, mask=there, other=0.0).to(tl.float32)
    d = tl.load(lower + second, mask=there, other=0.0).to(tl.float32)
    values = (a * (1 - part_x) + b * part_x) * (1 - part_y) + (c * (1 - part_x) + d * part_x) * part_y
    if has_bias:
        values += tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)[None, :]
    if has_position:
        is_first = channel < half
        of_column = column[:, None] * half + channel[None, :]
        values += tl.load(across + of_column, mask=there & is_first[None, :], other=0.0)
        is_second = known & (channel >= half)
        values += tl.load(down + row * half + channel - half, mask=is_second, other=0.0)[None, :]
    to = ((frame * new_height + row) * new_width + column.to(tl.int64))[:, None] * channels + channel[None, :]
    tl.store(out + to, values.to(out.dtype.element_ty), mask=there)


def mix(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(M, C, h, w) -> (M, outputs, h, w) by a 1 x 1 convolution of few outputs, in the format of the weights."""
    frames, channels, height, width = x.shape
    outputs = weight.shape[0]
    out = torch.empty((frames, outputs, height, width), dtype=weight.dtype, device=x.device)
    columns = triton.next_power_of_2(channels)
    at_once = max(16, ELEMENTS // columns)
    with on_device(x):
        _mix[(triton.cdiv(height * width, at_once), frames)](
            x, weight.contiguous(), bias, out, height * width, channels,
            outputs=outputs, at_once=at_once, columns=columns, num_warps=4,
        )  # fmt: skip
    return out


@triton.jit
def _mix(
    x, weight, bias, out, pixels, channels, outputs: tl.constexpr, at_once: tl.constexpr, columns: tl.constexpr
):  # fmt: skip
    frame = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * at_once + tl.arange(0, at_once)
    channel = tl.arange(0, columns)
    known = channel < channels
    there = (pixel < pixels)[:, None] & known[None, :]
    values = tl.load(x + (frame * pixels + pixel)[:, None] * channels + channel[None, :], mask=there, other=0.0)
    values = values.to(tl.float32)
    for number in tl.static_range(outputs):
        factors = tl.load(weight + number * channels + channel, mask=known, other=0.0).to(tl.float32)
        found = tl.sum(values * factors[None, :], 1) + tl.load(bias + number).to(tl.float32)
        to = out + (frame * outputs + number) * pixels + pixel
        tl.store(to, found.to(out.dtype.element_ty), mask=pixel < pixels)
