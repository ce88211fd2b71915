"""Names as cells of tables: whatever they hold, a table program, Markdown and LaTeX-like text show them as they are."""

import re

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets begin to compute at
MARKDOWN = re.compile(r"([\\`*\[\]|$~])")
TAGS = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def csv_cell(value: object) -> object:
    """The value; text at which a spreadsheet would compute gets an apostrophe before it, as spreadsheets write it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line: no HTML, no links, no formulas, no new cells."""
    text = re.sub("[&<>]", lambda found: TAGS[found[0]], " ".join(text.split()))
    return MARKDOWN.sub(r"\\\1", text)


def markdown_code(text: str) -> str:
    """Text as code on one line, whatever backticks are in it."""
    text = " ".join(text.split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if len(fence) > 1 else ""
    return f"{fence}{space}{text}{space}{fence}"


def plot_text(text: str) -> str:
    """Text for a figure: a dollar begins no formula, and a legend does not leave it out for its first letter."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
