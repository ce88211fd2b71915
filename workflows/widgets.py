"""Values of widgets by position, as the editor stores them, and by name."""

from collections.abc import Mapping
from typing import Any

from .definitions import InputKind, NodeKind
from .graph import Link
from .problem import WorkflowError

CONTROL, UPLOAD = "fixed", "image"  # what the editor's own widgets hold


def widget_values(kind: NodeKind, values: Any, named: Any, said: str) -> dict[str, Any]:
    """The values by name. Those that are missing at the end keep their defaults, as in the editor."""
    if isinstance(named, dict) or isinstance(values, dict):
        return _by_name(kind, named if isinstance(named, dict) else values)
    if values is None:
        values = []
    if not isinstance(values, list):
        raise WorkflowError(f"{said}: widgets_values is no list; save the workflow again in ComfyUI.")
    return _by_position(kind, values)


def widgets_list(kind: NodeKind, inputs: Mapping[str, Any]) -> list[Any]:
    """The inverse: values in the editor's order; an input that is a link gets its default."""
    values: list[Any] = []
    for each in kind.present(inputs):
        if each.is_widget:
            given = inputs.get(each.name, each.default)
            values.append(each.default if isinstance(given, Link) else given)
            values += [CONTROL] if each.has_control else []
    return [*values, UPLOAD] if kind.uploads else values


def _by_name(kind: NodeKind, named: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: named[each.name] for each in kind.present(named) if each.is_widget and each.name in named}


def _by_position(kind: NodeKind, values: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    place = 0
    waiting: list[InputKind] = list(reversed(kind.inputs))
    while waiting and place < len(values):
        each = waiting.pop()
        if not each.is_widget:
            continue
        found[each.name] = values[place]
        place += 2 if each.has_control else 1
        if each.options is not None and isinstance(found[each.name], str):
            waiting += reversed(each.options.get(found[each.name], ()))
    return found
