"""The editor's form (schema 0.4 and 1.0): nodes with widgets by position, links, subgraphs, reroutes, muted nodes.

Becomes what the editor itself would send to ComfyUI's server: subgraphs are opened, reroutes and primitives followed,
muted nodes left out and bypassed ones bridged.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from . import limits
from .definitions import Kinds
from .graph import Graph, Link, Node, printable
from .levels import BYPASSED, MUTED, Level, open_levels
from .problem import WorkflowError
from .tracing import Constant, trace
from .widgets import widget_values

PAGE_ONLY = frozenset({"Note", "MarkdownNote"})
FOLLOWED = frozenset({"Reroute", "PrimitiveNode"})


def is_editor_form(document: Mapping[str, Any]) -> bool:
    """Whether this looks like a file that the editor saved."""
    return isinstance(document.get("nodes"), list)


def read_editor_form(document: Mapping[str, Any], kinds: Kinds) -> Graph:
    """The graph; values of classes that `kinds` does not have are left out, and so are notes."""
    levels = open_levels(document)
    graph: Graph = {}
    for level, number, raw in active_nodes(levels):
        if len(graph) >= limits.NODES:
            raise WorkflowError(f"The workflow has more than {limits.NODES:,} nodes.")
        graph[level.full_id(number)] = _node(level, number, raw, kinds)
    return graph


def active_nodes(levels: list[Level]) -> Iterator[tuple[Level, str, dict[str, Any]]]:
    """The nodes that run, of all levels."""
    for level in levels:
        if level.is_active:
            for number, raw in level.nodes.items():
                if _runs(level, number, raw):
                    yield level, number, raw


def _runs(level: Level, number: str, raw: dict[str, Any]) -> bool:
    silent = raw.get("mode", 0) in (MUTED, BYPASSED)
    return not silent and number not in level.inner and raw["type"] not in PAGE_ONLY | FOLLOWED


def _node(level: Level, number: str, raw: dict[str, Any], kinds: Kinds) -> Node:
    kind = kinds.get(raw["type"])
    inputs: dict[str, Any] = {}
    if kind is not None:
        inputs = widget_values(kind, raw.get("widgets_values"), raw.get("widgets_values_named"), level.said(number))
        inputs |= level.promoted.get(number, {})
    for slot, each in enumerate(level.inputs(number)):
        found = trace(level, number, slot)
        if isinstance(found, Link):
            inputs[each["name"]] = found
        elif isinstance(found, Constant):
            inputs[each["name"]] = found.value
    title, properties = raw.get("title"), raw.get("properties")
    return Node(
        raw["type"],
        inputs,
        printable(title) if isinstance(title, str) and title else None,
        properties if isinstance(properties, dict) else {},
    )
