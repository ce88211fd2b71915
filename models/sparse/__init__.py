"""Sparse global attention without training: `VGGT(config, global_attention=BlockSparse(preset("paper-s75")))`.

config.py says what is computed, blocks.py how patches are cut into blocks, select.py which blocks are chosen, and
reference.py what the result is; cpu.py and kernel.py compute it faster. retrofit.py puts it into other people's models.
"""

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from ..attention import TokenLayout, dense_attention
from .blocks import BlockLayout, Centroids, band_order, key_centroids, pool
from .config import PRESETS, SparsityConfig, parse_layers, preset
from .cpu import sparse_attention_torch
from .reference import sparse_attention_reference
from .retrofit import Retrofit, find_global_blocks, remove, retrofit
from .select import BlockIndex, index_chunks, pool_for_scores, select_blocks

__all__ = [
    "BACKENDS",
    "PRESETS",
    "BlockIndex",
    "BlockLayout",
    "BlockSparse",
    "Centroids",
    "Retrofit",
    "SparsityConfig",
    "parse_layers",
    "preset",
    "restore",
    "sparsify",
]

BACKENDS = ("auto", "triton", "torch", "reference")

logger = logging.getLogger(__name__)


def sparsify(model: nn.Module, config: SparsityConfig, backend: str = "auto") -> Retrofit:
    """Make the global attention of a public VGGT or Pi3 object sparse, in place; `restore` undoes it.

    Our own models take `global_attention=BlockSparse(config)` instead.
    """
    _, global_blocks = find_global_blocks(model)
    parse_layers(config.dense_layers, len(global_blocks))
    return retrofit(model, BlockSparse(config, backend))


def restore(model: nn.Module) -> None:
    """Undo `sparsify`; a model without it stays as it is."""
    remove(model)


class BlockSparse:
    """A GlobalAttention that computes the pairs its configuration asks for; it has no parameters.

    backend: "triton" kernels for CUDA, "torch" for any device, "reference" the slow formula. "auto" takes triton
    where it runs and torch elsewhere; `backend_report` says which, and why.
    """

    def __init__(self, config: SparsityConfig, backend: str = "auto") -> None:
        if backend not in BACKENDS:
            raise ValueError(f"Unknown backend {backend!r}; choose from {', '.join(BACKENDS)}.")
        self.config = config
        self.backend = backend
        self._has_triton = importlib.util.find_spec("triton") is not None
        self._report = "dense"

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        tokens = query.shape[2]
        if tokens < self.config.min_tokens:
            self._note(f"dense (sparse attention begins at {self.config.min_tokens} tokens)")
            return dense_attention(query, key, value)
        if self.config.is_dense(layer):
            return dense_attention(query, key, value)
        with torch.autocast(query.device.type, enabled=False):  # scores of pooled blocks need float32
            return self._sparse(query, key, value, layout, layer)

    def backend_report(self) -> str:
        """What the last layer that could be sparse ran on, and why."""
        return self._report

    def _sparse(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor]:
        config = self.config
        blocks = BlockLayout.of(layout, config.query_block, config.key_block, config.layout)
        run = implementation(self._choose_backend(query, key, value))
        (special_query, patch_query), (special_key, patch_key), (special_value, patch_value) = (
            split_tokens(x, layout) for x in (query, key, value)
        )
        inverse = None
        if config.order == "bands":
            order, inverse = band_order(layout.height, layout.width, config.key_block, query.device)
            patch_query, patch_key, patch_value = (x[:, :, :, order] for x in (patch_query, patch_key, patch_value))
        if not run.takes_views:
            patch_query, patch_key, patch_value = (x.flatten(2, 3) for x in (patch_query, patch_key, patch_value))
        operands = patch_query, patch_key, patch_value, special_key, special_value
        centroids = run.key_centroids(patch_key, patch_value, blocks) if config.centroids else None
        pooled_query, pooled_key = pool_for_scores(patch_query, patch_key, blocks, config.pooling, run.pool)

        special = scaled_dot_product_attention(special_query, key, value)  # special queries see everything
        out, patch_out = output_with(special, query, layout) if run.takes_views else (None, None)
        ordered = patch_out if inverse is None else torch.empty_like(patch_query)
        pairs, pieces = [], []
        for index in index_chunks(pooled_query, pooled_key, blocks, config, layer, select=run.select_blocks):
            pairs.append(computed_pairs(index, blocks, layout, config.centroids))
            if run.takes_views:
                run.attend(*operands, index, blocks, centroids, out=ordered)
            else:
                pieces.append(run.attend(*operands, index, blocks, centroids)[0])
        if out is None:
            patches = torch.cat(pieces, dim=2).unflatten(2, (layout.frames, -1))
            out = merge_tokens(special, patches if inverse is None else patches[:, :, :, inverse], layout)
        elif inverse is not None:
            patch_out.copy_(ordered[:, :, :, inverse])
        special_pairs = special.shape[2] * query.shape[2]
        return out, (torch.stack(pairs).sum(0) + special_pairs).float() / query.shape[2] ** 2

    def _choose_backend(self, query: Tensor, key: Tensor, value: Tensor) -> str:
        backend, reason = self.backend, "as asked for"
        if backend == "auto":
            trains = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
            obstacle = "the Triton kernel has no gradients" if trains else self._why_no_triton(query)
            backend, reason = ("triton", "the device runs it") if obstacle is None else ("torch", obstacle)
        self._note(f"{backend} ({reason})")
        return backend

    def _note(self, report: str) -> None:
        if report != self._report:
            self._report = report
            if not torch.compiler.is_compiling():
                logger.info("sparse attention: %s", report)

    def _why_no_triton(self, query: Tensor) -> str | None:
        """One reason why the Triton kernel cannot run, None if it can."""
        if query.device.type != "cuda":
            return f"no Triton kernel for {query.device.type}"
        if not self._has_triton:
            return "Triton is not installed"
        from .kernel import why_not

        config = self.config
        return why_not(query.device, query.dtype, query.shape[-1], config.query_block, config.key_block)


