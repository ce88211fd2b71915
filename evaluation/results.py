"""The files of a run -> one JSON, one CSV and the tables that everything else shows."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..scene.array_archive import read_arrays
from ..scene.export.atomic import new_file
from ..texts.cells import csv_cell
from .methods.method import Method
from .scene import Benchmark
from .statistics import PAIR_SHARES, metric_names, paired_difference, summarise
from .store import RunFolder, read_json, write_json

# The columns of tables, in this order, where a benchmark has them; everything else is in the JSON and the CSV.
MAIN_METRICS: dict[str, str] = {
    "auc_3": "AUC@3 %",
    "auc_5": "AUC@5 %",
    "rra_5": "RRA@5 %",
    "rta_5": "RTA@5 %",
    "auc_15": "AUC@15 %",
    "auc_30": "AUC@30 %",
    "focal_error": "focal error %",
    "auc_5_trapezoid": "AUC@5 %",
    "auc_10_trapezoid": "AUC@10 %",
    "auc_20_trapezoid": "AUC@20 %",
    "ate": "ATE",
    "procrustes_ate": "ATE (Procrustes)",
    "rpe_translation": "RPE trans.",
    "rpe_rotation_deg": "RPE rot. deg",
    "accuracy": "Acc.",
    "completion": "Comp.",
    "normal_consistency": "NC",
    "chamfer": "Chamfer",
    "f_score": "F-score %",
    "abs_rel": "AbsRel %",
    "delta_1": "delta<1.25 %",
    "fastvggt_chamfer": "CD (FastVGGT)",
    "dtu_accuracy": "Acc. (DTU)",
    "dtu_completion": "Comp. (DTU)",
    "dtu_overall": "Overall (DTU)",
}
COSTS: dict[str, str] = {"density": "density %", "seconds": "s", "peak_memory_gib": "GiB"}


def collect(
    folder: RunFolder, benchmarks: Sequence[Benchmark], methods: Sequence[Method], run: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that the folder's rows say, as plain data; `run` is what is to be noted about the run."""
    result: dict[str, Any] = {"run": dict(run), "benchmarks": []}
    for benchmark in benchmarks:
        rows = {m.name: read_rows(folder, benchmark, m) for m in methods}
        entry: dict[str, Any] = {
            "name": benchmark.name,
            "title": benchmark.card.title,
            "frames": benchmark.card.frames,
            "pooling": benchmark.rules.pooling,
            "methods": [summary(folder, benchmark, method, rows) for method in methods],
            "rows": [row for method in methods for row in rows[method.name]],
        }
        result["benchmarks"].append(entry)
    return result


def read_rows(folder: RunFolder, benchmark: Benchmark, method: Method) -> list[dict[str, Any]]:
    """The rows of one method, in the order of scenes; scenes that no part has reached yet are left out."""
    paths = (folder.score_path(benchmark.name, name, method.name) for name in benchmark.scenes())
    return [read_json(path) for path in paths if path.exists()]


