"""The pages of a workflow: the one that opens, and the inside of each subgraph, once for each time it is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import limits
from .graph import printable
from .problem import WorkflowError, short

MUTED, BYPASSED = 2, 4  # modes of a node
INSIDE, OUTSIDE = "-10", "-20"  # the ids that stand for a subgraph's own inputs and outputs


@dataclass(frozen=True)
class Wire:
    """A link of one page."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int


Slots = list[dict[str, Any]]


@dataclass(frozen=True)
class Page:
    """A page as it stands in the file, parsed once however many nodes have it as their inside."""

    nodes: dict[str, dict[str, Any]]
    wires: dict[int, Wire]
    inputs: dict[str, Slots]  # of each node
    outputs: dict[str, Slots]
    own_inputs: Slots  # of the page itself, as the inside of a subgraph
    own_outputs: Slots
    leaving: dict[int, Wire]  # the wire into each of its own outputs

    def place_of(self, number: str, name: str) -> int | None:
        """Which input of a node has this name."""
        return next((place for place, each in enumerate(self.inputs[number]) if each["name"] == name), None)


class Steps:
    """Counts the steps along the links of a workflow, which could be made to lead back and forth for ever."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, count: int = 1) -> None:
        """Go on by so many; WorkflowError after too many."""
        self.taken += count
        if self.taken > limits.STEPS:
            raise WorkflowError(
                f"Following the links of the workflow takes more than {limits.STEPS:,} steps; cut some."
            )


@dataclass
class Level:
    """A page where it is used. `parent` and `number` say which node of which page it is the inside of."""

    page: Page
    steps: Steps
    parent: "Level | None" = None
    number: str = ""
    is_active: bool = True
    inner: dict[str, "Level"] = field(default_factory=dict)  # by the id of the subgraph's node
    promoted: dict[str, dict[str, Any]] = field(default_factory=dict)  # values set from outside, by node and widget

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """The nodes as the file has them, by id."""
        return self.page.nodes

    def full_id(self, number: str) -> str:
        """The id with the ids of the subgraphs around it: 7:3."""
        return number if self.parent is None else f"{self.parent.full_id(self.number)}:{number}"

    def said(self, number: str) -> str:
        """How messages call a node of this page."""
        raw = self.nodes[number]
        title = raw.get("title") if isinstance(raw.get("title"), str) else raw["type"]
        return f"Node {self.full_id(number)} ({printable(title)})"

    def inputs(self, number: str) -> Slots:
        """The input slots of a node."""
        return self.page.inputs[number]


def open_levels(document: Mapping[str, Any]) -> list[Level]:
    """All pages, the outermost first."""
    subgraphs = _subgraphs(document)
    pages: dict[str, Page] = {}
    first = Level(_page(document), Steps())
    levels, waiting, count = [first], [(first, ())], 0
    while waiting:
        level, around = waiting.pop()
        count += len(level.nodes)
        if count > limits.NODES:
            raise WorkflowError(f"The workflow has more than {limits.NODES:,} nodes, those in subgraphs included.")
        for number, raw in level.nodes.items():
            if raw["type"] not in subgraphs:
                continue
            if raw["type"] in around or len(around) >= limits.NESTED:
                raise WorkflowError(
                    f"{level.said(number)} is a subgraph that holds itself, or lies more than {limits.NESTED} "
                    "subgraphs deep; take it out."
                )
            if raw["type"] not in pages:
                pages[raw["type"]] = _page(subgraphs[raw["type"]])
            inside = Level(pages[raw["type"]], first.steps, level, number)
            inside.is_active = level.is_active and raw.get("mode", 0) not in (MUTED, BYPASSED)
            inside.promoted = _promoted(raw)
            level.inner[number] = inside
            levels.append(inside)
            waiting.append((inside, (*around, raw["type"])))
    return levels


def _slots(raw: Mapping[str, Any], name: str) -> Slots:
    """The inputs or outputs of a node, made fit."""
    found = raw.get(name)
    found = found if isinstance(found, list) else []
    limits.check_inputs(len(found), f"A node of the workflow, {short(raw.get('id'))},", name)
    return [each if isinstance(each, dict) and isinstance(each.get("name"), str) else {"name": ""} for each in found]


def _subgraphs(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    definitions = document.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    found = {}
    for each in listed if isinstance(listed, list) else []:
        if not isinstance(each, dict) or not isinstance(each.get("id"), str) or not isinstance(each.get("nodes"), list):
            raise WorkflowError("A subgraph of the workflow has no id or no nodes; save it again in ComfyUI.")
        found[each["id"]] = each
    return found


def _page(raw_page: Mapping[str, Any]) -> Page:
    nodes: dict[str, dict[str, Any]] = {}
    for raw in raw_page["nodes"]:
        if not isinstance(raw, dict) or not isinstance(raw.get("type"), str) or not _is_id(raw.get("id")):
            raise WorkflowError(f"A node of the workflow has no id or no type: {short(raw)}.")
        if str(raw["id"]) in nodes:
            raise WorkflowError(f"Two nodes of the workflow have the id {short(raw['id'])}; save it again in ComfyUI.")
        nodes[str(raw["id"])] = raw
    links = raw_page.get("links")
    wires = dict(map(_wire, links if isinstance(links, list) else []))
    leaving: dict[int, Wire] = {}
    for wire in wires.values():
        if wire.target == OUTSIDE:
            leaving.setdefault(wire.target_slot, wire)
    inputs, outputs = ({number: _slots(raw, name) for number, raw in nodes.items()} for name in ("inputs", "outputs"))
    return Page(nodes, wires, inputs, outputs, _slots(raw_page, "inputs"), _slots(raw_page, "outputs"), leaving)


def _wire(raw: Any) -> tuple[int, Wire]:
    """A link of either schema: [id, origin, slot, target, slot, type], or an object of the same."""
    if isinstance(raw, dict):
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        raw = [raw.get(name) for name in names]
    if not isinstance(raw, list) or len(raw) < 5 or not all(_is_id(each) for each in raw[:5]):
        raise WorkflowError(f"A link of the workflow is broken: {short(raw)}.")
    number, origin, origin_slot, target, target_slot = raw[:5]
    if not all(type(each) is int for each in (number, origin_slot, target_slot)):
        raise WorkflowError(f"A link of the workflow is broken: {short(raw)}.")
    return number, Wire(str(origin), origin_slot, str(target), target_slot)


def _promoted(raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Values that a subgraph's node holds for widgets inside, where it names them by node ("proxyWidgets")."""
    properties, values = raw.get("properties"), raw.get("widgets_values")
    proxies = properties.get("proxyWidgets") if isinstance(properties, dict) else None
    found: dict[str, dict[str, Any]] = {}
    if not isinstance(proxies, list) or not isinstance(values, list):
        return found
    limits.check_inputs(len(proxies), f"A node of the workflow, {short(raw.get('id'))},", "proxyWidgets")
    for proxy, value in zip(proxies, values, strict=False):
        named = isinstance(proxy, list) and len(proxy) >= 2 and all(isinstance(part, str) for part in proxy[:2])
        if named and proxy[0] != "-1" and value is not None:
            found.setdefault(proxy[0], {})[proxy[1]] = value
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, str) or type(value) is int
