"""The results as Markdown and as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..scene.export.atomic import new_file
from ..texts.cells import markdown_code, markdown_text
from .results import column_parts, difference_table, table
from .style import Plot

PAGE_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0;font-size:13px;font-variant-numeric:tabular-nums}"
    "th,td{padding:.3rem .5rem;border-bottom:1px solid #ddd;text-align:right;vertical-align:bottom}"
    "td{white-space:nowrap}thead th{border-bottom:2px solid #222}li,p{overflow-wrap:anywhere}"
    "th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:9rem;"
    "position:sticky;left:0;background:#fff}"
    ".wide{overflow-x:auto}figure{margin:1.5rem 0}figure img{max-width:100%}figcaption{font-size:13px;color:#555}"
)
PAGE_LETTERS, NAME_LETTERS = 120, 28  # what a line of the page and the first column of a table hold
SHOWN = ("command", "manyview", "commit", "device", "precision", "torch", "numpy", "python", "points_library", "date")
NOTES = (
    "AUC is over pairs of frames, of the larger of rotation and translation-direction error, by the histogram "
    "definition of VGGT and Pi3. Density is the share of query-key pairs that global attention computed, measured. "
    "Seconds are the median forward pass of a scene, after one pass to warm up, without loading images; GiB the peak "
    "of GPU memory. Definitions: docs/evaluation.md."
)


def write_reports(results: Mapping[str, Any], plots: Sequence[Plot], folder: Path) -> None:
    """report.md and report.html; the figures are those that `write_plot` put into FOLDER/plots."""
    with new_file(folder / "report.md", overwrite=True) as partial:
        partial.write_text(markdown(results, plots), encoding="utf-8")
    with new_file(folder / "report.html", overwrite=True) as partial:
        partial.write_text(page(results, plots, folder / "plots"), encoding="utf-8")


def markdown(results: Mapping[str, Any], plots: Sequence[Plot]) -> str:
    """Conditions, tables, failed scenes and figures."""
    parts = ["# Evaluation", conditions(results["run"]), NOTES]
    for benchmark in results["benchmarks"]:
        title = markdown_text(f"{benchmark['title']}: {benchmark['name']}")
        parts += [f"## {title}", f"Frames: {markdown_text(benchmark['frames'])}."]
        parts.append(markdown_table(*table(benchmark)))
        head, lines = difference_table(benchmark)
        if lines:
            parts.append("Difference to the baseline on the same scenes, with the 95 % bootstrap interval:")
            parts.append(markdown_table(head, lines))
        parts += map(markdown_lines, failures(benchmark))
        for plot in belonging(plots, benchmark):
            caption = markdown_text(plot.caption)
            parts.append(f"![{caption}](plots/{plot.name}.svg)\n\n*{caption}*")
    return "\n\n".join(parts) + "\n"


def conditions(run: Mapping[str, Any]) -> str:
    """What was run on what, a line each."""
    return "\n".join(f"- {name}: {markdown_code(run[name])}" for name in SHOWN if run.get(name) is not None)


def failures(benchmark: Mapping[str, Any]) -> list[str]:
    """One line for each scene that could not be done."""
    failed = [row for row in benchmark["rows"] if row["error"] is not None]
    if not failed:
        return []
    lines = [f"- {row['method']}, {row['scene']}: {row['error']}" for row in failed]
    return ["Scenes that failed (they are not part of the means above):", "\n".join(lines)]


def belonging(plots: Sequence[Plot], benchmark: Mapping[str, Any]) -> list[Plot]:
    """The figures of one benchmark."""
    names = {f"{benchmark['name']}-{kind}" for kind in ("density", "seconds", "differences")}
    return [plot for plot in plots if plot.name in names]


def markdown_lines(text: str) -> str:
    """A sentence, or the lines of a list."""
    return "\n".join(
        f"- {markdown_text(line[2:])}" if line.startswith("- ") else markdown_text(line) for line in text.split("\n")
    )


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head, *lines = ([markdown_text(cell) for cell in row] for row in (head, *lines))
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def page(results: Mapping[str, Any], plots: Sequence[Plot], folder: Path) -> str:
    """The same as HTML, with the figures inside."""
    about = results["run"]
    run = "".join(f"<li>{name}: {html.escape(about[name])}</li>" for name in SHOWN if about.get(name) is not None)
    body = [f"<h1>Evaluation</h1><ul>{run}</ul><p>{html.escape(NOTES)}</p>"]
    for benchmark in results["benchmarks"]:
        body.append(f"<h2>{html.escape(benchmark['title'])}: {html.escape(benchmark['name'])}</h2>")
        body.append(f"<p>Frames: {html.escape(benchmark['frames'])}.</p>" + html_table(*table(benchmark)))
        head, lines = difference_table(benchmark)
        if lines:
            body.append("<p>Difference to the baseline on the same scenes, with the 95 % bootstrap interval:</p>")
            body.append(html_table(head, lines))
        body += [f"<p>{html.escape(text).replace(chr(10), '<br>')}</p>" for text in failures(benchmark)]
        for plot in belonging(plots, benchmark):
            picture = base64.b64encode((folder / f"{plot.name}.svg").read_bytes()).decode()
            caption = html.escape(plot.caption)
            image = f'<img alt="{caption}" src="data:image/svg+xml;base64,{picture}">'
            body.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ManyView evaluation</title>'
        f"<style>{PAGE_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def html_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table as wide as the page; columns that have no room are a table below, with the first column once more."""
    widths = [max(len(row[i]) for row in (head, *lines)) for i in range(len(head))]
    widths[0] = min(widths[0], NAME_LETTERS)  # it is wrapped
    parts = column_parts(widths, PAGE_LETTERS)
    return "".join(html_part([[row[i] for i in (0, *part)] for row in (head, *lines)]) for part in parts)


def html_part(rows: Sequence[Sequence[str]]) -> str:
    head, *lines = rows
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
