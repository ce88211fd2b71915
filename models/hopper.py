"""The attention kernel for Hopper GPUs (`hopper_kernels.py`): where it runs, its shapes, and attention over all keys.

It is written in Gluon, a part of Triton that is still young. So it is used with versions it was compiled with, and the
first use of every variant compares it with the plain formula; where that fails, other kernels do the work.
"""

import functools
import importlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .gpu_kernels import fault, why_no_kernels
from .launch import LOG2_E, on_device

NAME = "Hopper"
WIDTH = 64  # of a head, in VGGT and Pi3
DTYPES = (torch.float16, torch.bfloat16)
TRITON = ((3, 6), (3, 9))  # oldest and newest version
TILE = 128  # keys of a step
GROUP = 64  # queries of a warp group
MOST_PAIRS = 65_535  # sequences times heads of a launch
LONG_KEYS = 65_536  # from which on attention over all keys is worth compiling the kernel; it is faster from 8,192 on
ENOUGH_PROGRAMS = 84  # of 132 multiprocessors; with fewer, smaller programs of other kernels are faster


@dataclass(frozen=True)
class Shape:
    """How a program is made.

    groups: warp groups, 64 queries each. overlap: a warp group computes weights while its last product still runs; pays
    where registers suffice. registers: of a thread, on average (`limit`) and in the warp groups behind the first.
    """

    groups: int
    overlap: bool
    limit: int
    registers: int
    stages: int = 2

    @property
    def queries(self) -> int:
        return self.groups * GROUP


SHAPES = (Shape(3, False, 128, 160), Shape(2, True, 168, 240, stages=4), Shape(1, False, 120, 0))


def shape_for(query_block: int) -> Shape:
    """The largest program that leaves the fewest places for queries empty: keys are read once for all its queries."""
    return min(SHAPES, key=lambda shape: (-(-query_block // shape.queries) * shape.queries, -shape.groups))


@torch.compiler.assume_constant_result
def why_not(device: torch.device, dtype: torch.dtype, width: int) -> str | None:
    """Why the kernel cannot run with such tensors, in a few words, or None if it can."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device)[0] != 9:
        return "the Hopper kernel needs a GPU of compute capability 9.0"
    if dtype not in DTYPES:
        return f"the Hopper kernel takes float16 and bfloat16, not {dtype}"
    if width != WIDTH:
        return f"the Hopper kernel takes heads of width {WIDTH}, not {width}"
    return why_no_kernels(device) or why_no_gluon()


@functools.cache
def why_no_gluon() -> str | None:
    """Why this Triton cannot compile the kernel, None if it can."""
    try:
        version = tuple(map(int, importlib.import_module("triton").__version__.split(".")[:2]))
        importlib.import_module("triton.experimental.gluon")
    except Exception as error:  # an experimental module may fail in any way: the reason is reported
        return f"the Hopper kernel needs Triton's Gluon ({type(error).__name__}: {error})".splitlines()[0]
    oldest, newest = (".".join(map(str, one)) for one in TRITON)
    if not TRITON[0] <= version <= TRITON[1]:
        return f"the Hopper kernel is for Triton {oldest} to {newest}, not {'.'.join(map(str, version))}"
    return None


def pays(query: Tensor, key: Tensor) -> bool:
    """Whether `attend_all_keys` can take these, and faster than cuDNN."""
    batch, heads, tokens, width = query.shape
    enough = batch * heads * -(-tokens // SHAPES[0].queries) >= ENOUGH_PROGRAMS
    if key.shape[2] < LONG_KEYS or not enough or batch * heads > MOST_PAIRS:
        return False
    device, dtype = query.device, query.dtype
    return why_not(device, dtype, width) is None and fault_over_all_keys(device, dtype) is None


def attend_all_keys(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention (B, heads, t, 64) over all keys (B, heads, T, 64); a token's heads lie side by side."""
    batch, heads, tokens, width = query.shape
    out = query.new_empty(batch, tokens, heads, width).transpose(1, 2)
    if out.numel() == 0:
        return out
    shape = SHAPES[0]
    query = query if query.stride(-1) == 1 else query.contiguous()
    keys = key.shape[2]
    key, value = tiles_of(key, TILE), tiles_of(value, TILE)
    unread = torch.empty(0, dtype=torch.int32, device=query.device)
    launch(
        (-(-tokens // shape.queries), batch * heads), shape, query, out,
        (key, value, *[key] * 5, *[unread] * 7, unread.float()),
        (*[0] * 6, heads, 0, tokens, 1, keys, 0, 0, keys % TILE, *[0] * 5),
        PARTS=1, SPECIAL=0, BLOCK=TILE, LISTED=False, POOLED=False,
    )  # fmt: skip
    return out


def launch(
    grid: tuple[int, int], shape: Shape, query: Tensor, out: Tensor, operands: tuple[Any, ...],
    numbers: tuple[int, ...], **constants: int | bool,
) -> None:  # fmt: skip
    """Start the kernel: `operands` are its arguments k_desc to lse_ptr, `numbers` index_batch to lse_pair."""
    from .hopper_kernels import attend

    with on_device(query):
        attend[grid](
            query, out, *operands, *query.stride()[:3], *out.stride()[:3], *numbers, WIDTH**-0.5 * LOG2_E,
            WARP_GROUPS=shape.groups, D=WIDTH, TILE=TILE, STAGES=shape.stages, OVERLAP=shape.overlap,
            REGISTERS=shape.registers, num_warps=4, maxnreg=shape.limit, enable_fp_fusion=True, **constants,
        )  # fmt: skip


def tiles_of(x: Tensor, rows: int) -> Any:
    """Keys or values (B, heads, T, 64) as the copy engine takes them, `rows` at a time; copied if it cannot."""
    from triton.experimental.gluon.language import NVMMASharedLayout
    from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

    def fits(x: Tensor) -> bool:
        steps = [step for size, step in zip(x.shape[:3], x.stride()[:3], strict=True) if size > 1]
        return x.stride(3) == 1 and x.data_ptr() % 16 == 0 and all(step > 0 and step % 8 == 0 for step in steps)

    x = x if fits(x) else x.contiguous()
    strides = [step if size > 1 else WIDTH for size, step in zip(x.shape[:3], x.stride()[:3], strict=True)]
    return TensorDescriptor(x, list(x.shape), [*strides, 1], [1, 1, rows, WIDTH], NVMMASharedLayout(128, 16, 4))


def fault_over_all_keys(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why `attend_all_keys` must not be used, None if it is right."""

    def trial() -> tuple[Tensor, Tensor]:
        random = torch.Generator(device).manual_seed(0)
        qkv = torch.randn(2, 450, 3, 2, WIDTH, generator=random, device=device, dtype=dtype).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        exact = torch.softmax(query.float() @ key.float().mT * WIDTH**-0.5, dim=-1) @ value.float()
        return attend_all_keys(query, key, value), exact

    return fault(NAME, (device, dtype), trial)
