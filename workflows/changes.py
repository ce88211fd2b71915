"""Values set from outside: node.field=value, as the command line gives them."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .definitions import InputKind, Kinds
from .graph import Graph, Link, Node, named, printable
from .problem import WorkflowError


def change(graph: Graph, assignments: Iterable[str], kinds: Kinds) -> Graph:
    """The graph with some inputs set. A node is named by its id, title or class ("load images" is enough if there is
    one); a field as in the API form, such as method or method.rho. A link is replaced by the value."""
    changed = dict(graph)
    for assignment in assignments:
        target, sign, text = assignment.partition("=")
        name, dot, field = target.partition(".")
        if not (sign and dot and name.strip() and field.strip()):
            raise WorkflowError(f"--set {printable(assignment)} must have the form node.field=value.")
        number = find_node(changed, name.strip(), kinds)
        changed[number] = _changed(number, changed[number], field.strip(), text, kinds)
    return changed


def find_node(graph: Graph, name: str, kinds: Kinds) -> str:
    """The id of the one node that a name means."""
    if name in graph:
        return name
    wanted = _plain(name)
    found = [number for number, node in graph.items() if wanted in _names(node, kinds)]
    if len(found) == 1:
        return found[0]
    there = "; ".join(named(number, node, _shown(node, kinds)) for number, node in graph.items())
    what = f"means {len(found)} nodes: {', '.join(found)}; name one by its number" if found else "is no node"
    raise WorkflowError(f"{printable(name)} {what}. There are: {printable(there, 1000)}.")


def fields(node: Node, kinds: Kinds) -> list[tuple[InputKind, Any]]:
    """The inputs of a node that can be set, with their values."""
    kind = kinds.get(node.class_type)
    if kind is None:
        return []
    return [(each, node.inputs.get(each.name, each.default)) for each in kind.present(node.inputs) if each.is_widget]


def _changed(number: str, node: Node, field: str, text: str, kinds: Kinds) -> Node:
    known = {each.name: each for each, _ in fields(node, kinds)}
    if field not in known:
        there = ", ".join(known) or "none"
        raise WorkflowError(
            f"{named(number, node, _shown(node, kinds))} has no field {printable(field)} to set; it has {there}."
        )
    each = known[field]
    inputs = {**node.inputs, field: _value(each, text)}
    if each.options is not None:  # the fields of the choice before mean nothing to this one
        inputs = {name: value for name, value in inputs.items() if not name.startswith(f"{field}.")}
    return replace(node, inputs=inputs)


def _value(each: InputKind, text: str) -> Any:
    """Text as JSON where that is what the field wants; check() says what does not fit."""
    if each.types & {"INT", "FLOAT", "BOOLEAN"}:
        try:
            value = json.loads(text, parse_constant=str)
        except (ValueError, RecursionError):
            return text
        return text if isinstance(value, list | dict | Link) else value
    return text


def _names(node: Node, kinds: Kinds) -> set[str]:
    names = {_plain(node.class_type), _plain(node.class_type.removeprefix("ManyView_"))}
    names.add(_plain(_shown(node, kinds)))
    return names | ({_plain(node.title)} if node.title else set())


def _shown(node: Node, kinds: Kinds) -> str:
    kind = kinds.get(node.class_type)
    return kind.shown if kind else node.class_type


def _plain(name: str) -> str:
    """A name without case, spaces and marks: Load Images, load_images and LoadImages are one."""
    return re.sub(r"[\W_]+", "", name.casefold())
