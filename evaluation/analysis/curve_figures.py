"""Figures of what is left when something is left out: layers, blocks, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...texts.cells import plot_text
from ..results import MAIN_METRICS
from ..style import COLUMN_IN, MARKERS, PAGE_IN, Plot, colour, new_figure, style
from .dropping import PLACES
from .sweeps import Curve
from .timing import PARTS, PassTime

Summaries = Mapping[str, Mapping[str, float]]
"""Method -> its metrics and costs."""

CURVE_COLOURS = {
    "paper, rho": "paper-s50",
    "paper, tau": "paper-s25",
    "ours, rho": "balanced",
    "random": "random",
    "paper, means": "paper-s50",
    "paper, maxima": "paper-s25",
    "ours, means": "paper-s75",
    "ours, finer means": "fast",
    "ours, finer means and spread": "balanced",
    "ours, with centroids": "quality",
}
PLACE_NAMES = {"front": "first", "back": "last", "both": "both ends", "middle": "middle"}
SHOWN = ("auc_3", "auc_30", "abs_rel")


def summaries(benchmark: Mapping[str, Any]) -> Summaries:
    """What a results file says of every method of a benchmark."""
    return {method["name"]: method["summary"] for method in benchmark["methods"]}


def curve_figure(curves: Sequence[Curve], dense: str, found: Summaries, name: str, what: str, conditions: str) -> Plot:
    """Accuracy against density, one line a curve; all of them end at the dense model."""
    metrics = [metric for metric in SHOWN if metric in found[dense]]
    with style():
        figure, axes = new_figure(PAGE_IN, 2.7, 1, len(metrics), squeeze=False)
        for axis, metric in zip(axes[0], metrics, strict=True):
            axis.axhline(found[dense][metric], color=colour("dense"), lw=0.8, ls="--", label="dense")
            for number, curve in enumerate(curves):
                points = [found[m.name] for m in curve.methods if metric in found.get(m.name, {})]
                points = sorted([*points, found[dense]], key=lambda summary: summary["density"])
                axis.plot(
                    [point["density"] for point in points],
                    [point[metric] for point in points],
                    MARKERS[number % len(MARKERS)] + "-",
                    color=colour(CURVE_COLOURS.get(curve.name, curve.name), number),
                    label=plot_text(curve.name),
                )
            axis.set(title=MAIN_METRICS[metric], xlabel="pairs computed, %", xlim=(0, 103))
            axis.set_ylim(bottom=0)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    return Plot(figure, name, f"{what} Density is measured, special tokens and centroids included. {conditions}")


def drop_figure(found: Summaries, model: str, depth: int, counts: Sequence[int], conditions: str) -> Plot:
    """Accuracy against the number of global layers left out, at four places."""
    metrics = [metric for metric in ("auc_30", "auc_5", "abs_rel") if metric in found[f"{model} front 0"]]
    with style():
        figure, axes = new_figure(PAGE_IN, 2.6, 1, len(metrics), squeeze=False)
        tints = {"front": "quality", "back": "balanced", "both": "encoder", "middle": "paper-s50"}
        for axis, metric in zip(axes[0], metrics, strict=True):
            for number, place in enumerate(PLACES):
                known = [(n, found[f"{model} {place} {n}"]) for n in counts if f"{model} {place} {n}" in found]
                known = [(n, summary) for n, summary in known if metric in summary]
                axis.plot(
                    [n for n, _ in known],
                    [summary[metric] for _, summary in known],
                    MARKERS[number] + "-",
                    color=colour(tints[place]),
                    label=PLACE_NAMES[place],
                )
            axis.set(title=MAIN_METRICS[metric], xlabel=f"global layers left out (of {depth})")
            axis.set_ylim(bottom=0)
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, title="left out")
    caption = (
        "Accuracy when whole global blocks (attention and MLP) are skipped in front, at the back, at both ends or in "
        f"the middle, without training. {conditions}"
    )
    return Plot(figure, "dropped-layers", caption)


def time_figure(passes: Mapping[str, Sequence[PassTime]], conditions: str) -> Plot:
    """Seconds and shares of the parts of a pass against frames, for each setting; memory where it is known."""
    names = {"encoder": "encoder", "frame": "frame blocks", "global": "global blocks", "heads": "heads", "rest": "rest"}
    tints = {"rest": "random"}
    has_memory = any(one.peak_memory_bytes for found in passes.values() for one in found)
    with style():
        figure, axes = new_figure(PAGE_IN, 2.6, 1, 3 if has_memory else 2)
        first = next(iter(passes.values()))
        frames = [one.frames for one in first]
        shares = [[one.seconds[part] / one.seconds["total"] for one in first] for part in PARTS]
        axes[0].stackplot(
            frames,
            shares,
            labels=[names[part] for part in PARTS],
            colors=[colour(tints.get(p, p)) for p in PARTS],
            lw=0,
        )
        axes[0].set(
            title=plot_text(f"shares, {next(iter(passes))}"), xlabel="frames", ylim=(0, 1), xlim=(frames[0], frames[-1])
        )
        axes[0].legend(loc="lower right", fontsize=6, frameon=True, framealpha=0.85)
        for number, (setting, found) in enumerate(passes.items()):
            tint = colour(setting, number)
            x = [one.frames for one in found]
            axes[1].plot(
                x, [one.seconds["total"] for one in found], MARKERS[number] + "-", color=tint, label=plot_text(setting)
            )
            global_seconds = [one.seconds["global"] for one in found]
            axes[1].plot(x, global_seconds, MARKERS[number] + ":", color=tint, mfc="none", lw=1)
            if has_memory:
                memory = [one.peak_memory_bytes / 2**30 for one in found]
                axes[2].plot(x, memory, MARKERS[number] + "-", color=tint)
        axes[1].set(title="seconds (dotted: global blocks)", xlabel="frames", xscale="log", yscale="log")
        axes[1].set_xticks(frames, [str(n) for n in frames])
        axes[1].set_xticks([], minor=True)
        axes[1].legend()
        if has_memory:
            axes[2].set(title="peak memory, GiB", xlabel="frames")
            axes[2].set_ylim(bottom=0)
    caption = (
        "Where the time of a forward pass goes, against the number of frames; blocks count with their MLPs. Medians "
        f"after one pass to warm up. {conditions}"
    )
    return Plot(figure, "time-by-part", caption)


def density_by_layer_figure(rows: Mapping[str, Sequence[float]], conditions: str) -> Plot:
    """Measured density of each layer for settings that leave the choice to the layer."""
    with style():
        figure, axis = new_figure(COLUMN_IN, 2.4)
        for number, (name, values) in enumerate(rows.items()):
            axis.plot(
                range(len(values)),
                [100 * value for value in values],
                MARKERS[number % len(MARKERS)] + "-",
                color=colour(name, number),
                label=plot_text(name),
            )
        axis.set(xlabel="global layer", ylabel="pairs computed, %", ylim=(0, 104))
        axis.legend()
    return Plot(figure, "density-by-layer", f"Measured density of each global layer, mean of heads. {conditions}")
