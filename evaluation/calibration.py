"""Which global layers can do with fewer key blocks: found from a few scenes of any model, without ground truth.

One layer at a time is made sparse and the result compared with that of dense attention. A budget is then dealt out so
that the sum of these deviations is least. Heads need no budget of their own: those of a layer share one threshold, so
every input gives more to the heads that look at more (models/sparse/select.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..models.progress import Progress
from ..models.sparse import SparsityConfig
from .metrics import pair_errors
from .scene import Prediction

PROBED = (0.02, 0.08, 0.3)  # shares of key blocks that each layer is tried with
STEPS = tuple(0.01 * 2 ** (step / 4) for step in range(27))  # 1 % ... 91 %
LEAST = 1e-9

Predict = Callable[[SparsityConfig], Sequence[Prediction]]
"""A configuration -> what the model says of every scene."""


@dataclass(frozen=True)
class Calibration:
    """What was measured and what follows from it.

    deviations: (layers, len(keeps)), of one sparse layer alone. shares: of the key blocks, for each layer.
    """

    keeps: tuple[float, ...]
    deviations: np.ndarray
    shares: tuple[float, ...]
    config: SparsityConfig


def calibrate(
    predict: Predict,
    layers: int,
    base: SparsityConfig,
    keep: float,
    keeps: Sequence[float] = PROBED,
    progress: Progress | None = None,
) -> Calibration:
    """The schedule that keeps a mean share `keep` of the key blocks of all layers; `base` is the rest of the rule."""
    if not 0 < keep < 1:
        raise ValueError(f"The share of key blocks to keep must be between 0 and 1, got {keep}.")
    dense = predict(SparsityConfig(method="dense"))
    found = np.zeros((layers, len(keeps)))
    works = [(layer, column) for layer in range(layers) for column in range(len(keeps))]
    for done, (layer, column) in enumerate(works):
        if progress is not None:
            progress("calibrate", done, len(works))
        others = ",".join(str(one) for one in range(layers) if one != layer)
        alone = replace(base, rho=1 - keeps[column], min_tokens=0, dense_layers=others, layer_rho={}, layer_tau={})
        pairs = zip(predict(alone), dense, strict=True)
        found[layer, column] = np.mean([deviation(sparse, reference) for sparse, reference in pairs])
    shares = allot(found, keeps, keep)
    schedule = {layer: round(1 - share, 4) for layer, share in enumerate(shares)}
    config = replace(base, rho=round(1 - keep, 4), tau=None, layer_rho=schedule, layer_tau={})
    return Calibration(tuple(keeps), found, shares, config)


def deviation(sparse: Prediction, dense: Prediction) -> float:
    """How far a result is from the dense one: depth (mean |ln ratio| after one scale) plus angles in radians.

    Angles are the mean rotation and translation-direction errors over all pairs of frames.
    """
    ratio = np.log(np.maximum(sparse.depth, LEAST)) - np.log(np.maximum(dense.depth, LEAST))
    depth = float(np.abs(ratio - np.median(ratio)).mean())
    if len(dense.world_to_camera) < 2:
        return depth
    rotation, translation = pair_errors(sparse.world_to_camera, dense.world_to_camera)
    return depth + math.radians(float(rotation.mean()) + float(translation.mean()))


def allot(deviations: np.ndarray, keeps: Sequence[float], keep: float) -> tuple[float, ...]:
    """Shares of the layers whose mean is at most `keep`: step by step to the layer that gains most for its cost."""
    curves = np.array([[expected(row, keeps, step) for step in STEPS] for row in deviations])  # (layers, steps)
    place = [0] * len(curves)
    budget = keep * len(curves) - STEPS[0] * len(curves)
    if budget < 0:
        return (keep,) * len(curves)
    while True:
        gains = [best_jump(curve, at, budget) for curve, at in zip(curves, place, strict=True)]
        layer = int(np.argmax([gain for gain, _ in gains]))
        gain, step = gains[layer]
        if gain <= 0:
            return tuple(STEPS[at] for at in place)
        budget -= STEPS[step] - STEPS[place[layer]]
        place[layer] = step


def best_jump(curve: np.ndarray, at: int, budget: float) -> tuple[float, int]:
    """The best gain for its cost that a layer can make from step `at` on within the budget, and where it leads."""
    best = (0.0, at)
    for step in range(at + 1, len(STEPS)):
        cost = STEPS[step] - STEPS[at]
        if cost > budget:
            break
        best = max(best, ((curve[at] - curve[step]) / cost, step))
    return best


def expected(row: np.ndarray, keeps: Sequence[float], share: float) -> float:
    """A layer's deviation at a share, from those measured: lines in log-log, never rising, none at 1."""
    order = np.argsort(keeps)
    x = np.log(np.asarray(keeps, np.float64)[order])
    y = np.log(np.maximum(np.minimum.accumulate(np.asarray(row, np.float64)[order]), LEAST))
    if share > keeps[order[-1]]:  # straight to nothing at 1
        return float(np.exp(y[-1]) * math.log(share) / x[-1])
    if share < keeps[order[0]] and len(x) > 1:
        slope = (y[1] - y[0]) / (x[1] - x[0])
        return float(np.exp(y[0] + slope * (math.log(share) - x[0])))
    return float(np.exp(np.interp(math.log(share), x, y)))
