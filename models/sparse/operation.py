"""The whole operation on one backend: queries, keys and values of all tokens in, outputs and computed pairs out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attention import Heads, dense_attention
from ..gpu_kernels import has_kernels
from .blocks import BlockLayout, Centroids, grouped, moments, patch_tokens, special_tokens
from .config import SparsityConfig
from .cpu import sparse_attention_torch
from .reference import sparse_attention_reference
from .select import BlockIndex, Summary, index_chunks, summarize

Operands = tuple[Tensor, Tensor, Tensor]
Attend = Callable[[Tensor, Tensor, Tensor, BlockIndex, BlockLayout, Centroids | None], Tensor]

COUNTED_AT_ONCE = 2**24  # centroids of which it is counted whether they are seen


@dataclass(frozen=True)
class Problem:
    """One layer's attention: all tokens (B, heads, N * P, D) as blocks, and the key blocks that may be seen."""

    query: Tensor
    key: Tensor
    value: Tensor
    blocks: BlockLayout
    lengths: Tensor  # (Kb,) int32, tokens of the key blocks, 0 in those that are empty or masked out
    config: SparsityConfig
    layer: int
    heads: Heads | None = None  # which heads of the layer these are; None: all

    @property
    def operands(self) -> Operands:
        return self.query, self.key, self.value


def run_torch(problem: Problem) -> tuple[Tensor, Tensor]:
    """Output (B, heads, N * P, D) and computed pairs (B, heads), in plain torch."""
    query, key, value = (x.contiguous() for x in problem.operands)  # blocks are gathered out of them again and again
    return _run(replace(problem, query=query, key=key, value=value), sparse_attention_torch)


def run_reference(problem: Problem) -> tuple[Tensor, Tensor]:
    """The same by the plain formula."""
    return _run(problem, lambda *operands: sparse_attention_reference(*operands)[0])


def run_flash4(problem: Problem) -> tuple[Tensor, Tensor]:
    """The same with flash-attn-4 for the attention, on GPUs, for the paper's rule."""
    from .libraries import attend_flash4

    return _run_library(problem, lambda *operands: attend_flash4(*operands)[0])


def run_block_sparse_attn(problem: Problem) -> tuple[Tensor, Tensor]:
    """The same with block-sparse-attn for the attention, on GPUs, for the paper's rule."""
    from .libraries import attend_block_sparse_attn

    return _run_library(problem, lambda *operands: attend_block_sparse_attn(*operands)[0])


def run_triton(problem: Problem) -> tuple[Tensor, Tensor]:
    """The same by Triton kernels, which read tokens where they are and write where the projection wants them.

    On a GPU the one for attention is tried first; should it fail, plain torch does the work.
    """
    from .kernel import sparse_attention_triton
    from .trial import fault_of_triton

    if problem.query.is_cuda and fault_of_triton(problem.query, problem.blocks, problem.config.pooled) is not None:
        return run_torch(problem)
    return _run_kernels(problem, sparse_attention_triton)


def run_hopper(problem: Problem) -> tuple[Tensor, Tensor]:
    """The same with the kernel for Hopper GPUs for the attention; as `run_triton` does, should it fail its check."""
    from .hopper import fault, sparse_attention_hopper

    query = problem.query
    wrong = fault(query.device, query.dtype, problem.blocks, problem.config.pooled)
    return run_triton(problem) if wrong is not None else _run_kernels(problem, sparse_attention_hopper)


def _run_kernels(problem: Problem, attend: Callable[..., None]) -> tuple[Tensor, Tensor]:
    from .kernel import Tables
    from .pool_kernel import prepare
    from .select_kernel import index_chunks_triton

    blocks = problem.blocks
    query, key, value = (x if x.stride(-1) == 1 else x.contiguous() for x in problem.operands)
    tables = Tables.of(blocks, query.device)
    summary, keys, centroids = prepare(query, key, value, problem.lengths, blocks, problem.config, tables)
    summary = replace(summary, part=problem.heads)
    out = heads_side_by_side(query)
    set_special(out, special_output(problem), blocks)
    pairs = []
    for index in index_chunks_triton(summary, blocks, problem.config, problem.layer):
        pairs.append(pairs_of(index, tables.query_length, centroids is not None))
        attend(query, keys, index, blocks, centroids, out=out, tables=tables)
        del index  # the next piece takes its place
    return out, total_pairs(pairs, problem)


