"""Rows of whole passes as text: for a terminal, and against those of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..results import text_table
from .forward_figures import PARTS

Row = Mapping[str, Any]
KEY = ("method", "model", "precision", "outputs", "frames", "height", "width")
SLOWER = 1.05  # ratio from which on a row counts as slower: what repeats differ by


UNBROKEN = 100_000  # columns: a row stays one line, beside those that end with a sentence


def forward_table(rows: Sequence[Row]) -> str:
    """Seconds, memory and parts; in brackets after a part's seconds its share of the device's peak in percent."""
    parts = [part for part in PARTS if any(part in row.get("parts", {}) for row in rows)]
    head = ["method", "size", "frames", "seconds", "first", "GiB", "estimate", "density %", *parts]
    lines = []
    for row in rows:
        start = [row["method"], f"{row.get('height', '')}x{row.get('width', '')}", str(row.get("frames", ""))]
        if "error" in row:
            further = row.get("extrapolated_seconds")
            told = row["error"] if further is None else f"{row['error']} (extrapolated: {further:.1f} s)"
            lines.append([*start, told])
            continue
        numbers = [f"{row['seconds']:.4g}", f"{row['first_seconds']:.4g}", gib(row["memory_bytes"])]
        numbers += [gib(row["estimate_bytes"]), percent(row["density"])]
        lines.append([*start, *numbers, *(part_text(row.get("parts", {}).get(part)) for part in parts)])
    return ragged_table(head, lines)


def row_text(row: Row) -> str:
    """One row in a few words, as soon as it is there."""
    where = (
        f"{row['method']}, {row['height']}x{row['width']}, {row['frames']} frames" if "frames" in row else row["method"]
    )
    if "error" in row:
        return f"{where}: {row['error']}"
    memory = "" if row["memory_bytes"] is None else f", {gib(row['memory_bytes'])} GiB"
    return f"{where}: {row['seconds']:.4g} s{memory}"


def ragged_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in which a line may end with a sentence that needs no column."""
    whole = [line for line in lines if len(line) == len(head)]
    shown = iter(text_table(head, whole, width=UNBROKEN).splitlines())
    text = [next(shown)]
    for line in lines:
        text.append(next(shown) if len(line) == len(head) else "  ".join(line))
    return "\n".join(text)


def capacity_table(rows: Sequence[Row]) -> str:
    """Frames that fit, by cap."""
    head = ["method", "size", "cap GiB", "frames", "estimated"]
    lines = []
    for row in rows:
        start = [row["method"], f"{row['height']}x{row['width']}", f"{row['cap_gib']:g}"]
        if "error" in row:
            lines.append([*start, row["error"]])
            continue
        frames = f"{row['frames']}{'+' if row['frames'] == row['most_frames'] else ''}"
        lines.append([*start, frames, str(row["estimated_frames"])])
    return ragged_table(head, lines)


def comparison(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The rows that both reports have, old and new, with the ratio; and what makes them hard to compare."""
    before = {key(row): row for row in old.get("forward", ()) if "seconds" in row}
    pairs = [(before[key(row)], row) for row in new["forward"] if "seconds" in row and key(row) in before]
    notes = [
        f"{name} was {old['machine'].get(name)}, is {new['machine'].get(name)}"
        for name in ("device", "torch", "triton")
        if old["machine"].get(name) != new["machine"].get(name)
    ]
    if not pairs:
        return "No row of the earlier report was measured again; use the same models, settings, frames and sizes."
    head = ["method", "size", "frames", "old s", "new s", "ratio", "fastest", "old GiB", "new GiB", "ratio"]
    lines = [compared(was, now) for was, now in pairs]
    slower = sum(min(ratios(was, now)) > SLOWER for was, now in pairs)
    summary = (
        f"{slower} of {len(pairs)} rows are slower by more than {100 * (SLOWER - 1):.0f} %, both in the median and in "
        "the fastest pass."
    )
    return "\n".join([text_table(head, lines), summary, *(f"note: {note}" for note in notes)])


def ratios(was: Row, now: Row) -> tuple[float, float]:
    """New over old: medians, and fastest passes, which other work on the machine disturbs less."""
    return now["seconds"] / was["seconds"], min(now["all_seconds"]) / min(was["all_seconds"])


def compared(was: Row, now: Row) -> list[str]:
    """A line of the comparison."""
    memory = [was["memory_bytes"], now["memory_bytes"]]
    return [
        now["method"],
        f"{now['height']}x{now['width']}",
        str(now["frames"]),
        f"{was['seconds']:.4g}",
        f"{now['seconds']:.4g}",
        *(f"{ratio:.3f}" for ratio in ratios(was, now)),
        *(gib(count) for count in memory),
        f"{memory[1] / memory[0]:.3f}" if all(memory) else "-",
    ]


def key(row: Row) -> tuple[Any, ...]:
    """What makes two rows the same measurement."""
    return tuple(tuple(value) if isinstance(value, list) else value for value in map(row.get, KEY))


def part_text(part: Row | None) -> str:
    if part is None:
        return "-"
    share = part.get("share_of_peak")
    return f"{part['seconds']:.3g}" + ("" if share is None else f" ({100 * share:.0f})")


def gib(count: float | None) -> str:
    return "-" if count is None else f"{count / 2**30:.2f}"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
