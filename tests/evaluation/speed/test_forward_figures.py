"""Figures and tables of whole passes."""

import math
from pathlib import Path

import pytest

from manyview.evaluation.speed.forward_figures import forward_figures, slope
from manyview.evaluation.speed.forward_tables import capacity_table, comparison, forward_table, row_text
from manyview.evaluation.style import write_plot

PARTS = {"encoder": {"seconds": 0.5, "share_of_peak": 0.4}, "global": {"seconds": 1.5}, "rest": {"seconds": 0.1}}
COMMON = {"model": "m", "precision": "bfloat16", "outputs": ["depth"], "height": 518, "width": 518}


def measured(method: str, frames: int, seconds: float, memory: int | None = 2**30, **more) -> dict:
    row = COMMON | {"method": method, "frames": frames, "seconds": seconds, "first_seconds": 2 * seconds}
    row["all_seconds"] = [0.5 * seconds, seconds, 3 * seconds]
    return row | {"memory_bytes": memory, "estimate_bytes": 2**30, "density": 0.25, "parts_pass_seconds": 2.1} | more


def rows() -> list[dict]:
    found = [measured("dense", n, 1e-4 * n**2, n * 2**20, parts=PARTS) for n in (10, 50, 100, 200)]
    found.append(COMMON | {"method": "dense", "frames": 500, "error": "not run", "extrapolated_seconds": 25.0})
    found += [measured("balanced", n, 1e-2 * n, n * 2**20) for n in (10, 50, 100, 200)]
    return [*found, {"method": "public vggt", "error": "ImportError: none"}]


def test_slope_is_the_exponent_of_long_inputs() -> None:
    assert math.isclose(slope([(n, 3 * n**1.5) for n in (50, 100, 400)]), 1.5)
    assert math.isclose(slope([(1, 1e9), (50, 2.0), (100, 4.0)]), 1.0)  # the short one does not count
    assert math.isclose(slope([(2, 1.0), (4, 4.0), (50, 156.25 * 4)]), 2.0)  # too few long ones: all count
    assert slope([(50, 1.0)]) is None


@pytest.mark.filterwarnings("error")
def test_figures(tmp_path: Path) -> None:
    plots = forward_figures(rows(), "some card")
    assert [plot.name for plot in plots] == ["forward-518x518", "parts-518x518"]
    cost, parts = plots
    legend = [text.get_text() for text in cost.figure.axes[0].get_legend().get_texts()]
    assert legend == ["dense [2.00]", "balanced [1.00]"]
    assert [axis.get_xscale() for axis in cost.figure.axes] == ["log", "log"]
    assert cost.figure.axes[0].get_yscale() == "log" and "some card" in cost.caption
    (panel,) = parts.figure.axes  # parts of "dense" alone are known
    heights = [sum(bar.get_height() for bar in panel.patches[place::4]) for place in range(4)]
    assert all(math.isclose(height, 100) for height in heights)
    for plot in plots:
        assert all(path.stat().st_size for path in write_plot(plot, tmp_path))


def test_without_memory_there_is_one_panel() -> None:
    (plot,) = forward_figures([measured("dense", n, float(n), None) for n in (1, 2)], "")
    assert len(plot.figure.axes) == 1


def test_table_has_all_rows() -> None:
    head, *lines = forward_table(rows()).splitlines()
    assert " ".join(head.split()) == "method size frames seconds first GiB estimate density % encoder global rest"
    assert len(lines) == len(rows())
    assert "0.5 (40)" in lines[0] and "1.5" in lines[0] and lines[0].startswith("dense")
    assert lines[4].endswith("not run (extrapolated: 25.0 s)") and lines[-1].endswith("ImportError: none")
    assert row_text(rows()[3]) == "dense, 518x518, 200 frames: 4 s, 0.20 GiB"
    assert row_text(rows()[4]) == "dense, 518x518, 500 frames: not run" and "ImportError" in row_text(rows()[-1])


def report(found: list[dict], device: str = "card") -> dict:
    return {"machine": {"device": device, "torch": "2.11"}, "forward": found}


def test_comparison_pairs_the_same_rows() -> None:
    old = [measured("dense", 10, 2.0), measured("dense", 20, 4.0, None), measured("fast", 10, 1.0)]
    new = [measured("dense", 10, 1.0, 2**29), measured("dense", 20, 4.4, None), measured("fast", 20, 1.0)]
    new.append(measured("fast", 10, 1.0) | {"precision": "float32"})
    text = comparison(report(old), report(new, "other card"))
    lines = text.splitlines()
    assert lines[1].split() == ["dense", "518x518", "10", "2", "1", "0.500", "0.500", "1.00", "0.50", "0.500"]
    assert lines[2].split() == ["dense", "518x518", "20", "4", "4.4", "1.100", "1.100", "-", "-", "-"]
    assert lines[3].startswith("1 of 2 rows are slower by more than 5 %")
    assert lines[4:] == ["note: device was card, is other card"]
    disturbed = measured("dense", 10, 9.0) | {"all_seconds": [1.0, 9.0, 9.0]}  # one pass was as fast as before
    assert "0 of 1 rows are slower" in comparison(report(old[:1]), report([disturbed]))
    assert comparison(report(old[:1]), report(new[2:])).startswith("No row of the earlier report")


def test_capacity_table() -> None:
    start = {"method": "fast", "height": 518, "width": 518, "most_frames": 1000}
    found = [
        start | {"cap_gib": 8.0, "frames": 70, "estimated_frames": 66},
        start | {"cap_gib": 48.0, "frames": 1000, "estimated_frames": 990},
        start | {"cap_gib": 80.0, "error": "the device has only 47.4 GiB"},
    ]
    lines = capacity_table(found).splitlines()
    assert lines[1].split() == ["fast", "518x518", "8", "70", "66"]
    assert lines[2].split()[3] == "1000+" and lines[3].endswith("the device has only 47.4 GiB")
