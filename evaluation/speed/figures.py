"""Figures of the speed of attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...texts.cells import plot_text
from ..style import MARKERS, Plot, colour, new_figure, style

Rows = Sequence[Mapping[str, Any]]


def kernel_label(row: Mapping[str, Any]) -> str:
    """The name and the blocks of a kernel."""
    return row["kernel"] + (f" {row['blocks'][0]} x {row['blocks'][1]}" if row["blocks"] else "")


@style()
def kernel_figure(rows: Rows, conditions: str) -> Plot:
    """Bars of effective TFLOP/s, a group for each kernel."""
    rows = [row for row in rows if "tflops" in row]
    keeps = sorted({row["keep"] for row in rows}, reverse=True)
    labels = list(dict.fromkeys(map(kernel_label, rows)))
    figure, axes = new_figure(7.0, 0.5 + 0.32 * len(labels))
    height = 0.8 / len(keeps)
    for number, keep in enumerate(keeps):
        found = {kernel_label(row): row["tflops"] for row in rows if row["keep"] == keep}
        places = [place + number * height for place, label in enumerate(labels) if label in found]
        axes.barh(
            places,
            [found[label] for label in labels if label in found],
            height=height * 0.9,
            color=colour(("dense", "balanced", "paper-s50")[number % 3]),
            label=f"{100 * keep:g} % of the blocks",
        )
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(labels))], [plot_text(label) for label in labels])
    axes.invert_yaxis()
    axes.set_xlabel("kept operations over time, TFLOP/s")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(keeps))
    return Plot(figure, "kernels", f"Speed of attention kernels on one layer. {conditions}")


@style()
def selection_figure(rows: Rows, conditions: str) -> Plot:
    """Time and memory of the choice against the number of frames."""
    rows = [row for row in rows if "choice_ms" in row]
    figure, (left, right) = new_figure(7.0, 2.8, columns=2)
    for number, name in enumerate(dict.fromkeys(row["setting"] for row in rows)):
        own = [row for row in rows if row["setting"] == name]
        frames = [row["frames"] for row in own]
        look = {"marker": MARKERS[number % len(MARKERS)], "color": colour(name, number)}
        left.plot(frames, [row["choice_ms"] for row in own], label=plot_text(f"{name}: choice"), **look)
        left.plot(frames, [row["whole_ms"] for row in own], "--", label=plot_text(f"{name}: whole operation"), **look)
        if all(row["choice_memory_bytes"] for row in own):
            right.plot(frames, [row["choice_memory_bytes"] / 2**20 for row in own], label=plot_text(name), **look)
    for axes, label in ((left, "milliseconds a layer"), (right, "memory of the choice, MiB")):
        axes.set(xscale="log", yscale="log", xlabel="frames", ylabel=label)
        if axes.lines:
            axes.legend()
    caption = f"Choosing the blocks of one layer: time beside the whole operation's, and memory. {conditions}"
    return Plot(figure, "selection", caption)
