"""Data sets by name -> benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..scene import Benchmark
from .synthetic import Synthetic


@dataclass(frozen=True)
class Choice:
    """What a user may say about a data set; None is its default."""

    root: Path | None = None
    frames: Sequence[str] | None = None
    views: Sequence[str] | None = None
    count: int | None = None
    size: int | None = None
    device: torch.device | str = "cpu"


def open_benchmarks(
    names: Sequence[str],
    *,
    root: Path | None = None,
    frames: Sequence[str] | None = None,
    views: Sequence[str] | None = None,
    count: int | None = None,
    size: int | None = None,
    device: torch.device | str = "cpu",
) -> list[Benchmark]:
    """The benchmarks of the named data sets. With several, each lies in the folder of its name below `root`."""
    unknown = [name for name in names if name not in DATASETS]
    if unknown:
        raise ValueError(f"Unknown data set {unknown[0]!r}; choose from {', '.join(DATASETS)}.")
    opened = []
    for name in names:
        folder = root / name if root is not None and len(names) > 1 else root
        if folder is None and name != "synthetic":
            raise ValueError(f"Say with --root where the data set {name} lies; --check tells what it needs.")
        opened += DATASETS[name](Choice(folder, frames, views, count, size, device))
    return opened


def synthetic(choice: Choice) -> list[Benchmark]:
    numbers = [whole(text) for text in choice.frames or ("8", "24")]
    side = choice.size or 224
    return [Synthetic(n, choice.count or 64, (side, side), choice.device) for n in numbers]


def whole(text: str) -> int:
    """A number of frames."""
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"A number of frames must be a whole number of at least 1, got {text!r}.")
    return int(text)


DATASETS: dict[str, Callable[[Choice], list[Benchmark]]] = {"synthetic": synthetic}
