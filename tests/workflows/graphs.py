"""Random graphs that are fit to run, for properties: every class of node, values in their ranges, links that fit."""

import math
from typing import Any

from hypothesis import strategies as st

from manyview.workflows.check import check
from manyview.workflows.definitions import InputKind, Kinds, NodeKind
from manyview.workflows.graph import Graph, Link, Node

TITLES = st.one_of(st.none(), st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12))


@st.composite
def graphs(draw: st.DrawFn, known: Kinds, most: int = 16) -> Graph:
    """A graph that check() accepts, defaults filled in, with ids 1, 2, 3 ..."""
    graph: Graph = {
        "1": Node("ManyView_LoadModel", {"model": draw(st.sampled_from(["mini", "pi3"]))}),
        "2": Node("ManyView_LoadImages", {"source": "sample scene of ManyView", "model": Link("1", 0)}),
    }
    for number in range(3, draw(st.integers(4, most)) + 1):
        fit = [name for name in known if can_follow(known[name], graph, known)]
        late = [name for name in fit if any(each.required and not each.is_widget for each in known[name].inputs)]
        kind = known[draw(st.sampled_from(draw(st.sampled_from([late, late, fit])) or fit))]
        inputs: dict[str, Any] = {}
        for _ in range(2):  # a choice brings inputs of its own
            for each in list(kind.present(inputs)):
                if each.name not in inputs and (value := draw(inputs_of(each, graph, known))) is not None:
                    inputs |= value if isinstance(value, dict) else {each.name: value}
        graph[str(number)] = Node(kind.class_type, inputs, draw(TITLES))
    graph[str(len(graph) + 1)] = Node("PreviewAny", {"source": Link("1", 0)})
    return check(graph, known)


def can_follow(kind: NodeKind, graph: Graph, known: Kinds) -> bool:
    """Whether every input that must be connected can be."""
    return all(
        not each.required or bool(each.choices or each.default is not None) or bool(links_for(each, graph, known))
        for each in kind.inputs
    )


def inputs_of(each: InputKind, graph: Graph, known: Kinds) -> st.SearchStrategy[Any]:
    """A value or a link for one input (parts of a growing one as a dict); None for nothing."""
    links = links_for(each, graph, known)
    if each.members is not None:
        parts = st.lists(st.sampled_from(links), min_size=each.members[0], max_size=5)
        return parts.map(lambda found: {f"{each.name}.{each.prefix}{n}": link for n, link in enumerate(found)})
    connected = [st.sampled_from(links)] if links else []
    if not each.is_widget:
        return st.one_of(*connected, *([] if each.required else [st.none()]))
    return st.one_of(widget_values(each), *connected) if each.options is None else widget_values(each)


def links_for(each: InputKind, graph: Graph, known: Kinds) -> list[Link]:
    """The outputs that an input takes."""
    return [
        Link(number, place)
        for number, node in graph.items()
        for place, (_, kind) in enumerate(known[node.class_type].outputs)
        if each.takes(kind)
    ]


def widget_values(each: InputKind) -> st.SearchStrategy[Any]:
    """Values of a widget, in its range."""
    if each.choices is not None:
        return st.sampled_from(each.choices) if each.choices else st.none()
    if each.types == {"INT"}:
        return st.integers(int(each.minimum), int(each.maximum))
    if each.types == {"FLOAT"}:
        return st.floats(each.minimum, each.maximum, allow_nan=False).map(
            lambda value: math.copysign(abs(value), value)
        )
    if each.types == {"BOOLEAN"}:
        return st.booleans()
    if each.types == {"LOAD_3D"}:
        return st.just("")
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    return st.one_of(text, st.sampled_from(["../escape", "/tmp/escape", "a/../../escape", "photos/x", "a b"]))