@dataclass(frozen=True)
class Implementation:
    """The steps of sparse attention on one backend; all backends give the same.

    takes_views: patches are given as views (B, heads, N, patches, D) of all tokens, and results are written in place;
    else both are (B, heads, T, D).
    """

    pool: Callable[..., Tensor]
    key_centroids: Callable[..., Centroids]
    select_blocks: Callable[..., BlockIndex]
    attend: Callable[..., tuple[Tensor, Tensor]]
    takes_views: bool


def implementation(backend: str) -> Implementation:
    """The functions of "triton", "torch" or "reference"."""
    if backend == "triton":
        try:
            from .kernel import sparse_attention_triton
            from .select_kernel import key_centroids_triton, pool_triton, select_blocks_triton
        except ImportError as error:
            raise ImportError("The backend 'triton' needs Triton: pip install triton") from error
        return Implementation(pool_triton, key_centroids_triton, select_blocks_triton, sparse_attention_triton, True)
    attend = sparse_attention_torch if backend == "torch" else sparse_attention_reference
    return Implementation(pool, key_centroids, select_blocks, attend, False)


def split_tokens(x: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor]:
    """Tokens (B, heads, N * P, D) -> special tokens (B, heads, S, D), and a view of patches (B, heads, N, h*w, D)."""
    framed = x.unflatten(2, (layout.frames, -1))
    return framed[:, :, :, : layout.special].flatten(2, 3), framed[:, :, :, layout.special :]


def merge_tokens(special: Tensor, patches: Tensor, layout: TokenLayout) -> Tensor:
    """Special tokens (B, heads, S, D) and patches (B, heads, N, h*w, D) -> (B, heads, N * P, D), frame by frame."""
    return torch.cat([special.unflatten(2, (layout.frames, layout.special)), patches], dim=3).flatten(2, 3)


def output_with(special: Tensor, query: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor]:
    """The output (B, heads, N * P, D), special tokens filled in, and a view of its patches (B, heads, N, h*w, D).

    A token's heads lie side by side, as the projection that follows wants them.
    """
    batch, heads, tokens, width = query.shape
    out = query.new_empty(batch, tokens, heads, width).transpose(1, 2)
    framed = out.unflatten(2, (layout.frames, -1))
    framed[:, :, :, : layout.special] = special.unflatten(2, (layout.frames, layout.special))
    return out, framed[:, :, :, layout.special :]


def computed_pairs(index: BlockIndex, blocks: BlockLayout, layout: TokenLayout, centroids: bool) -> Tensor:
    """Query-key pairs of the index' patch queries, (B, heads) int64; a centroid counts as one key."""
    per_segment = blocks.key_blocks // blocks.segments
    missing = per_segment * blocks.key_block - blocks.segment_length  # in the last key block of a segment
    keys = index.counts.long() * blocks.key_block + layout.frames * layout.special  # (B, heads, rows)
    if missing:
        last = (index.indices >= 0) & (index.indices % per_segment == per_segment - 1)
        keys = keys - last.sum(-1) * missing
    if centroids:
        keys = keys + blocks.key_blocks - index.counts
    queries = blocks.query_table(index.counts.device)[1][index.first : index.first + index.rows]
    return (keys * queries).sum(-1)