def _run(problem: Problem, attend: Attend) -> tuple[Tensor, Tensor]:
    blocks, config = problem.blocks, problem.config
    patch_query, patch_key, patch_value = (patch_tokens(x, blocks) for x in problem.operands)
    special_key = special_tokens(problem.key, blocks)
    centroids = key_moments = None
    if config.own:
        cut = (blocks.segments, blocks.key_block, blocks.keys_each)
        key_moments = moments(patch_key, *cut)
        if config.centroid_block:
            values = moments(patch_value, *cut, spread=False)
            keys, values = (grouped(x, problem.lengths, blocks.group) for x in (key_moments, values))
            centroids = Centroids(*(x.to(problem.key.dtype) for x in (keys.mean, keys.variance, values.mean)))
    summary = summarize(patch_query, patch_key, special_key, key_moments, problem.lengths, blocks, config)
    summary = replace(summary, part=problem.heads)
    return attend_all(problem, index_chunks(summary, blocks, config, problem.layer), centroids, attend)


def _run_library(problem: Problem, attend: Attend) -> tuple[Tensor, Tensor]:
    """Blocks chosen by Triton kernels where they can run, else by plain torch."""
    if not has_kernels(problem.query.device):
        return _run(problem, attend)
    from .kernel import Tables
    from .pool_kernel import prepare
    from .select_kernel import index_chunks_triton

    blocks, config = problem.blocks, problem.config
    tables = Tables.of(blocks, problem.query.device)
    summary, _, _ = prepare(*problem.operands, problem.lengths, blocks, config, tables)
    summary = replace(summary, part=problem.heads)
    return attend_all(problem, index_chunks_triton(summary, blocks, config, problem.layer), None, attend)


def attend_all(
    problem: Problem, chunks: Iterable[BlockIndex], centroids: Centroids | None, attend: Attend
) -> tuple[Tensor, Tensor]:
    """Outputs and pairs from the pieces of an index, by a function that gives the patches of one piece."""
    blocks = problem.blocks
    lengths = blocks.query_table(problem.query.device)[1]
    pieces, pairs = [], []
    for index in chunks:
        pairs.append(pairs_of(index, lengths, centroids is not None))
        pieces.append(attend(*problem.operands, index, blocks, centroids))
        del index
    patches = torch.cat(pieces, dim=2).unflatten(2, (blocks.layout.frames, -1))
    special = special_output(problem).unflatten(2, (blocks.layout.frames, blocks.layout.special))
    return torch.cat([special, patches], dim=3).flatten(2, 3), total_pairs(pairs, problem)


def special_output(problem: Problem) -> Tensor:
    """What special queries see: everything, (B, heads, N * S, D)."""
    query = special_tokens(problem.query, problem.blocks)
    return dense_attention(query, problem.key, problem.value)[0]


def heads_side_by_side(query: Tensor) -> Tensor:
    """An empty output of query's shape in which a token's heads lie side by side, as the projection wants them."""
    batch, heads, tokens, width = query.shape
    return query.new_empty(batch, tokens, heads, width).transpose(1, 2)


def set_special(out: Tensor, special: Tensor, blocks: BlockLayout) -> None:
    """Write special tokens (B, heads, N * S, D) to their places among all tokens."""
    layout = blocks.layout
    framed = out.unflatten(2, (layout.frames, -1))
    framed[:, :, :, : layout.special] = special.unflatten(2, (layout.frames, layout.special))


def pairs_of(index: BlockIndex, query_lengths: Tensor, centroids: bool) -> Tensor:
    """Pairs of the index' patch queries with patch keys, (B, heads) int64; a centroid counts as one key."""
    keys = index.seen.long()
    if centroids:
        step = max(1, COUNTED_AT_ONCE // index.log_left[:, :, 0].numel())  # PyTorch makes integers before it counts
        counts = ((part > -torch.inf).sum(-1) for part in index.log_left.split(step, dim=2))
        keys = keys + torch.cat(list(counts), dim=2)
    return (keys * query_lengths[index.first : index.first + index.rows]).sum(-1)


def total_pairs(pairs: list[Tensor], problem: Problem) -> Tensor:
    """With those that special tokens take part in: their queries see all, and all patch queries see their keys."""
    layout, tokens = problem.blocks.layout, problem.query.shape[2]
    special = layout.frames * layout.special
    return torch.stack(pairs).sum(0) + special * (tokens + tokens - special)


def summary_of(problem: Problem) -> Summary:
    """What the choice of blocks is made from, in plain torch."""
    patches = (patch_tokens(x, problem.blocks) for x in (problem.query, problem.key))
    special_key = special_tokens(problem.key, problem.blocks)
    return summarize(*patches, special_key, None, problem.lengths, problem.blocks, problem.config)
