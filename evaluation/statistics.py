"""Scenes -> one number a method, and paired differences with their uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .metrics import auc_trapezoid
from .scene import ScoringRules

RESAMPLES = 2000
TWO_VIEW_THRESHOLDS = (5, 10, 20)
PAIR_SHARES = ("auc_", "rra_", "rta_", "rotation_auc_", "translation_auc_")

Row = Mapping[str, Any]
Pairs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A mean difference and its 95 % interval over resampled scenes; None where fewer than two scenes have both."""

    mean: float
    low: float | None
    high: float | None
    scenes: int


def summarise(rows: Sequence[Row], pairs: Sequence[Pairs | None], rules: ScoringRules) -> dict[str, float]:
    """Every metric of the scenes that went well, pooled as the rules say.

    pairs: the errors of each row's pairs, or None. Time is the median over scenes, memory the largest.
    """
    rows, pairs = list(rows), list(pairs)
    good = [index for index, row in enumerate(rows) if row["error"] is None]
    rows, pairs = [rows[i] for i in good], [pairs[i] for i in good]
    if not rows:
        return {}
    result = {name: value for name in metric_names(rows) if (value := pooled(rows, name, rules)) is not None}
    if any(p is not None for p in pairs):
        joined = {
            side: np.concatenate([p[side] for p in pairs if p is not None]) for side in ("rotation", "translation")
        }
        for side, errors in joined.items():
            if errors.size:
                result[f"{side}_median_deg"] = float(np.median(errors))
        if "two_view" in rules.metrics:
            worst = np.maximum(joined["rotation"], joined["translation"])
            result |= {f"auc_{t}_trapezoid": 100 * auc_trapezoid(worst, t) for t in TWO_VIEW_THRESHOLDS}
    return result | costs(rows)


def costs(rows: Sequence[Row]) -> dict[str, float]:
    """Median seconds, largest memory, mean density."""
    seconds = [row["seconds"] for row in rows if row.get("seconds") is not None]
    memory = [row["peak_memory_bytes"] for row in rows if row.get("peak_memory_bytes") is not None]
    density = [row["density"] for row in rows if row.get("density") is not None]
    result = {"density": 100 * float(np.mean(density))} if density else {}
    if seconds:
        result["seconds"] = float(np.median(seconds))
    if memory:
        result["peak_memory_gib"] = max(memory) / 2**30
    return result


def metric_names(rows: Sequence[Row]) -> list[str]:
    """All metrics of any row, in order."""
    return list(dict.fromkeys(name for row in rows for name in row.get("metrics", {})))


def pooled(rows: Sequence[Row], metric: str, rules: ScoringRules) -> float | None:
    """The metric over all scenes: pair shares by the rules' pooling, everything else the mean of scenes."""
    values, weights, groups = columns(rows, metric, rules)
    if not len(values):
        return None
    if rules.pooling == "groups" and metric.startswith(PAIR_SHARES):
        return float(np.mean([np.average(values[groups == g], weights=weights[groups == g]) for g in set(groups)]))
    return float(np.average(values, weights=weights))


def columns(rows: Sequence[Row], metric: str, rules: ScoringRules) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, weights and groups of the rows that have the metric.

    A share over the pooled pairs is the mean of the scenes' shares weighted by their pairs.
    """
    known = [row for row in rows if row.get("metrics", {}).get(metric) is not None]
    weighted = rules.pooling in ("pairs", "groups") and metric.startswith(PAIR_SHARES)
    values = np.array([row["metrics"][metric] for row in known], np.float64)
    weights = np.array([row["pairs"] if weighted else 1.0 for row in known], np.float64)
    return values[weights > 0], weights[weights > 0], np.array([row["group"] for row in known])[weights > 0]


def paired_difference(
    rows: Sequence[Row], baseline: Sequence[Row], metric: str, rules: ScoringRules, seed: int = 0
) -> Interval | None:
    """Mean of (method - baseline) over the scenes that both finished, and its bootstrap interval over scenes.

    Scenes are resampled, not pairs: the pairs of one scene depend on each other. None if no scene has both.
    """
    theirs = {row["scene"]: row for row in baseline if row["error"] is None}
    both = [(row, theirs[row["scene"]]) for row in rows if row["error"] is None and row["scene"] in theirs]
    both = [(a, b) for a, b in both if value_of(a, metric) is not None and value_of(b, metric) is not None]
    if not both:
        return None
    difference = np.array([value_of(a, metric) - value_of(b, metric) for a, b in both])
    weighted = rules.pooling in ("pairs", "groups") and metric.startswith(PAIR_SHARES)
    weights = np.array([a["pairs"] if weighted else 1.0 for a, _ in both], np.float64)
    groups = np.array([a["group"] if rules.pooling == "groups" else "" for a, _ in both])
    statistic = group_mean if len(set(groups)) > 1 else weighted_mean
    mean = float(statistic(difference[None], weights[None], groups[None])[0])
    if len(both) < 2:
        return Interval(mean, None, None, len(both))
    drawn = np.random.default_rng(seed).integers(len(both), size=(RESAMPLES, len(both)))
    resampled = statistic(difference[drawn], weights[drawn], groups[drawn])
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(mean, float(low), float(high), len(both))


Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def weighted_mean(values: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Weighted means of rows (R, scenes) -> (R,)."""
    return (values * weights).sum(1) / weights.sum(1)


def group_mean(values: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Means over the groups of the groups' weighted means, (R, scenes) -> (R,)."""
    sums = []
    for group in sorted(set(groups.flat)):
        inside = weights * (groups == group)
        total = inside.sum(1)
        sums.append(np.where(total > 0, (values * inside).sum(1) / np.where(total > 0, total, 1), np.nan))
    return np.nanmean(np.stack(sums), axis=0)


def value_of(row: Row, metric: str) -> float | None:
    """A metric or a cost of one row."""
    if metric in ("seconds", "density", "peak_memory_bytes"):
        return row.get(metric)
    return row.get("metrics", {}).get(metric)
