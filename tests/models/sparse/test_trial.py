"""models/sparse/trial.py: the portable kernel is compared with the plain formula, and replaced where it is wrong."""

from dataclasses import replace

import pytest
import torch

from manyview.models import gpu_kernels
from manyview.models.attention import TokenLayout
from manyview.models.sparse import BlockSparse, SparsityConfig, preset
from manyview.models.sparse.blocks import BlockLayout

triton = pytest.importorskip("triton", reason="Triton is not installed")
from manyview.models.sparse import operation, trial  # noqa: E402 (needs Triton)
from manyview.models.sparse.kernel import interpreted, sparse_attention_triton  # noqa: E402

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
here = pytest.mark.skipif(DEVICE.type == "cpu" and not interpreted(), reason="needs CUDA or TRITON_INTERPRET=1")
LAYOUT = TokenLayout(frames=3, special=2, height=9, width=11)
BLOCKS = BlockLayout(LAYOUT, 64, 32, framed=True, parts=2, group=2)


@pytest.fixture(autouse=True)
def _no_verdicts(monkeypatch):
    monkeypatch.setattr(gpu_kernels, "_faults", {})


@here
@pytest.mark.parametrize(
    ("blocks", "pooled", "dtype"),
    [
        (BLOCKS, True, torch.bfloat16),
        (replace(BLOCKS, query_block=128, key_block=64, framed=False, group=1), False, torch.float16),
    ],
)
def test_a_right_kernel_passes(blocks, pooled, dtype, monkeypatch):
    monkeypatch.setattr(trial, "small", lambda blocks: blocks)  # the interpreter is slow
    query = torch.empty(1, 3, 8, 32, device=DEVICE, dtype=dtype)
    assert trial.fault_of_triton(query, blocks, pooled) is None


def test_a_wrong_kernel_is_found(monkeypatch):
    query = torch.empty(1, 2, 8, 64, device=DEVICE)
    monkeypatch.setattr(trial, "readable", lambda *operands: None)
    monkeypatch.setattr(trial, "sparse_attention_triton", lambda *given, out: out.fill_(1.0))
    assert trial.known_fault_of_triton(query, BLOCKS, False) is None
    assert "off by" in trial.fault_of_triton(query, BLOCKS, False)
    assert "off by" in trial.known_fault_of_triton(query, BLOCKS, False)
    assert trial.known_fault_of_triton(query, BLOCKS, True) is None  # another variant
    assert trial.known_fault_of_triton(query[..., :32], BLOCKS, False) is None


def test_a_kernel_that_does_not_start_is_told_once(monkeypatch, caplog):
    def out_of_resources(*given, out):
        raise RuntimeError("out of resource: shared memory")

    query = torch.empty(1, 2, 8, 64, device=DEVICE)
    monkeypatch.setattr(trial, "readable", lambda *operands: None)
    monkeypatch.setattr(trial, "sparse_attention_triton", out_of_resources)
    for _ in range(2):
        assert "shared memory" in trial.fault_of_triton(query, BLOCKS, False)
    (record,) = caplog.records
    assert "The Triton kernel fails its check" in record.getMessage()


@pytest.mark.parametrize("config", [replace(preset("balanced"), min_tokens=0), SparsityConfig(rho=0.5)])
def test_plain_torch_does_the_work_of_a_wrong_kernel(config, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    shape = (1, LAYOUT.frames * LAYOUT.tokens_per_frame, 3, 2, 16)
    operands = torch.randn(shape, generator=generator).permute(2, 0, 3, 1, 4).unbind(0)
    problem = BlockSparse(config).problem(*operands, replace(LAYOUT, arranged=True), 0)
    expected, pairs = operation.run_torch(problem)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(trial, "fault_of_triton", lambda query, blocks, pooled: "it is off by 10 %")
    monkeypatch.setattr(operation, "_run_kernels", lambda *given: pytest.fail("the kernel was used"))
    out, same = operation.run_triton(problem)
    assert torch.equal(out, expected)
    assert torch.equal(pairs, same)


def test_the_kernel_is_trusted_after_its_trial(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(trial, "fault_of_triton", lambda query, blocks, pooled: asked.append(pooled))
    monkeypatch.setattr(operation, "_run_kernels", lambda problem, attend: attend)
    operands = [torch.zeros(1, 2, LAYOUT.frames * LAYOUT.tokens_per_frame, 16)] * 3
    problem = BlockSparse(preset("balanced")).problem(*operands, replace(LAYOUT, arranged=True), 0)
    assert operation.run_triton(problem) is sparse_attention_triton
    assert asked == [True]
