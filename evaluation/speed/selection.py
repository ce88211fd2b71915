"""What the choice of blocks costs beside the attention, against the number of frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from ...models.attention import TokenLayout
from ...models.sparse import BlockSparse, SparsityConfig
from ...models.sparse.operation import Problem, special_output
from .clock import Cost, cost_of
from .kernels import random_layer

LONG = 600_000  # tokens
RUN = 16  # neighbouring tokens that are alike: among numbers without order all blocks would seem equally good


def measure_selection(
    configs: Mapping[str, SparsityConfig],
    frames: Sequence[int],
    grid: tuple[int, int],
    special: int,
    heads: int,
    width: int,
    dtype: torch.dtype,
    device: torch.device,
    repeats: int,
    progress: Any = None,
) -> Iterator[dict[str, Any]]:
    """A row for each setting and number of frames: the choice alone, and the whole operation; milliseconds and bytes.

    Where the device's memory ends, a row says so.
    """
    works = [(name, count) for name in configs for count in frames]
    for done, (name, count) in enumerate(works):
        if progress is not None:
            progress("selection", done, len(works))
        layout = TokenLayout(count, special, *grid)
        row = {"setting": name, "frames": count, "tokens": count * layout.tokens_per_frame}
        row["sparsity"] = configs[name].to_dict()
        try:
            layer = random_layer(layout, heads, width, dtype, device, run=RUN)
            problem = BlockSparse(configs[name]).problem(*layer.operands, layout, 0)
            yield row | measure(problem, repeats)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            yield row | {"error": "out of memory"}


def measure(problem: Problem, repeats: int) -> dict[str, Any]:
    """The choice of one layer alone, its special queries, and everything together."""
    device = problem.query.device
    long = problem.query.shape[2] > LONG  # seconds a call: once is enough
    few = 1 if long else max(1, min(repeats, 3))
    choice = cost_of(lambda: choose(problem), device, few if long else repeats, warm_up=1)
    special = cost_of(lambda: special_output(problem), device, few, warm_up=1)
    attend = BlockSparse(problem.config)
    density = []

    def everything() -> None:
        density[:] = [attend(*problem.operands, _arranged(problem), problem.layer)[1]]

    whole = cost_of(everything, device, few, warm_up=0 if long else 1)
    return {
        "choice_ms": 1000 * choice.seconds,
        "choice_memory_bytes": choice.memory_bytes,
        "special_ms": 1000 * special.seconds,
        "whole_ms": 1000 * whole.seconds,
        "whole_memory_bytes": whole.memory_bytes,
        "share_of_attention": share(choice, special, whole),
        "density": float(density[0].mean()),
        "backend": attend.backend_report(),
    }


def share(choice: Cost, special: Cost, whole: Cost) -> float | None:
    """The choice's time over that of the sparse attention itself; None where times are too short to tell."""
    attention = whole.seconds - choice.seconds - special.seconds
    return choice.seconds / attention if attention > 0 else None


def choose(problem: Problem) -> int:
    """Make all lists, one piece after the other; the number of pieces."""
    if problem.query.device.type == "cuda":
        from ...models.sparse.kernel import Tables
        from ...models.sparse.pool_kernel import prepare
        from ...models.sparse.select_kernel import index_chunks_triton

        tables = Tables.of(problem.blocks, problem.query.device)
        blocks, config = problem.blocks, problem.config
        summary, _, _ = prepare(*problem.operands, problem.lengths, blocks, config, tables)
        return sum(1 for _ in index_chunks_triton(summary, blocks, config, problem.layer))
    from ...models.sparse.operation import summary_of
    from ...models.sparse.select import index_chunks

    return sum(1 for _ in index_chunks(summary_of(problem), problem.blocks, problem.config, problem.layer))


def _arranged(problem: Problem) -> TokenLayout:
    layout = problem.blocks.layout
    return TokenLayout(layout.frames, layout.special, layout.height, layout.width, arranged=True)
