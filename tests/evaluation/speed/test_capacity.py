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

    name = "estimated"

    def __init__(self, each: int | None) -> None:
        self.each = each

    def about(self) -> dict:
        return {}

    def estimate_bytes(self, frames: int, height: int, width: int) -> int | None:
        return None if self.each is None else self.each * frames


def test_what_the_estimate_expects() -> None:
    assert capacity.largest_estimated(Estimated(10), (14, 14), 75, 100) == 7
    assert capacity.largest_estimated(Estimated(10), (14, 14), 9, 100) == 0
    assert capacity.largest_estimated(Estimated(10), (14, 14), 1e6, 100) == 100
    assert capacity.largest_estimated(Estimated(None), (14, 14), 9, 100) == 100


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list:
    """A GPU of 20 GiB whose allocator only notes the fractions that it is given; weights take 1 GiB."""
    fractions = []
    named = {
        "get_device_properties": lambda device: type("Properties", (), {"total_memory": 20 * 2**30}),
        "set_per_process_memory_fraction": lambda fraction, number: fractions.append((fraction, number)),
        "current_device": lambda: 3,
        "memory_allocated": lambda device: 2**30,
    }
    for name, function in named.items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.setattr(capacity, "release", lambda device: None)
    return fractions


def test_the_cap_is_taken_away_again(card: list) -> None:
    with pytest.raises(KeyError), capacity.capped(5, torch.device("cuda")):
        assert card == [(0.25, 3)]
        raise KeyError
    with capacity.capped(20, torch.device("cuda:1")):
        pass
    assert card[1:] == [(1.0, 3), (1.0, 1), (1.0, 1)]


def test_rows(card: list, monkeypatch: pytest.MonkeyPatch) -> None:
    def fits(contender, frames, size, device) -> bool:  # a quarter of a GiB each, within the cap that holds
        return 2**30 + frames * 2**28 <= card[-1][0] * 20 * 2**30

    monkeypatch.setattr(capacity, "fits", fits)
    sizes, device = [(14, 14), (28, 28)], torch.device("cuda", 0)
    rows = list(capacity.measure_capacity(Estimated(2**28), sizes, [16, 4, 24], 50, device))
    assert [(row["height"], row["cap_gib"]) for row in rows] == [(s, cap) for s in (14, 28) for cap in (4, 16, 24)]
    assert [row.get("frames") for row in rows] == [12, 50, None] * 2
    assert [row.get("estimated_frames") for row in rows] == [10, 50, None] * 2  # of nine tenths
    assert rows[0]["tries"] == [[10, True], [11, True], [13, False], [12, True]] and rows[1]["tries"] == [[50, True]]
    assert rows[2]["error"] == "the device has only 20.0 GiB"


def test_needs_cuda() -> None:
    rows = capacity.measure_capacity(Estimated(10), [(14, 14)], [8], 100, torch.device("cpu"))
    with pytest.raises(ValueError, match="needs CUDA, and the device is cpu"):
        next(rows)
