"""Which device and number format a model gets."""

from pathlib import Path

import pytest
import torch

from manyview.nodes import load_model as module
from manyview.nodes.load_model import choose_device, choose_dtype, load_model


def test_loads_a_file(tiny_model: Path) -> None:
    loaded = load_model(str(tiny_model), device="cpu")
    assert loaded.family == "vggt" and loaded.report.dtype == torch.float32
    half = load_model(str(tiny_model), device="cpu", precision="bfloat16")
    assert next(half.model.aggregator.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_the_best_device(cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device().type == expected


@pytest.mark.parametrize("device", ["nowhere", "cuda:99", "mps"])
def test_absent_device_is_refused(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="auto"):
        choose_device(device)


@pytest.mark.parametrize(
    ("device", "capability", "expected"),
    [("cpu", None, torch.float32), ("cuda", (8, 0), torch.bfloat16), ("cuda", (7, 5), torch.float16)],
)
def test_auto_precision(device: str, capability, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype("auto", torch.device(device)) == expected
    assert choose_dtype("float32", torch.device(device)) == torch.float32


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="precision must be"):
        choose_dtype("int8", torch.device("cpu"))
