"""Attention kernels on one layer of random numbers, side by side: speed, and how far from float64."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from ...models import hopper
from ...models.attention import TokenLayout
from ...models.packages import first_line
from ...models.sparse import BlockIndex, BlockLayout, Centroids, libraries
from ...models.sparse.blocks import patch_tokens
from ...models.sparse.reference import sparse_attention_reference
from .clock import cost_of

CHECKED_QUERIES = 2  # query blocks compared with float64


@dataclass(frozen=True)
class Layer:
    """Queries, keys and values of one global layer, as a projection gives them: views of (B, T, 3, heads, D)."""

    query: Tensor  # (B, heads, T, D)
    key: Tensor
    value: Tensor
    layout: TokenLayout

    @property
    def operands(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.query, self.key, self.value


def random_layer(
    layout: TokenLayout, heads: int, width: int, dtype: torch.dtype, device: torch.device, seed: int = 0, run: int = 1
) -> Layer:
    """Normal numbers; no attention kernel's time depends on them, but how many blocks a threshold finds does.

    Of `run` tokens in a row, alike as neighbours in a picture are, half of the variance is common.
    """
    random = torch.Generator(device).manual_seed(seed)
    tokens = layout.frames * layout.tokens_per_frame
    qkv = torch.randn((1, tokens, 3, heads, width), generator=random, device=device, dtype=dtype)
    if run > 1:
        runs = -(-tokens // run)
        common = torch.randn((1, runs, 3, heads, width), generator=random, device=device, dtype=dtype)
        qkv.add_(common.repeat_interleave(run, dim=1)[:, :tokens]).mul_(0.5**0.5)
    return Layer(*qkv.permute(2, 0, 3, 1, 4).unbind(0), layout)


def without_special(layer: Layer) -> Layer:
    """The same patches without special tokens."""
    layout = layer.layout
    framed = (x.unflatten(2, (layout.frames, -1)) for x in layer.operands)
    return Layer(*(x[:, :, :, layout.special :].flatten(2, 3) for x in framed), replace(layout, special=0))


def random_index(blocks: BlockLayout, heads: int, keep: float, device: torch.device, centroids: bool) -> BlockIndex:
    """For every row `keep` of the key blocks of full length, chosen at random."""
    lengths = blocks.key_table(device)[1]
    whole = (lengths == blocks.key_block).nonzero()[:, 0]
    count = max(1, round(len(whole) * keep))
    random = torch.Generator(device).manual_seed(0)
    rows = []
    for _ in range(heads):
        order = torch.rand(blocks.query_blocks, len(whole), generator=random, device=device)
        rows.append(whole[order.topk(count, dim=-1).indices].sort(dim=-1).values.to(torch.int32))
    indices = torch.stack(rows)[None]
    counts = torch.full(indices.shape[:3], count, dtype=torch.int32, device=device)
    left = None
    if centroids:
        left = lengths.unflatten(0, (-1, blocks.group)).sum(-1).float().log()
        left = left.expand(*indices.shape[:3], -1).contiguous()
    return BlockIndex(indices, counts, counts, counts * blocks.key_block, left)


def random_centroids(layer: Layer, blocks: BlockLayout) -> Centroids:
    """Some keys and values in place of means."""
    batch, heads, _, width = layer.query.shape
    made = layer.key.new_empty(3, batch, heads, blocks.key_groups, width).normal_()
    return Centroids(made[0], made[1].abs(), made[2])


@dataclass(frozen=True)
class Kernel:
    """A name, the blocks it takes (None: dense), and a function that makes the work to be timed.

    make: (layer, blocks, index, centroids) -> a function that computes and returns the patches' output.
    """

    name: str
    blocks: tuple[int, int] | None
    make: Callable[..., Callable[[], Tensor]]
    framed: bool = False
    centroid_block: int = 0
    special: bool = True  # takes special tokens too, and gives all tokens


def kernels(device: torch.device) -> list[Kernel]:
    """Those that this machine has."""
    found = [Kernel(f"SDPA, {name}", None, _sdpa(backend)) for name, backend in _sdpa_backends(device).items()]
    if libraries.missing("flash_attn.cute.interface") is None:
        found.append(Kernel("flash-attn-4", None, _dense_flash4))
        for size in ((128, 128), (192, 128)):
            found.append(Kernel("flash-attn-4", size, _library(libraries.flash4), special=False))
    if libraries.missing("block_sparse_attn") is None:
        run = _library(libraries.block_sparse_attn)
        found.append(Kernel("block-sparse-attn", (128, 128), run, special=False))
    if device.type == "cuda" and libraries.missing("triton") is None:
        found += _own("ManyView, Triton", "triton")
        if hopper.why_not(device, torch.bfloat16, hopper.WIDTH) is None:
            found.append(Kernel("ManyView, Hopper", None, _dense_hopper))
            found += _own("ManyView, Hopper", "hopper")
    return found


def _own(name: str, backend: str) -> list[Kernel]:
    """Our kernels of one backend, for all sizes of blocks that are compared."""
    run = functools.partial(in_place, backend)
    cuts = [Kernel(name, size, run) for size in ((128, 64), (128, 128), (192, 64), (192, 128))]
    cuts += [Kernel(name, size, run, framed=True) for size in ((64, 64), (64, 32), (64, 16))]
    return [*cuts, Kernel(f"{name}, centroids", (64, 32), run, framed=True, centroid_block=64)]


def measure_kernels(
    layer: Layer, keeps: Sequence[float], repeats: int, progress: Any = None
) -> Iterator[dict[str, Any]]:
    """A row for each kernel and share of blocks; a kernel that fails is a row that says why."""
    device = layer.query.device
    works = [(kernel, keep) for kernel in kernels(device) for keep in (keeps if kernel.blocks else [1.0])]
    for done, (kernel, keep) in enumerate(works):
        if progress is not None:
            progress("kernels", done, len(works))
        row = {"kernel": kernel.name, "blocks": kernel.blocks, "framed": kernel.framed, "keep": keep}
        try:
            yield row | measure_kernel(layer, kernel, keep, repeats)
        except Exception as error:  # one kernel of many: the others are still worth measuring
            yield row | {"error": first_line(error)[:300]}


def measure_kernel(layer: Layer, kernel: Kernel, keep: float, repeats: int) -> dict[str, Any]:
    """Milliseconds, effective TFLOP/s (what is kept, over the time) and the error of some queries."""
    batch, heads, tokens, width = layer.query.shape
    device = layer.query.device
    if kernel.blocks is None:
        work = kernel.make(layer, None, None, None)
        pairs, error = batch * heads * tokens**2, None
    else:
        group = max(1, kernel.centroid_block // kernel.blocks[1])
        if not kernel.special:
            layer = without_special(layer)
        blocks = BlockLayout(layer.layout, *kernel.blocks, kernel.framed, group=group)
        index = random_index(blocks, heads, keep, device, kernel.centroid_block > 0)
        centroids = random_centroids(layer, blocks) if kernel.centroid_block else None
        work = kernel.make(layer, blocks, index, centroids)
        queries = blocks.query_table(device)[1]
        keys = index.seen + layer.layout.frames * layer.layout.special
        keys = keys + (0 if centroids is None else blocks.key_groups)
        pairs = int((keys.long() * queries).sum())
        out = work()
        error = error_of(patch_tokens(out, blocks), layer, blocks, index, centroids)
    cost = cost_of(work, device, repeats)
    return {
        "milliseconds": 1000 * cost.seconds,
        "tflops": 4 * pairs * width / cost.seconds / 1e12,
        "pairs": pairs,
        "error": error,
    }


def error_of(
    patches: Tensor, layer: Layer, blocks: BlockLayout, index: BlockIndex, centroids: Centroids | None
) -> float:
    """Relative distance from float64 over a few query blocks of the first head."""
    last = blocks.query_blocks // 2 + CHECKED_QUERIES
    rows = slice(last - CHECKED_QUERIES, last)
    fields = (x[:, :1, rows] for x in (index.indices, index.counts, index.whole, index.seen))
    left = None if index.log_left is None else index.log_left[:, :1, rows]
    part = BlockIndex(*fields, left, rows.start)
    if centroids is not None:
        centroids = Centroids(*(x[:, :1].double() for x in (centroids.key, centroids.spread, centroids.value)))
    exact, _ = sparse_attention_reference(*(x[:, :1].double() for x in layer.operands), part, blocks, centroids)
    first, end = blocks.query_span(rows.start, rows.stop)
    return float((patches[:, :1, first:end].double() - exact).norm() / exact.norm())


def _sdpa_backends(device: torch.device) -> dict[str, SDPBackend | None]:
    if device.type != "cuda":
        return {"as it comes": None}
    return {"FlashAttention-2": SDPBackend.FLASH_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}


def _sdpa(backend: SDPBackend | None) -> Callable[..., Callable[[], Tensor]]:
    def make(layer: Layer, *others: None) -> Callable[[], Tensor]:
        def work() -> Tensor:
            if backend is None:
                return scaled_dot_product_attention(*layer.operands)
            with sdpa_kernel(backend):
                return scaled_dot_product_attention(*layer.operands)

        return work

    return make


def _dense_flash4(layer: Layer, *others: None) -> Callable[[], Tensor]:
    from flash_attn.cute.interface import flash_attn_func

    operands = [x.transpose(1, 2) for x in layer.operands]
    return lambda: flash_attn_func(*operands)[0]


def _library(run: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., Callable[[], Tensor]]:
    """The kernel alone, on patches in one piece and without special tokens."""

    def make(layer: Layer, blocks: BlockLayout, index: BlockIndex, centroids: None) -> Callable[[], Tensor]:
        patches = libraries.patches_of(*layer.operands, index, blocks)
        return lambda: run(*patches, index, blocks)[0]

    return make


def _dense_hopper(layer: Layer, *others: None) -> Callable[[], Tensor]:
    return lambda: hopper.attend_all_keys(*layer.operands)


def in_place(
    backend: str, layer: Layer, blocks: BlockLayout, index: BlockIndex, centroids: Centroids | None
) -> Callable[[], Tensor]:
    """The whole of what patch queries see, at the places of all tokens; what must be packed is packed before."""
    from ...models.sparse.hopper import sparse_attention_hopper
    from ...models.sparse.kernel import Tables, sparse_attention_triton
    from ...models.sparse.operation import heads_side_by_side
    from ...models.sparse.pool_kernel import readable

    out = heads_side_by_side(layer.query).fill_(torch.nan)
    tables, keys = Tables.of(blocks, layer.query.device), readable(layer.key, layer.value, blocks)
    attend = sparse_attention_hopper if backend == "hopper" else sparse_attention_triton

    def work() -> Tensor:
        attend(layer.query, keys, index, blocks, centroids, out=out, tables=tables)
        return out

    return work
