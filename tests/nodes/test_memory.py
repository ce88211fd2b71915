"""The estimate of memory: what it must do whatever its constants are."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from manyview.models.checkpoints import load_model
from manyview.models.networks import Workload
from manyview.models.networks.vggt import VGGTNetwork
from manyview.nodes import memory
from manyview.nodes.memory import (
    fitted,
    largest_side,
    most_frames,
    out_of_memory_message,
    run_fitting,
)

LOAD = Workload(frames=20, height=84, width=112)


@pytest.fixture(scope="module")
def model(tiny_model: Path):
    return load_model(tiny_model)


def test_grows_with_frames_pixels_and_chunk(model) -> None:
    base = model.network.activation_bytes(LOAD)
    assert model.network.activation_bytes(replace(LOAD, frames=21)) > base
    assert model.network.activation_bytes(replace(LOAD, width=126)) > base
    assert model.network.activation_bytes(replace(LOAD, frame_chunk=20)) >= base
    assert model.network.activation_bytes(replace(LOAD, offload=False)) > base
    assert model.network.activation_bytes(replace(LOAD, sparse=False)) <= base
    assert model.network.activation_bytes(replace(LOAD, packs=True)) >= base
    assert model.network.activation_bytes(replace(LOAD, maps_on_cpu=True)) < base
    assert model.network.activation_bytes(replace(LOAD, dense_heads=2)) > base
    assert model.network.tokens(replace(LOAD, frames=1)) == 6 * 8 + 5


@pytest.mark.parametrize("moves", [False, True])
def test_what_does_not_fit_is_done_in_less_memory(model, moves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VGGTNetwork, "can_move_maps", moves)
    load = replace(LOAD, frames=20, frame_chunk=16)

    def found(load: Workload, budget_bytes: int) -> tuple[int, bool]:
        way = fitted(model, load, budget_bytes)
        return way.frame_chunk, way.maps_on_cpu

    assert found(load, 10**15) == (16, False) and found(load, 0) == (1, moves)
    assert fitted(model, replace(load, frames=3), 10**15) == replace(load, frames=3)
    assert found(replace(load, frames=3), 0) == (1, moves)
    needed = model.network.activation_bytes(replace(load, frame_chunk=4))
    assert found(load, needed) == (4, False)
    assert found(load, needed - 1) == ((4, True) if moves else (2, False))  # what waits elsewhere is needed no more


def test_only_a_gpus_maps_can_be_moved(model) -> None:
    assert not model.network.can_move_maps
    assert memory.free_bytes_on(torch.device("cpu")) is None


def test_once_more_in_less_memory(caplog: pytest.LogCaptureFixture) -> None:
    lean = replace(LOAD, frame_chunk=1)
    tried = []

    def run(way: Workload) -> str:
        tried.append(way)
        if way != lean:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "done"

    assert run_fitting(run, [LOAD, lean]) == ("done", lean) and tried == [LOAD, lean]
    assert "starting again" in caplog.text
    with pytest.raises(torch.OutOfMemoryError):
        run_fitting(run, [lean, LOAD, LOAD][1:])
    with pytest.raises(ZeroDivisionError):
        run_fitting(lambda way: 1 / 0, [LOAD, lean])
    with pytest.raises(RuntimeError, match="size"):
        run_fitting(lambda way: torch.zeros(2) @ torch.zeros(3), [LOAD, lean])


def test_what_fits_fits_and_no_more(model) -> None:
    budget = model.network.activation_bytes(replace(LOAD, frames=7))
    assert most_frames(model, LOAD, budget) == 7
    assert most_frames(model, LOAD, 0) == 0
    assert most_frames(model, LOAD, 10**15) == 20
    budget = model.network.activation_bytes(replace(LOAD, height=42, width=56))
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
        load = Workload(6, 280, 378, chunk, sparse=False, offload=False)
        held = counting["counted"](model, load)  # without what a GPU's convolutions need
        assert 0.98 * held < model.network.activation_bytes(load) < 1.4 * held


def test_message_names_settings_that_fit(model) -> None:
    needed = model.network.activation_bytes(LOAD)
    text = out_of_memory_message(model, LOAD, needed // 2)
    assert text.startswith("Out of memory: 20 views of 112 x 84 pixels need about")
    frames = int(re.search(r"set limit to (\d+)", text)[1])
    side = int(re.search(r"set resolution to (\d+)", text)[1])
    assert 0 < frames < 20 and 0 < side < 112 and side % 14 == 0
    assert model.network.activation_bytes(replace(LOAD, frames=frames, frame_chunk=1)) <= needed // 2
    assert "were free" in text and "What should fit" in text
    assert "use a smaller model" in out_of_memory_message(model, LOAD, 0)
    assert "frame_chunk 1" in out_of_memory_message(model, LOAD, None)


def test_message_names_the_chunk_where_that_is_enough(model) -> None:
    load = replace(LOAD, frames=8)
    small = model.network.activation_bytes(replace(load, frame_chunk=1))
    assert "set frame_chunk to 1, or" in out_of_memory_message(model, load, small * 2)
