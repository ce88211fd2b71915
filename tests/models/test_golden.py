"""Every golden file of the networks: the public code's outputs for synthetic weights, with compare.py's bounds.

GOLDEN_DEVICE=cuda python -m pytest tests/models/test_golden.py does it on a GPU.
"""

import gc
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn


def _load_golden_script() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "golden.py"
    spec = importlib.util.spec_from_file_location("golden", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["golden"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


golden = _load_golden_script()

SMALL = [("vggt_small", case) for case in "ABCDE"] + [("pi3_small", case) for case in "ABCE"]
REFERENCES = ("first", "middle", "saddle_balanced", "saddle_sim_range")
SMALL += [
    ("da3_tiny", case) for case in ("A", "B", "C", "D", "E", "G", "GE", "G1", "H", *(f"F_{n}" for n in REFERENCES))
]
SMALL += [("da3_small", case) for case in ("A", "B", "C", "D", "G", "GE")]
FULL = [("vggt_1b", "AB"), ("pi3", "A"), ("da3_base", "AG"), ("da3_large", "AG")]
FAINT = ("E", "GE")


CUT = ("/tokens_", "/block_", "/head_in_")


class OneModel:
    """Keeps the last model, so that the cases of one file share it and two are never in memory."""

    def __init__(self) -> None:
        self.key: tuple[str, str] | None = None
        self.model: nn.Module | None = None

    def get(self, name: str, style: str, shared: Path) -> nn.Module:
        if self.key != (name, style):
            self.drop()
            model = golden.load_golden_model(name, style=style, shared=shared)
            self.model = model.to(os.environ.get("GOLDEN_DEVICE", "cpu"))
            self.key = (name, style)
        return self.model

    def drop(self) -> None:
        self.key = self.model = None
        gc.collect()


@pytest.fixture(scope="module")
def models() -> Iterator[OneModel]:
    one = OneModel()
    yield one
    one.drop()


@pytest.mark.parametrize(("name", "case"), SMALL)
def test_small(name: str, case: str, models: OneModel, shared: Path) -> None:
    style = "faint" if case in FAINT else "default"
    compare_case(models.get(name, style, shared), name, case, shared)


@pytest.mark.full_size
@pytest.mark.parametrize(("name", "cases"), FULL)
def test_full_size(name: str, cases: str, models: OneModel, shared: Path) -> None:
    model = models.get(name, "default", shared)
    for case in cases:
        compare_case(model, name, case, shared)
    models.drop()


def test_another_seed_gives_another_result(shared: Path, models: OneModel) -> None:
    models.drop()
    inputs, expected = load_case("vggt_small", "C", shared)
    found = golden.run_golden(golden.load_golden_model("vggt_small", seed=1, shared=shared), inputs)
    assert np.abs(found["depth"] - expected["C/out/depth"]).max() > 0.1


def test_script_writes_what_it_promises(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(2, 3, 42, 28).numpy()  # without a batch axis
    np.savez(tmp_path / "in.npz", images=images)
    arguments = ["golden.py", "pi3_small", "--seed", "3", "--inputs", str(tmp_path / "in.npz")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--out", str(tmp_path / "out.npz"), "--shared", str(shared)])
    golden.main()
    with np.load(tmp_path / "out.npz") as found:
        assert found["points"].shape == (1, 2, 42, 28, 3)
        assert found["decoder_tokens"].shape == (2, 11, 768)
        assert all(np.isfinite(found[key]).all() for key in found.files)


def load_case(name: str, case: str, shared: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs by their bare names, and the whole file's arrays by their full ones."""
    with np.load(shared / "golden" / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    prefix = f"{case}/in/"
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}, arrays


def compare_case(model: nn.Module, name: str, case: str, shared: Path) -> None:
    check = golden.reference_module("compare", shared).check
    inputs, expected = load_case(name, case, shared)
    found = golden.run_golden(model, inputs, *([case[2:]] if case.startswith("F_") else []))
    failures = []
    for key in expected:
        if not key.startswith(f"{case}/out/"):
            continue
        if key.endswith("_candidates"):  # the other frames that would do as well
            continue
        candidate = found[key.removeprefix(f"{case}/out/")]
        if key.endswith("_tokens") or any(part in key for part in CUT):  # full-size files keep the first few tokens
            candidate = candidate[..., : expected[key].shape[-2], :]
        passed, text = check(key, candidate, expected[key], list(expected))
        print(f"{name} {key:32} {text}")
        if not passed:
            failures.append(f"{key}: {text}")
    assert not failures, "\n".join(failures)
