"""Sparse global attention without training: `VGGT(config, global_attention=BlockSparse(preset("quality")))`.

config.py says what is computed, blocks.py how patches are cut into blocks, select.py which blocks are chosen, and
reference.py what the result is; operation.py puts these together. cpu.py and the *_kernel.py files compute the
same faster (pool_kernel.py pools, rank_kernel.py chooses by the paper's rule, select_kernel.py by ours, kernel.py
attends, hopper.py does on H100 and H200), libraries.py with other people's kernels. retrofit.py puts it into other
people's models.
"""

import importlib.util
import json
import logging
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..attention import Heads, TokenLayout, dense_attention
from ..gpu_kernels import why_no_kernels
from .blocks import BlockLayout, Centroids, band_order
from .config import PRESETS, SparsityConfig, parse_layers, preset
from .libraries import why_not_block_sparse_attn, why_not_flash4
from .operation import Problem, run_block_sparse_attn, run_flash4, run_hopper, run_reference, run_torch, run_triton
from .retrofit import Retrofit, find_global_blocks, remove, retrofit
from .select import BlockIndex

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

RUNS = {
    "hopper": run_hopper,
    "flash-attn-4": run_flash4,
    "triton": run_triton,
    "block-sparse-attn": run_block_sparse_attn,
    "torch": run_torch,
    "reference": run_reference,
}
BACKENDS = ("auto", *RUNS)

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

    backend: "hopper" (for H100 and H200), "flash-attn-4", the "triton" kernels, "block-sparse-attn" (all for CUDA),
    "torch" for any device, or the slow "reference". "auto" takes the first of these that runs here; `backend_report`
    says which, and why.
    patch_mask: (N, h, w) bool, true where a patch matters. With the method "manyview", key blocks without such a patch
    are never seen: sky, people, the background of a turntable. The number of frames and the grid must fit the images.
    """

    def __init__(self, config: SparsityConfig, backend: str = "auto", patch_mask: Tensor | None = None) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"Unknown backend {backend!r}; choose from {', '.join(BACKENDS)}.")
        if patch_mask is not None and (patch_mask.dim() != 3 or patch_mask.dtype != torch.bool):
            raise ValueError(f"patch_mask must be bool (N, h, w), got {patch_mask.dtype} {tuple(patch_mask.shape)}.")
        self.config = config
        self.backend = backend
        self.patch_mask = patch_mask if config.own else None
        self._has_triton = importlib.util.find_spec("triton") is not None
        self._json = json.dumps(config.to_dict())
        self._report = "dense"

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        return self.on_heads(query, key, value, layout, layer, None)

    def on_heads(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int, heads: Heads | None
    ) -> tuple[Tensor, Tensor | None]:
        """The same for some heads of a layer whose others are elsewhere; None: all are here."""
        tokens = query.shape[2]
        if tokens < self.config.min_tokens:
            self._note(f"dense (sparse attention begins at {self.config.min_tokens} tokens)")
            return dense_attention(query, key, value)
        if self.config.is_dense(layer):
            return dense_attention(query, key, value)
        with torch.autocast(query.device.type, enabled=False):  # scores of pooled blocks need float32
            return self._sparse(query, key, value, layout, layer, heads)

    def backend_report(self) -> str:
        """What the last layer that could be sparse ran on, and why."""
        return self._report

    def patch_order(self, layout: TokenLayout, device: torch.device) -> tuple[Tensor, Tensor] | None:
        """The order in which this attention wants the patches of a frame, and its inverse, (h * w,) each; None: any.

        A model may bring all tokens into this order at once and say so by `TokenLayout.arranged`.
        """
        if not self.config.own or self.config.order == "rows" or self._all_dense(layout):
            return None
        return band_order(layout.height, layout.width, self.config.blocks(layout).key_block, device)

    def problem(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int, heads: Heads | None = None
    ) -> Problem:
        """The operation on tokens that stand in the order of this attention."""
        blocks = self.config.blocks(layout)
        lengths = blocks.key_table(query.device)[1]
        if self.patch_mask is not None:
            lengths = torch.where(self._matters(blocks, query.device), lengths, 0)
        return Problem(query, key, value, blocks, lengths, self.config, layer, heads)

    def _sparse(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int, heads: Heads | None = None
    ) -> tuple[Tensor, Tensor]:
        backend = self._choose_backend(query, key, value, layout)
        order = None if layout.arranged else self.patch_order(layout, query.device)
        if order is None:
            out, pairs = self._run(backend, query, key, value, layout, layer, heads)
        else:
            there, back = (token_order(x, layout) for x in order)
            moved = (x.index_select(2, there) for x in (query, key, value))
            out, pairs = self._run(backend, *moved, layout, layer, heads)
            out = out.transpose(1, 2).index_select(1, back).transpose(1, 2)  # a token's heads stay side by side
        return out, pairs.float() / query.shape[2] ** 2

    def _run(
        self, backend: str, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int,
        heads: Heads | None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        if backend in ("torch", "reference") or heads is not None:
            return RUNS[backend](self.problem(query, key, value, layout, layer, heads))
        grid = (layout.frames, layout.special, layout.height, layout.width)
        return gpu_operation(query, key, value, self.patch_mask, *grid, layer, self._json, backend)

    def _all_dense(self, layout: TokenLayout) -> bool:
        return layout.frames * layout.tokens_per_frame < self.config.min_tokens

    def _matters(self, blocks: BlockLayout, device: torch.device) -> Tensor:
        """True (Kb,) for key blocks with a patch of the mask."""
        layout = blocks.layout
        if self.patch_mask.shape != (layout.frames, layout.height, layout.width):
            raise ValueError(
                f"patch_mask is {tuple(self.patch_mask.shape)}, but the images make {layout.frames} x {layout.height} "
                f"x {layout.width} patches; give one that fits."
            )
        mask = self.patch_mask.to(device).flatten(1)
        order = self.patch_order(replace(layout, arranged=False), device)
        mask = (mask if order is None else mask[:, order[0]]).flatten()
        found = torch.zeros(blocks.key_blocks, dtype=torch.int32, device=device)
        place = blocks.key_of(torch.arange(blocks.tokens, device=device))
        return found.index_add_(0, place, mask.to(torch.int32)) > 0

    def _choose_backend(self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout) -> str:
        backend, reason = self.backend, "as asked for"
        if backend == "auto":
            trains = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
            if trains:
                backend, reason = "torch", "the GPU kernels have no gradients"
            else:
                backend, reason = self._first_that_runs(query, layout)
        elif backend not in ("torch", "reference"):
            if backend in ("hopper", "triton") and not self._has_triton:
                raise ImportError(f"The backend {backend!r} needs Triton: pip install triton")
            obstacle = self._why_not(backend, query, layout)
            if obstacle is not None and not (backend == "triton" and query.device.type == "cpu"):
                raise ValueError(f"The backend {backend!r} cannot run here: {obstacle}; take 'auto'.")
        self._note(f"{backend} ({reason})")
        return backend

    def _first_that_runs(self, query: Tensor, layout: TokenLayout) -> tuple[str, str]:
        """The best backend, and why it is this one."""
        names = ("hopper", "flash-attn-4", "triton")
        obstacles = {name: self._why_not(name, query, layout) for name in names}
        if obstacles["hopper"] is None:
            return "hopper", "made for this GPU"
        if obstacles["flash-attn-4"] is None:
            return "flash-attn-4", "installed, and faster than our own here"
        if obstacles["triton"] is None:
            return "triton", "the device runs it"
        if self._why_not("block-sparse-attn", query, layout) is None:
            return "block-sparse-attn", obstacles["triton"]
        return "torch", obstacles["triton"]

    def _why_not(self, backend: str, query: Tensor, layout: TokenLayout) -> str | None:
        """One reason why a backend cannot run, None if it can."""
        device, dtype, width = query.device, query.dtype, query.shape[-1]
        if backend == "flash-attn-4":
            return why_not_flash4(device, dtype, width, self.config.blocks(layout))
        if backend == "block-sparse-attn":
            return why_not_block_sparse_attn(device, dtype, width, self.config.blocks(layout))
        reason = why_no_kernels(device)
        if reason is not None:
            return reason
        blocks = self.config.blocks(layout)
        if backend == "hopper":
            from .hopper import why_not as why_not_hopper

            return why_not_hopper(device, dtype, width, blocks, self.config.pooled)
        from .kernel import why_not
        from .trial import known_fault_of_triton

        found = known_fault_of_triton(query, blocks, self.config.pooled)
        return found or why_not(device, dtype, width, blocks.query_block, blocks.key_block)

    def _note(self, report: str) -> None:
        if report != self._report:
            self._report = report
            if not torch.compiler.is_compiling():
                logger.info("sparse attention: %s", report)


def token_order(patches: Tensor, layout: TokenLayout) -> Tensor:
    """An order of the patches of a frame (h * w,) as one of all tokens (N * P,), special tokens left where they are."""
    special = torch.arange(layout.special, device=patches.device)
    frame = torch.cat([special, patches + layout.special])
    starts = torch.arange(layout.frames, device=patches.device) * layout.tokens_per_frame
    return (starts[:, None] + frame).flatten()


@torch.library.custom_op("manyview::block_sparse", mutates_args=())
def gpu_operation(
    query: Tensor, key: Tensor, value: Tensor, patch_mask: Tensor | None,
    frames: int, special: int, height: int, width: int, layer: int, config: str, backend: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """A backend of GPU kernels, opaque to torch.compile, so that a compiled model has no graph break here."""
    layout = TokenLayout(frames, special, height, width, arranged=True)
    attention = BlockSparse(SparsityConfig.from_dict(json.loads(config)), backend, patch_mask)
    out, pairs = RUNS[backend](attention.problem(query, key, value, layout, layer))
    return in_token_rows(out), pairs


@gpu_operation.register_fake
def _(query: Tensor, *others: object) -> tuple[Tensor, Tensor]:
    batch, heads, tokens, width = query.shape
    out = query.new_empty(batch, tokens, heads, width).transpose(1, 2)
    return out, query.new_empty((batch, heads), dtype=torch.int64)


def in_token_rows(out: Tensor) -> Tensor:
    """(B, heads, T, D) with a token's heads side by side, copied only if it is otherwise."""
    return out.transpose(1, 2).contiguous().transpose(1, 2)
