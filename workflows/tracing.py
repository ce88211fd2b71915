"""Where the value of an input comes from, along links, reroutes, bypassed nodes and the borders of subgraphs."""

from dataclasses import dataclass
from typing import Any

from .definitions import ANY
from .graph import Link
from .levels import BYPASSED, INSIDE, MUTED, Level, Slots, Wire
from .problem import WorkflowError


@dataclass(frozen=True)
class Constant:
    """A value that stands where a link could be: of a primitive node, or of a widget on a subgraph's node."""

    value: Any


@dataclass(frozen=True)
class _Place:
    """An input of a node, or with `is_output` an output."""

    level: Level
    number: str
    slot: int
    is_output: bool = False


def trace(level: Level, number: str, slot: int) -> Link | Constant | None:
    """The source of an input; None where nothing is connected or what is connected does not run."""
    wanted = _type(level.inputs(number), slot)
    place: _Place | Link | Constant | None = _Place(level, number, slot)
    seen = set()
    while isinstance(place, _Place):
        key = (id(place.level), place.number, place.slot, place.is_output)
        if key in seen:
            raise WorkflowError(f"{level.said(number)} waits for itself: its links go round in a circle; cut one.")
        seen.add(key)
        level.steps.take()
        place = _before_output(place, wanted) if place.is_output else _before_input(place)
    return place


def _before_input(place: _Place) -> _Place | Constant | None:
    """What is at the other end of the link into an input."""
    level, inputs = place.level, place.level.inputs(place.number)
    if not 0 <= place.slot < len(inputs):
        raise WorkflowError(f"{level.said(place.number)} has no input {place.slot}, but a link leads there.")
    name, number = inputs[place.slot]["name"], inputs[place.slot].get("link")
    if number is None:
        return None
    wire = level.page.wires.get(number) if type(number) is int else None
    if wire is None:
        raise WorkflowError(f"{level.said(place.number)}: the link into {name} is missing; connect it again.")
    return _origin(level, wire, f"{level.said(place.number)}: the link into {name}")


def _origin(level: Level, wire: Wire, said: str) -> _Place | Constant | None:
    if wire.origin == INSIDE and level.parent is not None:
        return _outside(level, wire.origin_slot)
    if wire.origin not in level.nodes:
        raise WorkflowError(f"{said} comes from a node that is not there; connect it again.")
    return _Place(level, wire.origin, wire.origin_slot, is_output=True)


def _outside(level: Level, slot: int) -> _Place | Constant | None:
    """The input of a subgraph's node that its inside sees as input `slot`."""
    inputs = level.page.own_inputs
    if not 0 <= slot < len(inputs):
        raise WorkflowError(f"{level.parent.said(level.number)} has no input {slot}, but its inside uses it.")
    name = inputs[slot]["name"]
    outer = level.parent.inputs(level.number)
    level.steps.take(len(outer))
    place = level.parent.page.place_of(level.number, name)
    if place is None:
        return None
    if outer[place].get("link") is not None:
        return _Place(level.parent, level.number, place)
    return _host_value(level.parent, level.number, name) if "widget" in outer[place] else None


def _host_value(level: Level, number: str, name: str) -> Constant | None:
    """What a subgraph's node holds for one of its widgets; None if it leaves that to the widget inside."""
    raw = level.nodes[number]
    values, by_name = raw.get("widgets_values"), raw.get("widgets_values_named")
    if isinstance(by_name, dict) and name in by_name:
        return Constant(by_name[name])
    properties = raw.get("properties")
    proxies = properties.get("proxyWidgets") if isinstance(properties, dict) else None
    if isinstance(proxies, list):
        names = [each[1] if isinstance(each, list) and len(each) > 1 and each[0] == "-1" else None for each in proxies]
    else:
        names = [each["name"] for each in level.inputs(number) if "widget" in each]
    place = names.index(name) if name in names else None
    if place is None or not isinstance(values, list) or place >= len(values):
        return None
    return Constant(values[place])


def _before_output(place: _Place, wanted: str) -> _Place | Link | Constant | None:
    """The node itself if it runs, else what it passes on."""
    level, raw = place.level, place.level.nodes[place.number]
    if raw.get("mode", 0) == MUTED:
        return None
    if raw.get("mode", 0) == BYPASSED:
        level.steps.take(len(level.inputs(place.number)))
        slot = _bridge(level.inputs(place.number), level.page.outputs[place.number], place.slot, wanted)
        return None if slot is None else _Place(level, place.number, slot)
    if place.number in level.inner:
        return _from_inside(level.inner[place.number], place)
    if raw["type"] == "Reroute":
        return _Place(level, place.number, 0)
    if raw["type"] == "PrimitiveNode":
        values = raw.get("widgets_values")
        return Constant(values[0]) if isinstance(values, list) and values else None
    return Link(level.full_id(place.number), place.slot)


def _from_inside(inside: Level, place: _Place) -> _Place | Constant | None:
    if not 0 <= place.slot < len(inside.page.own_outputs):
        raise WorkflowError(f"{place.level.said(place.number)} has no output {place.slot}, but a link begins there.")
    wire = inside.page.leaving.get(place.slot)
    return None if wire is None else _origin(inside, wire, f"{place.level.said(place.number)}: an output")


def _bridge(inputs: Slots, outputs: Slots, slot: int, wanted: str) -> int | None:
    """The input that a bypassed node passes on as output `slot`: by place, else by type."""
    types = [_type(inputs, place) for place in range(len(inputs))]
    if wanted == ANY:
        return (slot if slot < len(types) else 0) if types else None
    given = _type(outputs, slot)
    fits = [_agree(each, given) and _agree(each, wanted) for each in types]
    if 0 <= slot < len(fits) and fits[slot]:
        return slot
    if wanted in types:
        return types.index(wanted)
    return fits.index(True) if True in fits else None


def _type(found: Slots, slot: int) -> str:
    kind = found[slot].get("type") if 0 <= slot < len(found) else None
    return kind if isinstance(kind, str) and kind else ANY


def _agree(one: str, other: str) -> bool:
    return ANY in (one, other) or not set(one.split(",")).isdisjoint(other.split(","))
