"""Golden values of single functions of the networks."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch


@dataclass(frozen=True)
class FunctionGoldens:
    """geometry.npz: arrays by name, and the comparison that belongs to them."""

    arrays: dict[str, np.ndarray]
    compare: ModuleType

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[key])

    def agree(self, key: str, candidate: torch.Tensor) -> None:
        good, text = self.compare.check(key, candidate.numpy(), self.arrays[key], list(self.arrays))
        assert good, f"{key}: {text}"


@pytest.fixture(scope="session")
def function_goldens(shared: Path) -> FunctionGoldens:
    spec = importlib.util.spec_from_file_location("golden_compare", shared / "golden" / "compare.py")
    compare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compare)
    with np.load(shared / "golden" / "geometry.npz") as file:
        return FunctionGoldens({key: file[key] for key in file.files}, compare)
