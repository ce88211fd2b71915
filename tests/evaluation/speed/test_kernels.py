"""The benchmark of kernels: random work is of the size it says, and what is measured is checked."""

import pytest
import torch
from torch import Tensor

from manyview.evaluation.speed import kernels
from manyview.evaluation.speed.clock import cost_of
from manyview.evaluation.speed.kernels import (
    Kernel,
    error_of,
    measure_kernels,
    random_centroids,
    random_index,
    random_layer,
    without_special,
)
from manyview.models.attention import TokenLayout
from manyview.models.sparse import BlockLayout
from manyview.models.sparse.blocks import patch_tokens
from manyview.models.sparse.cpu import sparse_attention_torch
from manyview.models.sparse.reference import sparse_attention_reference

CPU = torch.device("cpu")
LAYOUT = TokenLayout(3, 2, 5, 7)
LAYER = random_layer(LAYOUT, 2, 16, torch.float32, CPU)


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("keep", [1.0, 0.4])
def test_random_index_keeps_the_share(framed: bool, keep: float) -> None:
    blocks = BlockLayout(LAYOUT, 16, 4, framed, group=2 if framed else 1)
    index = random_index(blocks, 2, keep, CPU, centroids=framed)
    whole = int((blocks.key_table()[1] == 4).sum())
    assert (index.counts == round(whole * keep)).all() and torch.equal(index.whole, index.counts)
    assert (index.seen == 4 * index.counts).all()
    assert all(len(set(row)) == len(row) for row in index.indices.flatten(0, 2).tolist())
    assert (index.log_left is not None) == framed


def test_error_tells_right_from_wrong() -> None:
    blocks = BlockLayout(LAYOUT, 8, 4, True, group=2)
    index = random_index(blocks, 2, 0.5, CPU, centroids=True)
    centroids = random_centroids(LAYER, blocks)
    out, _ = sparse_attention_reference(*LAYER.operands, index, blocks, centroids)
    assert error_of(out, LAYER, blocks, index, centroids) < 1e-5
    assert error_of(out + 0.1, LAYER, blocks, index, centroids) > 0.01


def test_without_special_tokens_only_patches_stay() -> None:
    alone = without_special(LAYER)
    blocks = BlockLayout(LAYOUT, 8, 4)
    assert alone.layout == TokenLayout(3, 0, 5, 7)
    assert torch.equal(alone.key, patch_tokens(LAYER.key, blocks))


def test_a_kernel_that_fails_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*others: object) -> Tensor:
        raise RuntimeError("no such luck\nand more")

    def gathered(layer, blocks, index, centroids):
        return lambda: sparse_attention_torch(*layer.operands, index, blocks, centroids)

    found = [*kernels.kernels(CPU), Kernel("broken", (8, 4), broken), Kernel("torch", (8, 4), gathered, special=False)]
    monkeypatch.setattr(kernels, "kernels", lambda device: found)
    rows = list(measure_kernels(LAYER, [1.0, 0.5], 2))
    assert [(row["kernel"], row["keep"]) for row in rows] == [
        ("SDPA, as it comes", 1.0), ("broken", 1.0), ("broken", 0.5), ("torch", 1.0), ("torch", 0.5),
    ]  # fmt: skip
    assert rows[1]["error"] == "RuntimeError: no such luck"
    assert rows[0]["pairs"] == 2 * 111**2
    assert rows[3]["pairs"] == 2 * 105 * 104 and rows[4]["pairs"] == 2 * 105 * 52
    assert rows[4]["error"] < 1e-5 and rows[4]["milliseconds"] > 0


def test_cost_is_the_median() -> None:
    calls = []
    cost = cost_of(lambda: calls.append(1), CPU, repeats=3, warm_up=2)
    assert len(calls) == 5 and cost.seconds >= 0 and cost.memory_bytes is None