def summary(
    folder: RunFolder, benchmark: Benchmark, method: Method, rows: Mapping[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """One method on one benchmark: pooled numbers and differences to its baseline."""
    mine = rows[method.name]
    pairs = [read_pairs(folder.pairs_path(benchmark.name, row["scene"], method.name)) for row in mine]
    entry: dict[str, Any] = {
        "name": method.name,
        "baseline": method.baseline,
        "settings": method.settings(),
        "scenes": sum(row["error"] is None for row in mine),
        "failed": [row["scene"] for row in mine if row["error"] is not None],
        "summary": summarise(mine, pairs, benchmark.rules),
        "differences": {},
    }
    if method.baseline != method.name and method.baseline in rows:
        for metric in (*metric_names(mine), "seconds", "density"):
            interval = paired_difference(mine, rows[method.baseline], metric, benchmark.rules)
            if interval is not None:
                entry["differences"][metric] = vars(interval)
    return entry


def read_pairs(path: Path) -> dict[str, np.ndarray] | None:
    if not path.exists():
        return None
    return read_arrays(path)


def write_results(results: Mapping[str, Any], folder: Path) -> None:
    """results.json and results.csv, the latter with a line for each scene and method, failed ones too."""
    write_json(folder / "results.json", results)
    with new_file(folder / "results.csv", overwrite=True) as partial:
        partial.write_text(csv_text(results), encoding="utf-8", newline="")


def csv_text(results: Mapping[str, Any]) -> str:
    """All rows of all benchmarks in one table; a cell that does not apply is empty."""
    rows = [row for benchmark in results["benchmarks"] for row in benchmark["rows"]]
    head = ["benchmark", "scene", "group", "method", "error", "frames", "pairs"]
    head += ["seconds", "peak_memory_bytes", "density"]
    metrics = metric_names(rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head + metrics)
    for row in rows:
        cells = [csv_cell(row.get(name)) for name in head]
        writer.writerow(cells + [row.get("metrics", {}).get(name) for name in metrics])
    return text.getvalue()


def table(benchmark: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of a benchmark's main table."""
    methods = benchmark["methods"]
    shown = [name for name in (*MAIN_METRICS, *COSTS) if any(name in method["summary"] for method in methods)]
    head = ["method", "scenes", *({**MAIN_METRICS, **COSTS}[name] for name in shown)]
    lines = []
    for method in methods:
        total = method["scenes"] + len(method["failed"])
        cells = [method["name"], f"{method['scenes']}/{total}" if method["failed"] else str(total)]
        lines.append(cells + [shown_number(name, method["summary"].get(name)) for name in shown])
    return head, lines


def difference_table(benchmark: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the paired differences; no lines if nothing has a baseline."""
    methods = [method for method in benchmark["methods"] if method["differences"]]
    shown = [name for name in MAIN_METRICS if any(name in method["differences"] for method in methods)]
    head = ["method", *(MAIN_METRICS[name] for name in shown)]
    lines = [[m["name"], *(shown_interval(name, m["differences"].get(name)) for name in shown)] for m in methods]
    return head, lines


def shown_number(name: str, value: float | None) -> str:
    """A number with the digits that make sense for it."""
    if value is None:
        return "-"
    if name.startswith(PAIR_SHARES) or name in ("density", "abs_rel", "delta_1", "f_score", "rpe_rotation_deg"):
        return f"{value:.2f}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def shown_interval(name: str, interval: Mapping[str, Any] | None) -> str:
    """A difference with its interval, such as -1.20 [-1.55, -0.85]."""
    if interval is None:
        return "-"
    mean, low, high = (
        None if interval[part] is None else shown_number(name, interval[part]) for part in ("mean", "low", "high")
    )
    sign = "" if mean.startswith("-") else "+"
    return f"{sign}{mean}" if low is None else f"{sign}{mean} [{low}, {high}]"


def text_table(head: Sequence[str], lines: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Columns for a terminal of `width` letters (None: this one): the first to the left, numbers to the right.

    Columns that have no room go below, with the first column once more.
    """
    width = width or shutil.get_terminal_size((120, 24)).columns
    rows = [head, *lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    parts = column_parts(widths, width)
    return "\n\n".join("\n".join(_text_line(row, part, widths) for row in rows) for part in parts)


def column_parts(widths: Sequence[int], width: int) -> list[list[int]]:
    """The columns behind the first, in parts that have room beside it; a part has at least one."""
    parts: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        taken = widths[0] + sum(2 + widths[i] for i in (*parts[-1], column))
        if parts[-1] and taken > width:
            parts.append([])
        parts[-1].append(column)
    return parts


def _text_line(row: Sequence[str], columns: Sequence[int], widths: Sequence[int]) -> str:
    cells = (row[column].rjust(widths[column]) for column in columns)
    return "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()
