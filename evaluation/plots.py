"""Figures of an evaluation: accuracy against density and against time, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..texts.cells import plot_text
from .results import MAIN_METRICS
from .style import MARKERS, PAGE_IN, Plot, colour, new_figure, style

SHOWN = (
    *("auc_3", "auc_30", "ate", "procrustes_ate", "abs_rel", "chamfer", "fastvggt_chamfer", "dtu_overall"),
    "auc_5_trapezoid",
)
UP, DOWN = "\u2191", "\u2193"  # which way is better
LARGE_IS_GOOD = ("auc_", "f_score", "normal", "delta")


def evaluation_plots(results: Mapping[str, Any]) -> list[Plot]:
    """All figures that the results can fill: densities must differ, differences need a baseline."""
    plots = []
    with style():
        for benchmark in results["benchmarks"]:
            shown = [m for m in SHOWN if any(m in method["summary"] for method in benchmark["methods"])]
            if not shown:
                continue
            conditions = stated(benchmark, results["run"])
            if len({method["summary"].get("density") for method in benchmark["methods"]}) > 1:
                for cost in ("density", "seconds"):
                    plots.append(accuracy_against(benchmark, cost, shown[:4], conditions))
            if any(method["differences"] for method in benchmark["methods"]):
                plots.append(differences(benchmark, shown[:4], conditions))
    return plots


def stated(benchmark: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Data, device, precision and number of scenes, for captions."""
    scenes = max(method["scenes"] for method in benchmark["methods"])
    return f"{benchmark['title']} ({benchmark['name']}), {scenes} scenes; {run['device']}, {run['precision']}."


def accuracy_against(benchmark: Mapping[str, Any], cost: str, metrics: Sequence[str], conditions: str) -> Plot:
    """One panel for each metric, one point for each method."""
    figure, axes = new_figure(PAGE_IN, 2.5, 1, len(metrics), squeeze=False)
    for axis, metric in zip(axes[0], metrics, strict=True):
        for number, method in enumerate(benchmark["methods"]):
            summary = method["summary"]
            if metric not in summary or cost not in summary:
                continue
            x = summary[cost] * (1000 if cost == "seconds" else 1)
            interval = method["differences"].get(metric, {})
            bars = None
            if interval.get("low") is not None:
                bars = [[interval["mean"] - interval["low"]], [interval["high"] - interval["mean"]]]
            axis.errorbar(
                x,
                summary[metric],
                yerr=bars,
                fmt=MARKERS[number % len(MARKERS)],
                color=colour(method["name"], number),
                elinewidth=0.9,
                capsize=2,
                label=plot_text(method["name"]),
            )
        axis.set_title(f"{MAIN_METRICS[metric]} {UP if metric.startswith(LARGE_IS_GOOD) else DOWN}")
        axis.set_xlabel("pairs computed, %" if cost == "density" else "forward pass, ms")
        axis.margins(0.12)
        low, high = axis.get_ylim()
        axis.set_ylim(max(low, 0.0), min(high, 102.0) if "%" in MAIN_METRICS[metric] else high)
    handles, labels = axes[0][0].get_legend_handles_labels()
    handles = [handle[0] for handle in handles]  # without the bars
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    what = "the share of query-key pairs that global attention computed" if cost == "density" else "the forward pass"
    caption = (
        f"Accuracy against {what}. Bars: 95 % interval of the paired difference to the dense model, bootstrap over "
        f"scenes; differences between settings are surer than the level. {conditions}"
    )
    return Plot(figure, f"{benchmark['name']}-{cost}", caption)


def differences(benchmark: Mapping[str, Any], metrics: Sequence[str], conditions: str) -> Plot:
    """Paired differences to the baseline with their intervals, one panel for each metric."""
    methods = [method for method in benchmark["methods"] if method["differences"]]
    height = 0.75 + 0.24 * len(methods)
    figure, axes = new_figure(PAGE_IN, height, 1, len(metrics), squeeze=False, sharey=True)
    for axis, metric in zip(axes[0], metrics, strict=True):
        axis.axvline(0, color=colour("dense"), lw=0.9)
        for place, method in enumerate(methods):
            interval = method["differences"].get(metric)
            if interval is None:
                continue
            tint = colour(method["name"], place)
            if interval["low"] is not None:
                axis.plot(
                    [interval["low"], interval["high"]], [place, place], color=tint, lw=1.6, solid_capstyle="butt"
                )
            axis.plot(interval["mean"], place, MARKERS[0], color=tint)
        axis.set_yticks(range(len(methods)), [plot_text(method["name"]) for method in methods])
        axis.set_ylim(len(methods) - 0.5, -0.5)
        axis.set_title(MAIN_METRICS[metric])
        axis.margins(x=0.1)
    names = sorted({method["baseline"] for method in methods})
    caption = (
        f"Paired difference to {', '.join(names)} with its 95 % interval (bootstrap over scenes, 2,000 resamples). "
        f"{conditions}"
    )
    return Plot(figure, f"{benchmark['name']}-differences", caption)
