"""Figures of whole passes: time and memory against frames, and where the time goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...texts.cells import plot_text
from ..style import MARKERS, NAMED, OTHERS, OURS, PAGE_IN, PAPER, Plot, new_figure, style

Rows = Sequence[Mapping[str, Any]]
LONG = 50  # frames from which on a slope is fitted
PARTS = ("encoder", "frame", "attention", "global", "camera", "depth", "points", "tracks", "confidence", "rest")
PART_NAMES = {
    "frame": "frame blocks",
    "attention": "global attention",
    "global": "rest of global blocks",
    "camera": "camera head",
    "depth": "depth head",
    "points": "point head",
    "tracks": "track head",
    "confidence": "confidence head",
}
FREE = (*OTHERS[:3], *PAPER, OTHERS[3])  # for settings that have no colour of their own
TINTS = {
    **{part: NAMED[part] for part in ("encoder", "frame")},
    **{"attention": PAPER[0], "global": PAPER[1], "camera": OTHERS[2], "depth": OTHERS[1]},
    **{"points": OURS[2], "tracks": OURS[0], "confidence": PAPER[2], "rest": OTHERS[3]},
}


def forward_figures(rows: Rows, conditions: str) -> list[Plot]:
    """For each size: time and memory; and the parts, where they were measured."""
    plots = []
    measured = [row for row in rows if "seconds" in row]
    for height, width in dict.fromkeys((row["height"], row["width"]) for row in measured):
        own = [row for row in rows if (row.get("height"), row.get("width")) == (height, width)]
        stated = f"{height} x {width} pixels; {conditions}"
        plots.append(cost_figure(own, f"forward-{height}x{width}", stated))
        if any(row.get("parts") for row in own):
            plots.append(parts_figure(own, f"parts-{height}x{width}", stated))
    return plots


def names_of(rows: Rows) -> list[str]:
    """Contenders in the order of the rows."""
    return list(dict.fromkeys(row["method"] for row in rows))


@style()
def cost_figure(rows: Rows, name: str, conditions: str) -> Plot:
    """Seconds and memory against frames, both on logarithmic axes; open points are extrapolated."""
    has_memory = any(row.get("memory_bytes") for row in rows)
    looks = looks_of(names_of(rows))
    figure, axes = new_figure(PAGE_IN, 2.8 + 0.15 * len(looks), 1, 2 if has_memory else 1, squeeze=False)
    for method, look in looks.items():
        own = [row for row in rows if row["method"] == method]
        draw(axes[0][0], own, "seconds", 1, method, look)
        further = [row for row in own if "extrapolated_seconds" in row]
        seconds = [row["extrapolated_seconds"] for row in further]
        axes[0][0].plot([row["frames"] for row in further], seconds, **(look | {"ls": ":", "mfc": "none"}))
        if has_memory:
            draw(axes[0][1], own, "memory_bytes", 2**-30, method, look)
    frames = sorted({row["frames"] for row in rows if "frames" in row})
    for axis, label in zip(axes[0], ("seconds a pass", "peak memory beside the weights, GiB"), strict=False):
        axis.set(xscale="log", yscale="log", xlabel="frames", ylabel=label)
        axis.set_xticks(frames, [str(count) for count in frames])
        axis.set_xticks([], minor=True)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(few_minor)
        axis.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0))
    caption = (
        "Time of a whole forward pass and the memory that it takes, against the number of frames. In brackets the "
        f"slope of a line through the measured points of {LONG} frames and more (of all, if fewer than two are so "
        f"long); open points are extrapolated; public code is dashed. {conditions}"
    )
    return Plot(figure, name, caption)


def few_minor(value: float, _: int) -> str:
    """Labels between powers of ten: 2 and 5 times one."""
    first = f"{value:e}"[0]
    return f"{value:g}" if first in "25" else ""


def looks_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Marker, colour and line of each contender; public code is dashed."""
    free = iter(FREE * len(names))
    return {
        name: {
            "marker": MARKERS[number % len(MARKERS)],
            "color": NAMED[name] if name in NAMED else next(free),
            "ls": "--" if name.startswith("public") else "-",
        }
        for number, name in enumerate(names)
    }


def draw(axis: Any, rows: Rows, field: str, unit: float, label: str, look: Mapping[str, Any]) -> None:
    """One line, with its slope in the legend."""
    known = [(row["frames"], row[field] * unit) for row in rows if row.get(field)]
    if not known:
        return
    steepness = slope(known)
    told = label if steepness is None else f"{label} [{steepness:.2f}]"
    axis.plot(*zip(*known, strict=True), label=plot_text(told), **look)


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """Exponent of a power law through the points (frames, cost), by least squares; None for a single point."""
    long = [point for point in points if point[0] >= LONG]
    points = long if len(long) > 1 else points
    if len({frames for frames, _ in points}) < 2:
        return None
    x, y = ([math.log(value) for value in values] for values in zip(*points, strict=True))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


@style()
def parts_figure(rows: Rows, name: str, conditions: str) -> Plot:
    """A panel for each contender: shares of the parts as stacked bars, with the seconds on top."""
    rows = [row for row in rows if row.get("parts")]
    names, shown = names_of(rows), [part for part in PARTS if any(part in row["parts"] for row in rows)]
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    figure, axes = new_figure(PAGE_IN, 0.8 + 1.9 * lines, lines, columns, squeeze=False)
    for axis, method in zip(axes.flat, names, strict=False):
        stack(axis, [row for row in rows if row["method"] == method], shown)
        axis.set_title(plot_text(method))
    for axis in list(axes.flat)[len(names) :]:
        axis.remove()
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    caption = (
        "Where the time of a pass goes: shares of the parts, seconds of the pass on top. Parts exclude each other; "
        f"global attention is told from its blocks in our models only. {conditions}"
    )
    return Plot(figure, name, caption)


def stack(axis: Any, rows: Rows, shown: Sequence[str]) -> None:
    """The bars of one contender."""
    places, bottom = range(len(rows)), [0.0] * len(rows)
    for part in shown:
        shares = [100 * row["parts"].get(part, {}).get("seconds", 0.0) / row["parts_pass_seconds"] for row in rows]
        axis.bar(places, shares, bottom=bottom, color=TINTS[part], width=0.8, label=PART_NAMES.get(part, part))
        bottom = [low + share for low, share in zip(bottom, shares, strict=True)]
    for place, row in zip(places, rows, strict=True):
        axis.text(place, 101, f"{row['seconds']:.3g} s", ha="center", va="bottom", fontsize=6)
    axis.set_xticks(places, [str(row["frames"]) for row in rows])
    axis.set(ylim=(0, 112), xlabel="frames", ylabel="share of the time, %")
    axis.grid(axis="x", visible=False)
