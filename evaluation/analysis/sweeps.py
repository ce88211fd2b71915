"""Families of settings whose curves are compared: rules, pooling, block sizes, random blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...models.checkpoints import LoadedModel
from ...models.sparse import PRESETS, SparsityConfig
from ..methods.manyview import ManyViewMethod
from .random_blocks import RandomBlocks

RHOS = (0.25, 0.5, 0.75, 0.9)
TAUS = (0.97, 0.9, 0.7, 0.4)
SIZES = ((128, 64), (64, 64), (64, 32), (32, 16))


@dataclass(frozen=True)
class Curve:
    """One line of a figure: a name, and its methods from little to much sparsity."""

    name: str
    methods: tuple[ManyViewMethod, ...]


def dense(loaded: LoadedModel) -> ManyViewMethod:
    """What all curves begin with."""
    return ManyViewMethod(loaded, "dense", SparsityConfig(method="dense"))


def rule_curves(loaded: LoadedModel, rhos: Sequence[float] = RHOS, taus: Sequence[float] = TAUS) -> list[Curve]:
    """The paper's rule by rho and by tau, ours by rho, and random blocks."""
    ours = replace(PRESETS["balanced"], min_tokens=0)
    return [
        curve(loaded, "paper, rho", rhos, lambda rho: SparsityConfig(rho=rho)),
        curve(loaded, "paper, tau", taus, lambda tau: SparsityConfig(tau=tau)),
        curve(loaded, "ours, rho", rhos, lambda rho: replace(ours, rho=rho)),
        random_curve(loaded, rhos),
    ]


def pooling_curves(loaded: LoadedModel, rhos: Sequence[float] = RHOS) -> list[Curve]:
    """What stands for a block when it is scored: the paper's means and maxima, and ours step by step."""
    ours = replace(PRESETS["balanced"], min_tokens=0)
    whole = {"pooling": "avg", "score_block": ours.query_block, "centroid_block": 0}
    steps = {
        "ours, means": whole,
        "ours, finer means": {"pooling": "avg", "centroid_block": 0},
        "ours, finer means and spread": {"centroid_block": 0},
        "ours, with centroids": {},
    }

    def setting(changes: dict[str, Any]) -> Callable[[float], SparsityConfig]:
        return lambda rho: replace(ours, rho=rho, **changes)

    names = {"paper, means": "avg", "paper, maxima": "max"}
    paper = [
        curve(loaded, name, rhos, lambda rho, pooling=pooling: SparsityConfig(rho=rho, pooling=pooling))
        for name, pooling in names.items()
    ]
    own = [curve(loaded, name, rhos, setting(changes)) for name, changes in steps.items()]
    return [*paper, *own, random_curve(loaded, rhos)]


def size_curves(loaded: LoadedModel, rhos: Sequence[float] = RHOS) -> list[Curve]:
    """The paper's rule with blocks of several sizes."""

    def setting(query_block: int, key_block: int) -> Callable[[float], SparsityConfig]:
        return lambda rho: SparsityConfig(rho=rho, query_block=query_block, key_block=key_block)

    return [curve(loaded, f"{q} x {k}", rhos, setting(q, k)) for q, k in SIZES]


def curve(loaded: LoadedModel, name: str, values: Sequence[float], make: Callable[[float], SparsityConfig]) -> Curve:
    """One curve over the values."""
    baseline = dense(loaded).name
    methods = (ManyViewMethod(loaded, f"{name} {value:g}", make(value), baseline=baseline) for value in values)
    return Curve(name, tuple(methods))


class RandomMethod(ManyViewMethod):
    """A model whose key blocks are drawn at random."""

    def __init__(self, loaded: LoadedModel, rho: float, baseline: str) -> None:
        super().__init__(loaded, f"random {rho:g}", attention=RandomBlocks(rho), baseline=baseline)
        self.rho = rho

    def settings(self) -> dict[str, Any]:
        """Those of the model, and the share that is left out."""
        return super().settings() | {"random_rho": self.rho}


def random_curve(loaded: LoadedModel, rhos: Sequence[float]) -> Curve:
    baseline = dense(loaded).name
    return Curve("random", tuple(RandomMethod(loaded, rho, baseline) for rho in rhos))
