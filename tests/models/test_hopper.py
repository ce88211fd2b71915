"""The kernel for Hopper GPUs: compiled anywhere, run where there is such a GPU, and never trusted blindly."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from manyview.models import attention, gpu_kernels, hopper
from manyview.models.hopper import shape_for

HERE = hopper.why_not(torch.device("cuda" if torch.cuda.is_available() else "cpu"), torch.bfloat16, 64)
on_hopper = pytest.mark.skipif(HERE is not None, reason=str(HERE))


@pytest.fixture(autouse=True)
def _no_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_kernels, "_faults", {})


def test_programs_waste_no_places() -> None:
    sizes = {16: 64, 64: 64, 96: 128, 128: 128, 192: 192, 256: 128, 320: 64, 384: 192, 576: 192}
    assert {block: shape_for(block).queries for block in sizes} == sizes
    for shape in hopper.SHAPES:  # registers: the warp groups', and those of the warp that orders copies
        used = 24 * 128 + shape.registers * 128 * (shape.groups - 1)
        assert shape.limit % 8 == shape.registers % 8 == 0
        assert 128 * (shape.groups + 1) * shape.limit <= 65_536
        assert (128 * (shape.groups + 1) * shape.limit - used) // 128 >= shape.registers


def test_compiles_for_a_hopper_gpu() -> None:
    """Also where there is none, with this version of Triton: everything in registers, and products side by side."""
    pytest.importorskip("triton", reason="Triton is not installed")
    if hopper.why_no_gluon() is not None:
        pytest.skip(hopper.why_no_gluon())
    command = [sys.executable, Path(__file__).with_name("hopper_compile.py")]
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [int(row[0]) for row in rows] == [192, 128, 64]
    for queries, shared, spilled, serialized in rows:
        assert int(shared) <= 227 * 1024 // (2 if queries == "64" else 1)  # two programs of one warp group
        assert int(spilled) <= 256 and serialized == "False"


def test_what_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    assert "capability 9.0" in hopper.why_not(torch.device("cpu"), torch.bfloat16, 64)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert "not torch.float32" in hopper.why_not(cuda, torch.float32, 64)
    assert "width 64, not 128" in hopper.why_not(cuda, torch.bfloat16, 128)
    monkeypatch.setattr(hopper, "why_no_kernels", lambda device: "Triton cannot run here")
    assert hopper.why_not(cuda, torch.bfloat16, 64) == "Triton cannot run here"
    monkeypatch.setattr(hopper, "why_no_kernels", lambda device: None)
    monkeypatch.setattr(hopper, "TRITON", ((2, 0), (2, 9)))
    hopper.why_no_gluon.cache_clear()
    try:
        assert "Triton" in hopper.why_not(cuda, torch.bfloat16, 64)  # too new, or not there
    finally:
        hopper.why_no_gluon.cache_clear()


def test_a_wrong_kernel_is_found_once(caplog: pytest.LogCaptureFixture) -> None:
    right, tried = torch.ones(4), []

    def trial(found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tried.append(1)
        return found, right

    def broken() -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("no such instruction\nand more")

    with caplog.at_level(logging.WARNING):
        assert gpu_kernels.fault("Hopper", ("right",), lambda: trial(right * 1.001)) is None
        assert gpu_kernels.fault("Hopper", ("right",), lambda: trial(right * 2)) is None
        assert caplog.records == [] and len(tried) == 1
        for _ in range(2):
            assert gpu_kernels.fault("Hopper", ("wrong",), lambda: trial(right * 1.1)) == "it is off by 10.0%"
            assert "off" in gpu_kernels.fault("Hopper", ("nan",), lambda: trial(right * torch.nan))
            assert gpu_kernels.fault("Hopper", ("broken",), broken) == "RuntimeError: no such instruction"
    ends = ["off by 10.0%", "off by nan%", "RuntimeError: no such instruction"]
    assert len(caplog.records) == 3  # each once
    assert all(record.message.endswith(end) for record, end in zip(caplog.records, ends, strict=True))


def test_pays_for_long_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hopper, "why_not", lambda *where: None)
    monkeypatch.setattr(hopper, "fault_over_all_keys", lambda *where: None)

    def pays(batch: int, queries: int, keys: int) -> bool:
        return hopper.pays(*(torch.empty(batch, 16, tokens, 64, device="meta") for tokens in (queries, keys)))

    assert pays(1, 137_400, 137_400) and pays(1, 1000, 274_800)
    assert not pays(1, 13_740, 13_740)  # short
    assert not pays(1, 500, 137_400)  # too few programs
    assert not pays(5000, 100_000, 100_000)  # too many sequences
    monkeypatch.setattr(hopper, "fault_over_all_keys", lambda *where: "wrong")
    assert not pays(1, 137_400, 137_400)


@on_hopper
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("batch", "heads", "queries", "keys"), [(1, 2, 450, 450), (2, 3, 65, 1000), (3, 1, 1, 128)])
def test_attention_over_all_keys(batch: int, heads: int, queries: int, keys: int, dtype: torch.dtype) -> None:
    made = torch.randn(batch, keys, 3, heads, 64, device="cuda", dtype=dtype).permute(2, 0, 3, 1, 4)
    query, key, value = made[0][:, :, :queries], made[1], made[2]
    exact = torch.softmax(query.double() @ key.double().mT / 8, dim=-1) @ value.double()
    plain = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    limit = 2 * float((plain.double() - exact).norm())
    odd = torch.empty(batch, heads, keys, 66, device="cuda", dtype=dtype)[..., 1:65]  # not for the copy engine
    odd.copy_(key)
    for one in (key, odd, key.transpose(1, 2).contiguous().transpose(1, 2)):
        out = hopper.attend_all_keys(query, one, value)
        assert out.shape == query.shape and out.transpose(1, 2).is_contiguous()
        assert float((out.double() - exact).norm()) <= limit


@on_hopper
def test_dense_attention_takes_it() -> None:
    made = torch.randn(1, hopper.LONG_KEYS, 3, 2, 64, device="cuda", dtype=torch.bfloat16).permute(2, 0, 3, 1, 4)
    query, key, value = made.unbind(0)
    assert attention.fastest_kernel(query, key) == "Hopper"
    assert attention.fastest_kernel(query[:, :, :30_000], key[:, :, :30_000]) != "Hopper"
    out, density = attention.dense_attention(query, key, value)
    plain = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    assert density is None and float((out - plain).float().norm() / plain.float().norm()) < 5e-3
