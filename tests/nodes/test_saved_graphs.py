"""Saved graphs keep their meaning: they store the values of widgets by position, and links by the number of a slot.

saved_by_position.json is what the nodes had when graphs were first saved with them. What comes later is appended; a
name that moves or goes would put the values of old graphs into other inputs.
"""

import json
from pathlib import Path

import pytest

from manyview.nodes.graph.definitions import definitions

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}
SAVED = json.loads((Path(__file__).parent / "saved_by_position.json").read_text(encoding="utf-8"))


def inputs(parts: dict) -> list[tuple[str, str, dict]]:
    """(name, type, options) in the order in which the page makes them: required ones, then optional ones."""
    return [(name, *about) for part in ("required", "optional") for name, about in parts.get(part, {}).items()]


def positions(about: dict) -> dict[str, list[str]]:
    """Names by what a graph counts: widgets, slots, outputs, and the widgets of each choice of a dynamic combo."""
    found = inputs(about["input"])
    lists = {
        "widgets": [name for name, kind, _ in found if kind in WIDGETS],
        "slots": [name for name, kind, _ in found if kind not in WIDGETS],
        "outputs": about["output_name"],
    }
    for name, kind, options in found:
        if kind == "COMFY_DYNAMICCOMBO_V3":
            lists |= {f"{name}={each['key']}": [n for n, *_ in inputs(each["inputs"])] for each in options["options"]}
    return lists


def moved(before: dict[str, list[str]], now: dict[str, list[str]]) -> dict[str, tuple[list[str], list[str]]]:
    """The lists that do not begin with what they were."""
    return {key: (names, now.get(key, [])) for key, names in before.items() if now.get(key, [])[: len(names)] != names}


@pytest.mark.parametrize("node", SAVED)
def test_values_of_saved_graphs_stay_where_they_are(node: str) -> None:
    found = definitions()
    assert node in found, f"{node} is gone: saved graphs name it"
    assert not moved(SAVED[node], positions(found[node])), "inputs and outputs may only be appended"


@pytest.mark.parametrize("node", SAVED)
def test_what_a_graph_without_it_cannot_have_is_optional(node: str) -> None:
    required = definitions()[node]["input"]["required"]
    known = {*SAVED[node]["widgets"], *SAVED[node]["slots"]}
    assert set(required) <= known, "graphs in API form lack a new input, so it must be optional"


def test_appending_is_allowed_and_nothing_else() -> None:
    before = {"widgets": ["a", "b"]}
    assert not moved(before, {"widgets": ["a", "b", "c"]})
    for names in (["b", "a"], ["a"], ["c", "a", "b"], ["a", "x", "b"]):
        assert moved(before, {"widgets": names})
