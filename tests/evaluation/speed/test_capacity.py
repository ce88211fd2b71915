"""The search for the largest input that fits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from manyview.evaluation.speed import capacity


@given(st.integers(0, 1200), st.integers(0, 1200), st.integers(1, 1000))
def test_finds_the_largest_from_any_start(truth: int, start: int, most: int) -> None:
    tries = {}
    found = capacity.largest(lambda n: n <= truth, start, 0, most, tries)
    best = min(truth, most)
    assert found <= best <= found + max(1, int(capacity.CLOSE * found)) and (best - found == 0 or found >= 50)
    assert all(1 <= n <= most and good == (n <= truth) for n, good in tries.items())
    assert len(tries) <= 2 * most.bit_length() + 2


def test_starts_at_the_estimate_and_keeps_what_is_known() -> None:
    tries = {}
    assert capacity.largest(lambda n: n <= 103, 100, 40, 1000, tries) in (102, 103)
    assert next(iter(tries)) == 100 and len(tries) <= 6 and min(tries) > 40
    assert capacity.largest(lambda n: False, 100, 40, 1000) == 40


class Estimated:
    """Says that a frame takes 10 bytes, or nothing."""

    def __init__(self, each: int | None) -> None:
        self.each = each

    def estimate_bytes(self, frames: int, height: int, width: int) -> int | None:
        return None if self.each is None else self.each * frames


def test_what_the_estimate_expects() -> None:
    assert capacity.largest_estimated(Estimated(10), (14, 14), 75, 100) == 7
    assert capacity.largest_estimated(Estimated(10), (14, 14), 9, 100) == 0
    assert capacity.largest_estimated(Estimated(10), (14, 14), 1e6, 100) == 100
    assert capacity.largest_estimated(Estimated(None), (14, 14), 9, 100) == 100


def test_needs_cuda() -> None:
    rows = capacity.measure_capacity(Estimated(10), [(14, 14)], [8], 100, torch.device("cpu"))
    with pytest.raises(ValueError, match="needs CUDA, and the device is cpu"):
        next(rows)
