"""Other people's block-sparse kernels behind the same signature, where they are installed.

Both take the paper's rule only: blocks of fixed large sizes, no centroids. Special keys are attended to separately and
merged by their sums, so they stay exact. flash-attn-4 (`pip install --pre flash-attn-4`) is the fastest there is on
Hopper and Blackwell GPUs; block-sparse-attn (the MIT Han Lab package) needs no Triton, but a compiled extension.
"""

import torch
from torch import Tensor

from ..packages import FLASH4, missing, quiet
from .blocks import BlockLayout, Centroids, special_keys_and_values
from .reference import selected_blocks
from .select import BlockIndex

HALF = (torch.float16, torch.bfloat16)


def why_not_flash4(device: torch.device, dtype: torch.dtype, width: int, blocks: BlockLayout) -> str | None:
    """Why flash-attn-4 cannot compute such blocks here, in a few words, or None if it can."""
    reason = _why_not(device, dtype, blocks)
    if reason is not None:
        return reason
    if torch.cuda.get_device_capability(device)[0] not in (9, 10, 11):
        return "flash-attn-4 takes block lists on Hopper and Blackwell GPUs only"
    if blocks.key_block != 128 or blocks.query_block % 64 or width not in (64, 96, 128):
        return "flash-attn-4 takes key blocks of 128, query blocks of a multiple of 64 and heads of 64, 96 or 128"
    reason = missing(FLASH4)
    return None if reason is None else f"flash-attn-4 is not there ({reason})"


def why_not_block_sparse_attn(device: torch.device, dtype: torch.dtype, width: int, blocks: BlockLayout) -> str | None:
    """Why block-sparse-attn cannot compute such blocks here, in a few words, or None if it can."""
    reason = _why_not(device, dtype, blocks)
    if reason is not None:
        return reason
    if (blocks.query_block, blocks.key_block) != (128, 128) or width not in (32, 64, 128):
        return "block-sparse-attn takes blocks of 128 x 128 and heads of 32, 64 or 128"
    reason = missing("block_sparse_attn")
    return None if reason is None else f"block-sparse-attn is not there ({reason})"


def _why_not(device: torch.device, dtype: torch.dtype, blocks: BlockLayout) -> str | None:
    if device.type != "cuda":
        return f"no such kernel for {device.type}"
    if dtype not in HALF:
        return f"only float16 and bfloat16, not {dtype}"
    return "only the method 'paper'" if blocks.framed else None


@torch.no_grad()
def attend_flash4(
    query: Tensor, key: Tensor, value: Tensor, index: BlockIndex, blocks: BlockLayout,
    centroids: Centroids | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The same as `sparse_attention_reference`, by flash-attn-4."""
    patches = patches_of(query, key, value, index, blocks)
    return _with_special(*flash4(*patches, index, blocks), patches[0], key, value, blocks)


@torch.no_grad()
def attend_block_sparse_attn(
    query: Tensor, key: Tensor, value: Tensor, index: BlockIndex, blocks: BlockLayout,
    centroids: Centroids | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The same as `sparse_attention_reference`, by block-sparse-attn, which wants the whole map of blocks."""
    patches = patches_of(query, key, value, index, blocks)
    return _with_special(*block_sparse_attn(*patches, index, blocks), patches[0], key, value, blocks)


def patches_of(query: Tensor, key: Tensor, value: Tensor, index: BlockIndex, blocks: BlockLayout) -> list[Tensor]:
    """Patches of the index' query blocks, and all patch keys and values, (B, t or T, heads, D), in one piece."""
    first, end = blocks.query_span(index.first, index.first + index.rows)
    framed = (x.transpose(1, 2).unflatten(1, (blocks.layout.frames, -1)) for x in (query, key, value))
    query, key, value = (x[:, :, blocks.layout.special :].flatten(1, 2).contiguous() for x in framed)
    return [query[:, first:end].contiguous(), key, value]


def flash4(query: Tensor, key: Tensor, value: Tensor, index: BlockIndex, blocks: BlockLayout) -> tuple[Tensor, Tensor]:
    """Patches (B, t or T, heads, D) -> output (B, heads, t, D) and sums (B, heads, t) over the listed blocks."""
    from flash_attn.cute.block_sparsity import BlockSparseTensorsTorch
    from flash_attn.cute.interface import _flash_attn_fwd

    indices = torch.nn.functional.pad(index.indices, (0, blocks.key_blocks - index.indices.shape[-1])).clamp(min=0)
    lists = BlockSparseTensorsTorch(
        mask_block_cnt=torch.zeros_like(index.counts),
        mask_block_idx=torch.zeros_like(indices),
        full_block_cnt=index.counts.contiguous(),
        full_block_idx=indices.contiguous(),
        block_size=(blocks.query_block, blocks.key_block),
    )
    with quiet():
        out, lse, *_ = _flash_attn_fwd(query, key, value, block_sparse_tensors=lists, return_lse=True)
    return out.transpose(1, 2), lse


def block_sparse_attn(
    query: Tensor, key: Tensor, value: Tensor, index: BlockIndex, blocks: BlockLayout
) -> tuple[Tensor, Tensor]:
    """The same by the kernel of block-sparse-attn."""
    from block_sparse_attn import block_sparse_attn_func

    batch, queries, heads, _ = query.shape
    ends = [torch.arange(batch + 1, dtype=torch.int32, device=key.device) * n for n in (queries, key.shape[1])]
    kinds = torch.ones(heads, dtype=torch.int32, device=key.device)  # every head has a map of its own
    out, lse, _ = block_sparse_attn_func(
        *(x.flatten(0, 1) for x in (query, key, value)), *ends, kinds, None, selected_blocks(index, blocks),
        queries, key.shape[1], 0.0, return_attn_probs=True,
    )  # fmt: skip
    return out.unflatten(0, (batch, queries)).transpose(1, 2), lse[:, :, :queries]


def _with_special(
    out: Tensor, lse: Tensor, patches: Tensor, key: Tensor, value: Tensor, blocks: BlockLayout
) -> tuple[Tensor, Tensor]:
    """Attention (B, heads, t, D) over patch keys and its sums (B, heads, t), completed by all special keys."""
    if blocks.layout.special == 0:
        return out, lse
    special = special_keys_and_values(key, value, blocks)
    flash = torch.ops.aten._scaled_dot_product_flash_attention
    more, more_lse = flash(patches.transpose(1, 2).contiguous(), *special)[:2]
    both = torch.logaddexp(lse, more_lse)
    return merged(out, (lse - both).exp(), more, (more_lse - both).exp()).to(out.dtype), both


def merged(one: Tensor, share: Tensor, other: Tensor, rest: Tensor) -> Tensor:
    """Two partial results (B, heads, t, D) weighted by their shares (B, heads, t) of the sum."""
    return one * share[..., None] + other * rest[..., None]
