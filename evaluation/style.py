"""One look for all figures: colours, sizes, and how a figure is written."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..scene.export.atomic import new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Distinct for the common kinds of colour blindness (after Okabe and Ito), dark enough on white.
DENSE = "#333333"
OURS = ("#0072b2", "#56b4e9", "#004a75")
PAPER = ("#d55e00", "#e69f00", "#8c3d00")
LONG = "#6a4c9c"  # ours too, but made for other inputs
OTHERS = ("#009e73", "#cc79a7", "#7a6a00", "#7f7f7f")
NAMED = {
    "dense": DENSE,
    "quality": OURS[1],
    "balanced": OURS[0],
    "fast": OURS[2],
    "long": LONG,
    "paper-s25": PAPER[1],
    "paper-s50": PAPER[0],
    "paper-s75": PAPER[2],
    "random": OTHERS[3],
    "frame": OURS[1],
    "global": PAPER[0],
    "encoder": OTHERS[0],
    "heads": OTHERS[1],
    "S-S": PAPER[2],
    "S-P": PAPER[0],
    "P-S": OURS[1],
    "P-P": OURS[2],
}
HEAT = "inferno"
COLUMN_IN, PAGE_IN = 3.4, 7.0  # widths of a column and of a page of a paper
SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "figure.dpi": 110,
    "savefig.dpi": 220,
    "svg.fonttype": "none",
    "svg.hashsalt": "manyview",
    "figure.constrained_layout.use": True,
}
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")


@dataclass(frozen=True)
class Plot:
    """A figure, the name of its files, and the caption that states its conditions."""

    figure: Figure
    name: str
    caption: str


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib with our settings and without a display, inside the block only."""
    import matplotlib
    from matplotlib.figure import Figure  # noqa: F401 (fails here if matplotlib is broken)

    with matplotlib.rc_context(SETTINGS):
        yield


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure of so many inches and its axes; no window, no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def colour(name: str, number: int = 0) -> str:
    """The colour of a setting wherever it appears: by the last word of its name, else by its number."""
    if name in NAMED:
        return NAMED[name]
    last = name.rsplit(" ", 1)[-1]
    return NAMED.get(last, (*OTHERS, *OURS, *PAPER)[number % 10])


def write_plot(plot: Plot, folder: Path) -> list[Path]:
    """NAME.svg, NAME.png and NAME.txt with the caption, replaced if they are there."""
    written = []
    with style():
        for suffix in (".svg", ".png"):
            metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
            path = folder / (plot.name + suffix)
            with new_file(path, overwrite=True) as partial:
                plot.figure.savefig(partial, format=suffix[1:], metadata=metadata)
            written.append(path)
    path = folder / (plot.name + ".txt")
    with new_file(path, overwrite=True) as partial:
        partial.write_text("\n".join(textwrap.wrap(plot.caption, 100)) + "\n", encoding="utf-8")
    return [*written, path]


def require_matplotlib() -> None:
    """ImportError that says what to install, before the long work."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("Figures need matplotlib: pip install matplotlib") from error
