"""A graph apart from the file it came in: nodes with values and links, without boxes, subgraphs and detours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Link(NamedTuple):
    """The output of another node, from 0."""

    node: str
    output: int


@dataclass(frozen=True)
class Node:
    """One node. Inputs that belong to a choice of a dynamic combo have dotted names: method, method.rho.

    `properties` are what the editor keeps with a node and the API form does not have.
    """

    class_type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)  # values of JSON, and Links
    title: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def links(self) -> dict[str, Link]:
        """The inputs that come from other nodes."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}


Graph = dict[str, Node]
"""Nodes by id; a node inside a subgraph has the ids on the way to it: "7:3"."""


def named(number: str, node: Node, shown: str | None = None) -> str:
    """How messages call a node: its id, and its title or the name that its class shows."""
    return f"Node {number} ({printable(node.title or shown or node.class_type)})"


def printable(text: str, most: int = 60) -> str:
    """Text out of a file in one short line."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= most else f"{line[: most - 3]}..."
