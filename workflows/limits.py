"""How much a workflow may be. Real ones are far below; files that are not are mistakes or attacks."""

import math
from typing import Any

from .problem import WorkflowError

BYTES = 20_000_000  # of JSON text
DEPTH = 100  # of lists and objects inside each other
VALUES = 1_000_000  # numbers, texts, lists and objects together
TEXT = 200_000  # characters of one text
WHOLE = 2**63  # whole numbers are smaller than this
NODES = 2_000  # with the insides of subgraphs counted each time they are used
INPUTS = 1_000  # of one node, and outputs
STEPS = 500_000  # along links, reroutes and the borders of subgraphs, to find where all values come from
NESTED = 16  # subgraphs inside each other
RUNS = 10_000  # calls of one node for the parts of a list
CALLS = 20_000  # of all nodes of a run


def check_values(data: Any) -> None:
    """Raise for JSON values that are too deep, too many, too long or no real numbers; `data` may be any of them."""
    waiting, seen = [(data, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > VALUES:
            raise WorkflowError(f"The workflow holds more than {VALUES:,} values; that is no workflow.")
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise WorkflowError("The workflow holds a number that is infinite or not a number; put a real one there.")
        elif isinstance(value, int) and abs(value) >= WHOLE:
            raise WorkflowError("The workflow holds a whole number of more than 63 bits; put a smaller one there.")
        elif isinstance(value, dict | list):
            if depth >= DEPTH:
                raise WorkflowError(f"The workflow is nested more than {DEPTH} levels deep; that is no workflow.")
            inner = value if isinstance(value, list) else [*value.keys(), *value.values()]
            waiting += [(each, depth + 1) for each in inner]


def check_inputs(count: int, said: str, what: str = "inputs") -> None:
    """Raise if a node has too many inputs, or other things that are counted by name."""
    if count > INPUTS:
        raise WorkflowError(f"{said} has {count:,} {what}, more than {INPUTS:,}; that is no workflow.")


def _check_text(text: str) -> None:
    if len(text) > TEXT:
        raise WorkflowError(f"The workflow holds a text of more than {TEXT:,} characters; shorten it.")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise WorkflowError("The workflow holds half of a Unicode character; save it again with a text editor.")
