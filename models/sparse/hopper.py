"""Block-sparse attention by the kernel for Hopper GPUs; `reference.py` says what it computes.

Programs that run side by side read keys at places of the sequence that drift apart. While keys and values of a head fit
into the L2 cache that does not matter; longer sequences are seen in several passes, a part that fits in each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import gpu_kernels, hopper
from ..launch import on_device
from .blocks import BlockLayout, Centroids
from .kernel import Readable, Tables, block_steps
from .select import WIDEST_ROW, BlockIndex
from .trial import small, tried

KEY_BLOCKS = (8, 16, 32, 64, 128)
PASS_KEYS = 100_000  # of a pass; with their values 24 MiB, about half of the L2 cache
LEAST_KEYS = 8192  # that a query sees in a pass on average: what a pass does beside costs more than it saves with fewer
ROWS = 128  # of an index, whose parts one program finds


def why_not(device: torch.device, dtype: torch.dtype, width: int, blocks: BlockLayout, pooled: bool) -> str | None:
    """Why the kernel cannot run with such tensors and blocks, in a few words, or None if it can. It tries nothing."""
    reason = hopper.why_not(device, dtype, width)
    if reason is None and blocks.key_block not in KEY_BLOCKS:
        return f"the Hopper kernel takes key blocks of 8, 16 ... 128 tokens, not {blocks.key_block}"
    return gpu_kernels.known_fault(hopper.NAME, _variant(device, dtype, blocks, pooled)) or reason


@torch.no_grad()
def sparse_attention_hopper(
    query: Tensor,
    keys: Readable,
    index: BlockIndex,
    blocks: BlockLayout,
    centroids: Centroids | None = None,
    *,
    out: Tensor,
    tables: Tables | None = None,
    passes: int | None = None,
) -> None:
    """The same as `kernel.sparse_attention_triton`, for what `why_not` allows.

    passes: None takes as many as pay. With several, a query's output is rounded after each of them.
    """
    batch, heads, rows = index.counts.shape
    if index.counts.numel() == 0:
        return
    tables = tables or Tables.of(blocks, query.device)
    shape = hopper.shape_for(blocks.query_block)
    parts = -(-blocks.query_block // shape.queries)
    blocked = [hopper.tiles_of(x, blocks.key_block) for x in (keys.key, keys.value)]
    special = (keys.special_key, keys.special_value) if blocks.layout.special else (keys.key, keys.value)
    tiled = [hopper.tiles_of(x, hopper.TILE) for x in special]
    pooled = centroids is not None
    if pooled:
        tiled += [hopper.tiles_of(x, hopper.TILE) for x in (centroids.key, centroids.spread, centroids.value)]
    else:  # never read
        tiled += [tiled[0]] * 3
    indices, counts, whole = index.in_memory()
    left = index.log_left if pooled else counts
    number = passes or passes_that_pay(index, blocks)
    lse = query.new_empty((batch, heads, blocks.tokens if number > 1 else 0), dtype=torch.float32)
    for state, lists in cut_lists(indices, counts, whole, blocks, number):
        last = state < 2
        hopper.launch(
            (rows * parts, batch * heads), shape, query, out,
            (*blocked, *tiled, left, indices, *lists, tables.query_start, tables.query_length, lse),
            (*indices.stride()[:3], *left.stride()[:3], heads, index.first, rows,
             blocks.layout.height * blocks.layout.width, keys.key.shape[2],
             keys.special_key.shape[2] if last else 0, blocks.key_groups if last else 0, blocks.last_key_block,
             *block_steps(blocks), state, lse.shape[2]),
            PARTS=parts, SPECIAL=blocks.layout.special, BLOCK=blocks.key_block, LISTED=True, POOLED=pooled,
        )  # fmt: skip


def passes_that_pay(index: BlockIndex, blocks: BlockLayout) -> int:
    """In how many passes the keys are seen best, without a look at the lists.

    Programs of more than one warp group read keys so much less often that it makes no difference to them.
    """
    if hopper.shape_for(blocks.query_block).groups > 1:
        return 1
    seen = index.indices.shape[-1] * blocks.key_block  # by the fullest rows
    seen = seen // WIDEST_ROW if blocks.framed else seen
    return max(1, min(-(-blocks.tokens // PASS_KEYS), seen // LEAST_KEYS))


def cut_lists(
    indices: Tensor, counts: Tensor, whole: Tensor, blocks: BlockLayout, number: int
) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
    """For each of so many passes the kernel's `state`, and where its lists begin, their entries and whole blocks.

    Those are (B, heads, rows) int32 each. Short blocks, which stand behind all whole ones, are seen in the last pass.
    """
    if number == 1:
        yield 0, (counts, counts, whole)  # a beginning is not read then
        return
    cuts = [blocks.key_blocks * n // number for n in range(1, number)]
    begins = [torch.zeros_like(whole), *first_entries(indices, whole, cuts)]
    for place, begin in enumerate(begins):
        if place + 1 < number:
            length = begins[place + 1] - begin
            yield 2 + (place > 0), (begin, length, length)
        else:
            yield 1, (begin, counts - begin, whole - begin)


def first_entries(indices: Tensor, whole: Tensor, cuts: Sequence[int]) -> list[Tensor]:
    """For each of some key blocks, ascending, the first entry of every row that is none before it, (B, heads, rows)."""
    batch, heads, rows, width = indices.shape
    found = whole.new_empty(len(cuts), batch, heads, rows)
    with on_device(indices):
        for cut, into in zip(cuts, found, strict=True):
            _first_entry[(triton.cdiv(rows, ROWS), batch * heads)](
                indices, whole, into, *indices.stride()[:3], heads, rows, cut, STEPS=width.bit_length(), ROWS=ROWS
            )
    return list(found)


@triton.jit(do_not_specialize=["index_row", "heads", "rows", "cut"])
def _first_entry(
    index_ptr, whole_ptr, found_ptr, index_batch, index_head, index_row, heads, rows, cut,
    STEPS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Search some ascending lists by halving."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    pair = tl.program_id(1).to(tl.int64)
    list_ptr = index_ptr + pair // heads * index_batch + pair % heads * index_head + row.to(tl.int64) * index_row
    low = tl.zeros([ROWS], tl.int32)
    high = tl.load(whole_ptr + pair * rows + row, mask=row < rows, other=0)
    for _ in range(STEPS):
        middle = (low + high) // 2
        before = tl.load(list_ptr + middle, mask=low < high, other=cut) < cut
        low = tl.where(before, middle + 1, low)
        high = tl.where(before, high, middle)
    tl.store(found_ptr + pair * rows + row, low, mask=row < rows)


def fault(device: torch.device, dtype: torch.dtype, blocks: BlockLayout, pooled: bool) -> str | None:
    """Why the kernel must not be used with such blocks, None if it is right; see `gpu_kernels.fault`."""

    def trial() -> tuple[Tensor, Tensor]:
        return _trial(replace(small(blocks), framed=True), dtype, device, pooled)

    return gpu_kernels.fault(hopper.NAME, _variant(device, dtype, blocks, pooled), trial)


def _variant(device: torch.device, dtype: torch.dtype, blocks: BlockLayout, pooled: bool) -> tuple:
    return device, dtype, blocks.query_block, blocks.key_block, blocks.layout.special, pooled


def _trial(blocks: BlockLayout, dtype: torch.dtype, device: torch.device, pooled: bool) -> tuple[Tensor, Tensor]:
    return tried(partial(sparse_attention_hopper, passes=3), blocks, dtype, device, pooled)
