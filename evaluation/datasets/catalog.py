"""Data sets by name -> benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..scene import Benchmark
from .co3d import Co3d
from .dtu import Dtu
from .eth3d import Eth3d
from .folder import SIZE, VIEWS, Folder
from .nrgbd import NeuralRgbd
from .re10k import RealEstate10K
from .scannet import ScanNet50, ScanNet90, ScanNet1500
from .seven_scenes import SevenScenes
from .synthetic import Synthetic
from .tanks import TanksAndTemples
from .tum import TumDynamic


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
    described: bool = False,
) -> list[Benchmark]:
    """The benchmarks of the named data sets. With several, each lies in the folder of its name below `root`.

    described: they are not read, only their names, scenes and cards, so `root` may be None.
    """
    unknown = [name for name in names if name not in DATASETS]
    if unknown:
        raise ValueError(f"Unknown data set {unknown[0]!r}; choose from {', '.join(DATASETS)}.")
    opened = []
    for name in names:
        folder = root / name if root is not None and len(names) > 1 else root
        if folder is None and described:
            folder = Path("ROOT")
        if folder is None and name != "synthetic":
            raise ValueError(
                f"Say with --root where the data set {name} lies; `python . evaluate --data {name} --check` tells "
                "where to get it, under which licence, and how it must lie on disk."
            )
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


def tanks(choice: Choice) -> list[Benchmark]:
    views = choice.frames or ("25", "50", "100", "200", "full")
    return [TanksAndTemples(choice.root, None if text == "full" else whole(text)) for text in views]


def scannet50(choice: Choice) -> list[Benchmark]:
    return [ScanNet50(choice.root, whole(text)) for text in choice.frames or ("100", "300", "500", "1000")]


def folder(choice: Choice) -> list[Benchmark]:
    if choice.frames and len(choice.frames) > 1:
        raise ValueError(f"The data set folder takes one number of --frames, got {' '.join(choice.frames)}.")
    views = whole(choice.frames[0]) if choice.frames else VIEWS
    return [Folder(choice.root, views, choice.size or SIZE)]


def by_view(kind: Callable[..., Benchmark], *default: str) -> Callable[[Choice], list[Benchmark]]:
    """One benchmark for each view that was asked for."""
    return lambda choice: [kind(choice.root, view) for view in choice.views or default]


def single(kind: Callable[[Path], Benchmark]) -> Callable[[Choice], list[Benchmark]]:
    return lambda choice: [kind(choice.root)]


DATASETS: dict[str, Callable[[Choice], list[Benchmark]]] = {
    "synthetic": synthetic,
    "folder": folder,
    "re10k": single(RealEstate10K),
    "co3d": by_view(Co3d, "pi3"),
    "tanks": tanks,
    "eth3d": single(Eth3d),
    "7scenes": by_view(SevenScenes, "sparse", "dense"),
    "nrgbd": by_view(NeuralRgbd, "sparse", "dense"),
    "dtu": by_view(Dtu, "pi3"),
    "scannet1500": single(ScanNet1500),
    "scannet50": scannet50,
    "scannet90": single(ScanNet90),
    "tum": single(TumDynamic),
}
