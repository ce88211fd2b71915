"""The benchmark of the choice of blocks."""

import pytest
import torch

from manyview.evaluation.speed import selection
from manyview.evaluation.speed.clock import Cost
from manyview.models.sparse import SparsityConfig

CONFIGS = {
    "paper": SparsityConfig(rho=0.5, query_block=8, key_block=4),
    "ours": SparsityConfig(method="manyview", rho=0.7, query_block=8, key_block=4, score_block=4, centroid_block=8),
}
SIZE = ((4, 6), 2, 2, 16, torch.float32, torch.device("cpu"), 1)


def test_a_row_for_each_setting_and_length() -> None:
    calls = []
    rows = list(selection.measure_selection(CONFIGS, [1, 2], *SIZE, progress=lambda *call: calls.append(call)))
    assert [(row["setting"], row["frames"]) for row in rows] == [("paper", 1), ("paper", 2), ("ours", 1), ("ours", 2)]
    assert all(row["choice_ms"] > 0 and row["whole_ms"] > 0 and 0 < row["density"] < 1 for row in rows)
    assert rows[1]["tokens"] == 52 and rows[0]["backend"].startswith("torch")
    assert calls[-1] == ("selection", 3, 4)


def test_memory_may_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*others: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(selection, "measure", full)
    rows = list(selection.measure_selection({"ours": CONFIGS["ours"]}, [1], *SIZE))
    assert rows[0]["error"] == "out of memory"


def test_share_of_the_attention() -> None:
    assert selection.share(Cost(1, None), Cost(1, None), Cost(12, None)) == 0.1
    assert selection.share(Cost(1, None), Cost(1, None), Cost(2, None)) is None
