"""Accuracy against density and against time for rules of choosing, from the results of `python . evaluate`.

  python . evaluate --model mini --sparsity dense a.json b.json --frames 24 --out RUN   # one run or several
  python benchmarks/sparsity_curves.py RUN/results.json ... --out FOLDER                            # needs matplotlib

Writes FOLDER/sparsity_curves.json (what the figures show, with the settings and the commands) and the figures
sparsity_curves and sparsity_time. With --layer-times, the benchmark.json of
`python . benchmark attention selection --frames 200 --sparsity a.json b.json`, also the figure sparsity_layer_time:
accuracy of mini against the time that one layer of a large model takes under the same settings.
"""

from __future__ import annotations

import argparse
import json
import re
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "__main__.py"), run_name="manyview_registration")

from manyview.evaluation.style import DENSE, MARKERS, OURS, PAGE_IN, PAPER, Plot, new_figure, style, write_plot  # noqa: E402

METRICS = {"auc_3": "AUC@3, %", "auc_5": "AUC@5, %", "abs_rel": "depth AbsRel, %", "chamfer": "cloud Chamfer"}
SHOWN = ("auc_5", "abs_rel", "chamfer")
SERIES = {
    "paper, blocks 128 x 64": (PAPER[0], MARKERS[1]),
    "paper's settings": (PAPER[2], MARKERS[4]),
    "paper, blocks 64 x 16": (PAPER[1], MARKERS[3]),
    "ManyView, blocks 64 x 32": (OURS[0], MARKERS[0]),
    "ManyView, calibrated": (OURS[1], MARKERS[2]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--layer-times", type=Path, metavar="FILE", help="times of one large layer for the settings")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    runs = [run for path in arguments.results for run in read(path)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "sparsity_curves.json").write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    numbers = sorted({run["frames"] for run in runs})
    runs = [together([run for run in runs if run["frames"] == number]) for number in numbers]
    write_plot(curves(runs), arguments.out)
    write_plot(times(runs), arguments.out)
    if arguments.layer_times:
        report = json.loads(arguments.layer_times.read_text(encoding="utf-8"))
        write_plot(layer_times(runs, report), arguments.out)


def read(path: Path) -> list[dict[str, Any]]:
    """One entry for each benchmark of a run: frames, scenes, machine, and a row for each setting."""
    results = json.loads(path.read_text(encoding="utf-8"))
    run = {key: value for key, value in results["run"].items() if key != "command"}
    run["command"] = re.sub(r"\S*/", "", results["run"]["command"])  # files by their names
    entries = []
    for benchmark in results["benchmarks"]:
        rows = [row(method) for method in benchmark["methods"]]
        frames = int(benchmark["name"].rsplit("-", 1)[-1])
        entries.append({"frames": frames, "scenes": benchmark["methods"][0]["scenes"], "run": run, "rows": rows})
    return entries


def row(method: Mapping[str, Any]) -> dict[str, Any]:
    settings = method["settings"]["sparsity"]
    return {
        "name": method["name"],
        "series": series(settings),
        "sparsity": settings,
        "density": method["summary"]["density"],
        "seconds": method["summary"]["seconds"],
        **{name: method["summary"][name] for name in METRICS},
        "differences": {name: method["differences"].get(name) for name in METRICS},
    }


def series(settings: Mapping[str, Any]) -> str:
    if settings["method"] == "dense":
        return "dense"
    if settings["layer_rho"]:
        return "ManyView, calibrated"
    if settings["tau"] is not None:
        return "paper's settings"
    name = "paper" if settings["method"] == "paper" else "ManyView"
    return f"{name}, blocks {settings['query_block']} x {settings['key_block']}"


def together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Runs of the same scenes as one; ValueError if they are not the same."""
    if len({run["scenes"] for run in runs}) > 1:
        raise ValueError(f"The runs of {runs[0]['frames']} frames have different numbers of scenes.")
    return {**runs[0], "rows": [row for run in runs for row in run["rows"]]}


def curves(runs: list[dict[str, Any]]) -> Plot:
    """A row for each number of frames, a panel for each metric."""
    with style():
        figure, axes = new_figure(PAGE_IN, 1.0 + 1.7 * len(runs), len(runs), len(SHOWN), squeeze=False)
        for line, run in zip(axes, runs, strict=True):
            dense = next(r for r in run["rows"] if r["series"] == "dense")
            for axis, metric in zip(line, SHOWN, strict=True):
                axis.axhline(dense[metric], color=DENSE, lw=1, ls="--", label="dense")
                for name, (color, marker) in SERIES.items():
                    points = sorted((r["density"], r[metric]) for r in run["rows"] if r["series"] == name)
                    if points:
                        axis.plot(*zip(*points, strict=True), color=color, marker=marker, label=name)
                axis.set_title(f"{METRICS[metric]} ({run['frames']} frames)")
                axis.set_xlim(0, 100)
                axis.set_ylim(0, None)
        for axis in axes[-1]:
            axis.set_xlabel("pairs computed, %")
        add_legend(figure, axes[:, 0])
    return Plot(figure, "sparsity_curves", conditions(runs))


def times(runs: list[dict[str, Any]]) -> Plot:
    """A panel for each number of frames: AUC@5 against the time of a forward pass."""
    figure = panels(runs, lambda row: row["seconds"], "forward pass, s")
    return Plot(figure, "sparsity_time", f"Median forward pass of a scene, heads included. {conditions(runs)}")


def layer_times(runs: list[dict[str, Any]], report: Mapping[str, Any]) -> Plot:
    """The same against the time of one layer: choice, kernel and special queries, as `report` has them."""
    known = {settings_key(row["sparsity"]): row["whole_ms"] for row in report["selection"]}
    dense_ms = min(row["milliseconds"] for row in report["attention"] if row["blocks"] is None)

    def place(row: Mapping[str, Any]) -> float | None:
        return dense_ms if row["series"] == "dense" else known.get(settings_key(row["sparsity"]))

    figure = panels(runs, place, "one layer, 200 frames, ms", "dense, the fastest of PyTorch")
    tokens = report["selection"][0]["tokens"]
    what = (
        f"Accuracy of mini against the time of one global layer of VGGT-1B's size under the same settings ({tokens:,} "
        f"tokens, 16 heads of 64, bfloat16, {report['machine']['device']}); choice of blocks included."
    )
    return Plot(figure, "sparsity_layer_time", f"{what} {conditions(runs)}")


def panels(
    runs: list[dict[str, Any]], place: Callable[[Mapping[str, Any]], float | None], label: str, dense: str = "dense"
) -> Any:
    """AUC@5 against what `place` gives for a row (None: leave it out), a panel for each number of frames."""
    with style():
        figure, axes = new_figure(PAGE_IN, 2.9, 1, len(runs), squeeze=False)
        for axis, run in zip(axes[0], runs, strict=True):
            for name, (color, marker) in {"dense": (DENSE, "*"), **SERIES}.items():
                places = ((place(r), r["auc_5"]) for r in run["rows"] if r["series"] == name)
                points = sorted(point for point in places if point[0] is not None)
                if points:
                    shown = dense if name == "dense" else name
                    axis.plot(*zip(*points, strict=True), color=color, marker=marker, label=shown)
            axis.set_title(f"{METRICS['auc_5']} ({run['frames']} frames)")
            axis.set_xlabel(label)
            axis.set_xlim(0, None)
            axis.set_ylim(0, None)
        add_legend(figure, axes[0])
    return figure


def settings_key(settings: Mapping[str, Any]) -> tuple:
    """What makes two settings the same, whatever their least number of tokens."""
    names = ("method", "rho", "tau", "query_block", "key_block")
    return (*(settings[name] for name in names), json.dumps(settings["layer_rho"]))


def add_legend(figure: Any, axes: Any) -> None:
    """What the axes show, each once, below."""
    labels: dict[str, Any] = {}
    for axis in axes:
        labels |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=3)


def conditions(runs: list[dict[str, Any]]) -> str:
    """Under which the runs were made, for a caption."""
    scenes = ", ".join(f"{run['frames']} frames: {run['scenes']} scenes" for run in runs)
    machine = f"{runs[0]['run']['device']}, {runs[0]['run']['precision']}"
    return f"mini on synthetic scenes of seeds unseen in training; {scenes}; {machine}."


if __name__ == "__main__":
    main()
