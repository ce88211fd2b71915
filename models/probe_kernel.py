"""A tiny kernel, to see whether Triton can compile and run one. Importing this file imports Triton."""

import torch
import triton
import triton.language as tl

from .launch import on_device

LENGTH = 64


def doubles(device: torch.device) -> bool:
    """Whether a kernel doubles some numbers on a device."""
    numbers = torch.arange(LENGTH, dtype=torch.float32, device=device)
    twice = torch.empty_like(numbers)
    with on_device(numbers):
        _double[(1,)](numbers, twice, LENGTH=LENGTH, num_warps=1)
    return bool(torch.equal(twice, numbers + numbers))


@triton.jit
def _double(numbers, twice, LENGTH: tl.constexpr):
    at = tl.arange(0, LENGTH)
    tl.store(twice + at, tl.load(numbers + at) * 2.0)
