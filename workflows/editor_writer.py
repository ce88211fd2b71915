"""The editor's form of a graph: boxes with widgets, links and places, as ComfyUI's page opens it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .check import order
from .definitions import InputKind, Kinds, NodeKind
from .graph import Graph, Link, Node
from .widgets import widgets_list

PACK, VERSION = "manyview", "0.1.0"  # by which ComfyUI-Manager finds missing nodes
CORE, CORE_VERSION = "comfy-core", "0.28.0"
COLUMN, GAP, WIDTH = 400, 60, 330
OPTIONAL_SHAPE = 7


@dataclass(frozen=True)
class Box:
    """A place on the page."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Page:
    """What the editor shows beside the graph itself. Nodes without a box are put into columns."""

    boxes: Mapping[str, Box] = field(default_factory=dict)
    notes: Sequence[tuple[Box, str]] = ()  # Markdown
    groups: Sequence[tuple[Box, str, str]] = ()  # title and colour
    extra: Mapping[str, Any] = field(default_factory=dict)


def write_editor_form(graph: Graph, kinds: Kinds, page: Page | None = None) -> dict[str, Any]:
    """The document (schema 0.4). All classes must be in `kinds`, and the graph checked."""
    page = page or Page()
    numbers = _numbers(graph)
    boxes = {**columns(graph, kinds), **page.boxes}
    links: list[list[Any]] = []
    nodes = {
        number: _node(numbers[number], place, node, kinds[node.class_type], boxes[number])
        for place, (number, node) in enumerate(graph.items())
    }
    for number, node in graph.items():
        _connect(nodes, links, numbers, number, node, kinds)
    last = max(numbers.values(), default=0)
    notes = [_note(last + 1 + place, box, text) for place, (box, text) in enumerate(page.notes)]
    return {
        "last_node_id": last + len(notes),
        "last_link_id": len(links),
        "nodes": [*nodes.values(), *notes],
        "links": links,
        "groups": [_group(*each) for each in page.groups],
        "config": {},
        "extra": {"ds": {"scale": 0.75, "offset": [60, 90]}, **page.extra},
        "version": 0.4,
    }


def columns(graph: Graph, kinds: Kinds) -> dict[str, Box]:
    """Places from left to right: each node in the column after the last one that it needs."""
    column: dict[str, int] = {}
    for number in order(graph):
        column[number] = 1 + max((column[link.node] for link in graph[number].links.values()), default=-1)
    bottom: dict[int, int] = {}
    boxes = {}
    for number, node in graph.items():
        place = column[number]
        top, height = bottom.get(place, 0), _height(node, kinds[node.class_type])
        boxes[number] = Box(place * COLUMN, top, WIDTH, height)
        bottom[place] = top + height + GAP
    return boxes


def _height(node: Node, kind: NodeKind) -> int:
    present = list(kind.present(node.inputs))
    widgets = sum(each.is_widget for each in present)
    return 40 + 26 * widgets + 22 * max(len(present) - widgets, len(kind.outputs))


def _numbers(graph: Graph) -> dict[str, int]:
    """The editor's numbers: the ids themselves if they are numbers."""
    if all(number.isascii() and number.isdigit() and len(number) < 9 for number in graph):
        plain = {number: int(number) for number in graph}
        if len(set(plain.values())) == len(plain):
            return plain
    return {number: place for place, number in enumerate(graph, start=1)}


def _node(number: int, place: int, node: Node, kind: NodeKind, box: Box) -> dict[str, Any]:
    ours = node.class_type.startswith("ManyView_")
    properties = {"Node name for S&R": node.class_type, "cnr_id": PACK if ours else CORE}
    properties |= {"ver": VERSION if ours else CORE_VERSION} | dict(node.properties)
    written: dict[str, Any] = {"id": number, "type": node.class_type, "pos": [box.left, box.top]}
    written |= {"size": [box.width, box.height], "flags": {}, "order": place, "mode": 0}
    written["inputs"] = [slot for each in kind.present(node.inputs) for slot in _slots(each, node)]
    written["outputs"] = [
        {"name": name, "type": kind, "slot_index": slot, "links": []} for slot, (name, kind) in enumerate(kind.outputs)
    ]
    if node.title:
        written["title"] = node.title
    values = widgets_list(kind, node.inputs)
    return {**written, "properties": properties, "widgets_values": values}


def _slots(each: InputKind, node: Node) -> list[dict[str, Any]]:
    """The slots of an input: one, or one for each part of a growing input and one to connect the next."""
    kind = ",".join(sorted(each.types))
    if each.members is not None:
        names = [name for name in node.inputs if name.startswith(f"{each.name}.")]
        if len(names) < each.members[1]:
            names.append(f"{each.name}.{each.prefix}{len(names)}")
        return [{"name": name, "type": kind, "link": None} for name in names]
    slot: dict[str, Any] = {"name": each.name, "type": kind, "link": None}
    if each.is_widget:
        slot["widget"] = {"name": each.name}
    elif not each.required:
        slot["shape"] = OPTIONAL_SHAPE
    return [slot]


def _connect(
    nodes: dict[str, dict[str, Any]],
    links: list[list[Any]],
    numbers: Mapping[str, int],
    number: str,
    node: Node,
    kinds: Kinds,
) -> None:
    for slot, each in enumerate(nodes[number]["inputs"]):
        link = node.inputs.get(each["name"])
        if isinstance(link, Link):
            kind = kinds[nodes[link.node]["type"]].outputs[link.output][1]
            each["link"] = len(links) + 1
            nodes[link.node]["outputs"][link.output]["links"].append(each["link"])
            links.append([each["link"], numbers[link.node], link.output, numbers[number], slot, kind])


def _note(number: int, box: Box, text: str) -> dict[str, Any]:
    node = {"id": number, "type": "MarkdownNote", "pos": [box.left, box.top], "size": [box.width, box.height]}
    node |= {"flags": {}, "order": 0, "mode": 0, "inputs": [], "outputs": [], "properties": {}}
    return {**node, "widgets_values": [text], "color": "#233", "bgcolor": "#355"}


def _group(box: Box, title: str, colour: str) -> dict[str, Any]:
    bounding = [box.left, box.top, box.width, box.height]
    return {"title": title, "bounding": bounding, "color": colour, "font_size": 24, "flags": {}}
