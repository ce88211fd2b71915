"""Names that a spreadsheet would compute, that Markdown would turn into HTML, that a figure would take for formulas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyview.texts.cells import csv_cell, markdown_code, markdown_text, plot_text


@given(st.text())
def test_no_text_begins_as_a_formula_in_a_spreadsheet(text):
    cell = csv_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell in (text, f"'{text}")


def test_numbers_stay_numbers():
    assert [csv_cell(value) for value in (-1.5, 3, None, "room")] == [-1.5, 3, None, "room"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b-1.jpg", "a_b-1.jpg"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("a|b", r"a\|b"),
        ("[x](javascript:1)", r"\[x\](javascript:1)"),
        ("$x$", r"\$x\$"),
        ("one\ntwo", "one two"),
    ],
)
def test_markdown_shows_the_text(text, expected):
    assert markdown_text(text) == expected


def test_code_with_backticks():
    assert markdown_code("a b") == "`a b`"
    assert markdown_code("a ``b`` c") == "``` a ``b`` c ```"


def test_figures_show_dollars_and_names_that_begin_with_an_underscore():
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    axis = figure.subplots()
    for name in ("$a$", "_b", r"$\frac{"):
        axis.plot([0, 1], label=plot_text(name))
    axis.legend()
    FigureCanvasAgg(figure).draw()
    assert len(axis.get_legend().get_texts()) == 3
