"""The API form: {"3": {"class_type": ..., "inputs": {"scene": ["2", 0], "frame": 4}, "_meta": {"title": ...}}}."""

from typing import Any

from . import limits
from .graph import Graph, Link, Node
from .problem import WorkflowError, short


def is_api_form(document: Any) -> bool:
    """Whether this looks like a graph in API form."""
    return isinstance(document, dict) and any(
        isinstance(each, dict) and "class_type" in each for each in document.values()
    )


def read_api_form(document: dict[str, Any]) -> Graph:
    """The graph; it has not been checked against any definitions."""
    if len(document) > limits.NODES:
        raise WorkflowError(f"The workflow has {len(document):,} nodes, more than {limits.NODES:,}.")
    return {number: _node(number, each) for number, each in document.items()}


def write_api_form(graph: Graph) -> dict[str, Any]:
    """The document that ComfyUI's server runs."""
    written = {}
    for number, node in graph.items():
        written[number] = {
            "class_type": node.class_type,
            "inputs": {name: _written(value) for name, value in node.inputs.items()},
        }
        if node.title:
            written[number]["_meta"] = {"title": node.title}
    return written


def _node(number: str, raw: Any) -> Node:
    if not isinstance(raw, dict) or not isinstance(raw.get("class_type"), str):
        raise WorkflowError(f"Node {short(number)} has no class_type; every node of the API form needs one.")
    inputs = raw.get("inputs", {})
    if not isinstance(inputs, dict):
        raise WorkflowError(f"The inputs of node {short(number)} are {short(inputs)}, but must be an object.")
    limits.check_inputs(len(inputs), f"Node {short(number)}")
    about = raw.get("_meta")
    title = about.get("title") if isinstance(about, dict) else None
    return Node(
        raw["class_type"],
        {name: _read(value) for name, value in inputs.items()},
        title if isinstance(title, str) else None,
    )


def _read(value: Any) -> Any:
    """A value or a link; a list that is a value is wrapped, since a bare one of two would mean a link."""
    if isinstance(value, dict) and "__value__" in value:
        return value["__value__"]
    if isinstance(value, list) and len(value) == 2 and _is_id(value[0]) and type(value[1]) is int:
        return Link(str(value[0]), value[1])
    return value


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or type(value) is int


def _written(value: Any) -> Any:
    if isinstance(value, Link):
        return [value.node, value.output]
    return {"__value__": value} if isinstance(value, list) else value
