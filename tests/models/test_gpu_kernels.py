"""models/gpu_kernels.py: where Triton's kernels are used, and what is said where they cannot be."""

import logging
import sys
from types import SimpleNamespace

import pytest
import torch

from manyview.models import fused, gpu_kernels
from manyview.models.attention import TokenLayout
from manyview.models.gpu_kernels import allow_kernels, has_kernels, why_no_kernels
from manyview.models.sparse import BlockSparse, preset

GPU = torch.device("cuda", 0)


@pytest.fixture
def machine(monkeypatch):
    """A machine with a GPU; says what the tiny kernel does on it."""

    def become(doubles=lambda device: True, capability=(8, 6), hip=None, triton="there"):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(gpu_kernels.importlib.util, "find_spec", lambda name: triton)
        monkeypatch.setitem(sys.modules, "manyview.models.probe_kernel", SimpleNamespace(doubles=doubles))
        gpu_kernels.obstacle.cache_clear()

    become()
    yield become
    gpu_kernels.obstacle.cache_clear()


def no_compiler(device):
    raise RuntimeError("Failed to find C compiler. Please specify via CC\nand more lines")


def test_a_machine_that_runs_them(machine):
    assert why_no_kernels(GPU) is None
    assert has_kernels(GPU)


def test_a_cpu_has_none():
    assert why_no_kernels(torch.device("cpu")) == "no Triton kernel for cpu"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ({"triton": None}, "Triton is not installed"),
        ({"capability": (7, 5)}, "compute capability 8.0"),
        ({"hip": "6.4"}, "for NVIDIA GPUs"),
        ({"doubles": lambda device: False}, "wrong numbers"),
        ({"doubles": no_compiler}, "RuntimeError: Failed to find C compiler. Please specify via CC)"),
    ],
)
def test_what_is_in_the_way(machine, kind, words):
    machine(**kind)
    assert words in why_no_kernels(GPU)
    assert not has_kernels(GPU)


def test_switched_off(machine):
    allow_kernels(False)
    try:
        assert why_no_kernels(GPU) == "kernels are switched off"
    finally:
        allow_kernels(True)
    assert why_no_kernels(GPU) is None


def test_a_missing_compiler_is_told_once(machine, caplog):
    machine(doubles=no_compiler)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            why_no_kernels(GPU)
    (record,) = caplog.records
    for words in ("plain PyTorch does its work", "Failed to find C compiler", "sudo apt install gcc"):
        assert words in record.getMessage()


def test_want_of_memory_is_no_answer(machine):
    def full(device):
        raise torch.OutOfMemoryError("CUDA out of memory")

    machine(doubles=full)
    with pytest.raises(torch.OutOfMemoryError):
        why_no_kernels(GPU)
    sys.modules["manyview.models.probe_kernel"].doubles = lambda device: True
    assert why_no_kernels(GPU) is None


def test_nothing_is_tried_while_a_graph_is_captured(machine, monkeypatch):
    machine(doubles=no_compiler)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert why_no_kernels(GPU) is None


def test_it_is_asked_once(machine):
    tried = []
    machine(doubles=lambda device: tried.append(device) or True)
    assert [why_no_kernels(GPU), why_no_kernels(GPU)] == [None, None]
    assert tried == [GPU]


def test_everything_goes_without(machine):
    """Sparse attention says why; the small operations take the plain formula."""
    machine(doubles=no_compiler)
    query = SimpleNamespace(device=GPU, dtype=torch.bfloat16, shape=(1, 16, 100, 64))
    layout = TokenLayout(4, 5, 10, 10, arranged=True)
    backend, reason = BlockSparse(preset("balanced"))._first_that_runs(query, layout)
    assert backend == "torch"
    assert "Failed to find C compiler" in reason
    rows = SimpleNamespace(device=GPU, is_cuda=True, shape=(8, 64), dtype=torch.bfloat16)
    assert not fused.on_gpu(rows)


def test_the_tiny_kernel():
    pytest.importorskip("triton", reason="Triton is not installed")
    from manyview.models.probe_kernel import doubles
    from manyview.models.sparse.kernel import interpreted

    if torch.cuda.is_available():
        assert doubles(torch.device("cuda"))
    elif interpreted():
        assert doubles(torch.device("cpu"))
    else:
        pytest.skip("needs a CUDA device or TRITON_INTERPRET=1")
