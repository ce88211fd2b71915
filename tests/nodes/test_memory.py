"""The estimate of memory: what it must do whatever its constants are."""

from dataclasses import replace
from pathlib import Path

import pytest

from manyview.models.checkpoints import load_model
from manyview.nodes.memory import Load, activation_bytes, largest_side, most_frames, tokens_per_frame

LOAD = Load(frames=20, height=84, width=112)


@pytest.fixture(scope="module")
def model(tiny_model: Path):
    return load_model(tiny_model)


def test_grows_with_frames_pixels_and_chunk(model) -> None:
    base = activation_bytes(model, LOAD)
    assert activation_bytes(model, replace(LOAD, frames=21)) > base
    assert activation_bytes(model, replace(LOAD, width=126)) > base
    assert activation_bytes(model, replace(LOAD, frame_chunk=20)) >= base
    assert tokens_per_frame(model, LOAD) == 6 * 8 + 5


def test_what_fits_fits_and_no_more(model) -> None:
    budget = activation_bytes(model, replace(LOAD, frames=7))
    assert most_frames(model, LOAD, budget) == 7
    assert most_frames(model, LOAD, 0) == 0
    assert most_frames(model, LOAD, 10**15) == 20
    budget = activation_bytes(model, replace(LOAD, height=42, width=56))
    assert largest_side(model, LOAD, budget) == 56
    assert largest_side(model, LOAD, 10**15) == 112
    assert largest_side(model, LOAD, 0) == 0
