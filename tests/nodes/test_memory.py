"""The estimate of memory: what it must do whatever its constants are."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from manyview.models.checkpoints import load_model
from manyview.nodes.memory import (
    Load,
    activation_bytes,
    fitting_chunk,
    is_out_of_memory,
    largest_side,
    most_frames,
    out_of_memory_message,
    tokens_per_frame,
)

LOAD = Load(frames=20, height=84, width=112)


@pytest.fixture(scope="module")
def model(tiny_model: Path):
    return load_model(tiny_model)


def test_grows_with_frames_pixels_and_chunk(model) -> None:
    base = activation_bytes(model, LOAD)
    assert activation_bytes(model, replace(LOAD, frames=21)) > base
    assert activation_bytes(model, replace(LOAD, width=126)) > base
    assert activation_bytes(model, replace(LOAD, frame_chunk=20)) >= base
    assert activation_bytes(model, replace(LOAD, offload=False)) > base
    assert activation_bytes(model, replace(LOAD, sparse=False)) <= base
    assert activation_bytes(model, replace(LOAD, dense_heads=2)) > base
    assert tokens_per_frame(model, LOAD) == 6 * 8 + 5


def test_the_chunk_is_halved_until_it_fits(model) -> None:
    load = replace(LOAD, frames=20, frame_chunk=16)
    assert fitting_chunk(model, load, 10**15) == 16 and fitting_chunk(model, load, 0) == 1
    needed = activation_bytes(model, replace(load, frame_chunk=4))
    assert fitting_chunk(model, load, needed) == 4 and fitting_chunk(model, replace(load, frames=3), 10**15) == 3


def test_what_fits_fits_and_no_more(model) -> None:
    budget = activation_bytes(model, replace(LOAD, frames=7))
    assert most_frames(model, LOAD, budget) == 7
    assert most_frames(model, LOAD, 0) == 0
    assert most_frames(model, LOAD, 10**15) == 20
    budget = activation_bytes(model, replace(LOAD, height=42, width=56))
    assert largest_side(model, LOAD, budget) == 56
    assert largest_side(model, LOAD, 10**15) == 112
    assert largest_side(model, LOAD, 0) == 0


@pytest.mark.filterwarnings("ignore:Warning only once")  # of PyTorch, when the meta device is first used
@pytest.mark.parametrize(
    ("family", "dtype"), [("vggt", torch.bfloat16), ("vggt", torch.float32), ("pi3", torch.float16)]
)
def test_estimate_is_near_what_the_public_models_hold(root: Path, family: str, dtype: torch.dtype) -> None:
    counting = runpy.run_path(str(root / "benchmarks" / "memory.py"), run_name="counting")
    model = counting["random_model"](family, dtype, "meta")
    for chunk in (1, 8):
        load = Load(6, 280, 378, chunk, sparse=False, offload=False)
        held = counting["counted"](model, load)  # without what a GPU's convolutions need
        assert 0.98 * held < activation_bytes(model, load) < 1.4 * held


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_message_names_settings_that_fit(model) -> None:
    needed = activation_bytes(model, LOAD)
    text = out_of_memory_message(model, LOAD, needed // 2)
    assert text.startswith("Out of memory: 20 views of 112 x 84 pixels need about")
    frames = int(re.search(r"set limit to (\d+)", text)[1])
    side = int(re.search(r"set resolution to (\d+)", text)[1])
    assert 0 < frames < 20 and 0 < side < 112 and side % 14 == 0
    assert activation_bytes(model, replace(LOAD, frames=frames, frame_chunk=1)) <= needed // 2
    assert "were free" in text and "What should fit" in text
    assert "use a smaller model" in out_of_memory_message(model, LOAD, 0)
    assert "frame_chunk 1" in out_of_memory_message(model, LOAD, None)


def test_message_names_the_chunk_where_that_is_enough(model) -> None:
    load = replace(LOAD, frames=8)
    small = activation_bytes(model, replace(load, frame_chunk=1))
    assert "set frame_chunk to 1, or" in out_of_memory_message(model, load, small * 2)
