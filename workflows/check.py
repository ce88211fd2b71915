"""Is a graph fit to run: known nodes, every input there and of the right kind, no circles. One sentence a fault."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from .definitions import ANY, InputKind, Kinds, NodeKind
from .graph import Graph, Link, Node, named, printable
from .problem import WorkflowError, short

TRUTH = {"true": True, "false": False}


def check(graph: Graph, kinds: Kinds) -> Graph:
    """The graph with defaults filled in and values in their own types; WorkflowError with all that is wrong.

    Inputs that a class does not have are dropped, as ComfyUI ignores them.
    """
    _check_known(graph, kinds)
    faults: list[str] = []
    checked = {}
    for number, node in graph.items():
        inputs = dict(_checked_inputs(number, node, graph, kinds, faults))
        checked[number] = replace(node, inputs=inputs)
    if not any(kinds[node.class_type].is_output_node for node in graph.values()):
        faults.append("There is nothing to run: the workflow has no node that shows or saves something.")
    if faults:
        raise WorkflowError(*faults)
    order(checked)
    return checked


def order(graph: Graph, wanted: list[str] | None = None) -> list[str]:
    """The ids of the wanted nodes (None: all) and what they need, each after what it needs; circles are an error."""
    done: dict[str, None] = {}
    for start in graph if wanted is None else wanted:
        path: dict[str, Iterator[Link]] = {}
        _enter(graph, start, path, done)
        while path:
            number, links = next(reversed(path.items()))
            following = next(links, None)
            if following is None:
                del path[number]
                done[number] = None
            elif following.node in path:
                circle = list(path)[list(path).index(following.node) :]
                raise WorkflowError(
                    f"{named(following.node, graph[following.node])} waits for itself: its links go round in a circle "
                    f"through {len(circle)} nodes; cut one."
                )
            else:
                _enter(graph, following.node, path, done)
    return list(done)


def _enter(graph: Graph, number: str, path: dict[str, Iterator[Link]], done: Mapping[str, None]) -> None:
    if number not in done:
        path[number] = iter(graph[number].links.values())


def _check_known(graph: Graph, kinds: Kinds) -> None:
    unknown: dict[str, list[str]] = {}
    for number, node in graph.items():
        if node.class_type not in kinds:
            unknown.setdefault(node.class_type, []).append(number)
    if unknown:
        listed = ", ".join(f"{printable(name)} (node {printable(', '.join(at))})" for name, at in unknown.items())
        raise WorkflowError(
            f"These nodes can only run in ComfyUI: {listed}; run the workflow there, or take them out. Nothing was run."
        )


def _checked_inputs(
    number: str, node: Node, graph: Graph, kinds: Kinds, faults: list[str]
) -> Iterator[tuple[str, Any]]:
    kind = kinds[node.class_type]
    said = named(number, node, kind.shown)
    for each in kind.present(node.inputs):
        if each.members is not None:
            yield from _members(said, each, node, graph, kinds, faults)
            continue
        try:
            value = _checked(each, node.inputs.get(each.name), graph, kinds)
        except ValueError as error:
            faults.append(f"{said}: {each.name} {error}{_download(node, node.inputs.get(each.name))}")
            continue
        if value is not None or each.name in node.inputs:
            yield each.name, value


def _members(
    said: str, each: InputKind, node: Node, graph: Graph, kinds: Kinds, faults: list[str]
) -> Iterator[tuple[str, Any]]:
    """The parts of a growing input, in the order of their numbers."""
    least, most = each.members
    found = []
    for name, value in node.inputs.items():
        group, _, part = name.partition(".")
        place = part.removeprefix(each.prefix)
        if group == each.name and place.isascii() and place.isdigit() and len(place) < 4 and isinstance(value, Link):
            found.append((int(place), name, value))
    if not least <= len(found) <= most:
        faults.append(f"{said}: {each.name} takes {least} to {most} connections, got {len(found)}.")
    for _, name, value in sorted(found):
        try:
            yield name, _checked_link(each, value, graph, kinds)
        except ValueError as error:
            faults.append(f"{said}: {name} {error}")


def _checked(each: InputKind, value: Any, graph: Graph, kinds: Kinds) -> Any:
    """The value as the node wants it; None for what is left out. ValueError with the end of a sentence."""
    if isinstance(value, Link):
        return _checked_link(each, value, graph, kinds)
    if value is None and each.is_widget:
        value = each.default
    if value is None:
        if each.required and not (each.is_widget and each.types == {"LOAD_3D"}):
            what = "has no value" if each.is_widget else f"is not connected; connect {_types(each)}"
            raise ValueError(f"{what}." if each.is_widget else f"{what}, or remove the node.")
        return None
    if not each.is_widget:
        raise ValueError(f"must be connected to {_types(each)}, got the value {short(value)}.")
    return _checked_value(each, value)


def _checked_link(each: InputKind, link: Link, graph: Graph, kinds: Kinds) -> Link:
    if link.node not in graph:
        raise ValueError(f"is connected to node {short(link.node)}, which is not there.")
    source: NodeKind = kinds[graph[link.node].class_type]
    if not 0 <= link.output < len(source.outputs):
        raise ValueError(
            f"is connected to output {link.output} of node {printable(link.node)}, which has {len(source.outputs)}."
        )
    name, kind = source.outputs[link.output]
    if not each.takes(kind):
        raise ValueError(f"takes {_types(each)}, but {name} of node {printable(link.node)} gives {kind}.")
    return link


def _checked_value(each: InputKind, value: Any) -> Any:
    if each.types == {"INT"}:
        return _in_range(each, _whole(value))
    if each.types == {"FLOAT"}:
        return _in_range(each, _real(value))
    if each.types == {"BOOLEAN"}:
        truth = TRUTH.get(value.lower()) if isinstance(value, str) else value
        if not isinstance(truth, bool):
            raise ValueError(f"is {short(value)}, but must be true or false.")
        return truth
    if each.types == {"LOAD_3D"}:  # the state of a viewport, which only a page needs
        return value
    if not isinstance(value, str):
        raise ValueError(f"is {short(value)}, but must be text.")
    if each.choices is not None and value not in each.choices:
        raise ValueError(f"is {short(value)}, but must be one of {_choices(each.choices)}.")
    return value


def _whole(value: Any) -> int:
    number = _real(value)
    if number != int(number):
        raise ValueError(f"is {short(value)}, but must be a whole number.")
    return int(value) if isinstance(value, str | int) and str(value).lstrip("+-").isdecimal() else int(number)


def _real(value: Any) -> float:
    try:
        number = float(value)
    except (ValueError, TypeError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"is {short(value)}, but must be a number.")
    return number


def _in_range(each: InputKind, number: float) -> float:
    low, high = each.minimum, each.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        limits = " and ".join(
            f"at {word} {_plain(limit)}" for word, limit in (("least", low), ("most", high)) if limit is not None
        )
        raise ValueError(f"is {_plain(number)}, but must be {limits}.")
    return number


def _plain(number: float) -> str:
    return f"{int(number):,}"[:40] if number == int(number) else f"{number:g}"


def _download(node: Node, value: Any) -> str:
    """Where a missing model can be had, if the workflow says so."""
    models = node.properties.get("models")
    for model in models if isinstance(models, list) else []:
        if isinstance(model, dict) and isinstance(value, str) and model.get("name") == value:
            address = printable(str(model.get("url")), 300)
            return f" To use {printable(value)}, download {address} and put it among the models under that name."
    return ""


def _types(each: InputKind) -> str:
    return "anything" if ANY in each.types else " or ".join(sorted(each.types))


def _choices(choices: tuple[Any, ...], most: int = 12) -> str:
    shown = ", ".join(printable(str(choice)) for choice in choices[:most])
    return f"{shown} and {len(choices) - most} more" if len(choices) > most else shown or "none, since there is nothing"
