"""Controls made from the nodes' inputs, and their values as Settings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from ..nodes.parameters import EXPORT_FORMATS
from ..workflows.definitions import InputKind
from . import settings as names
from .settings import Settings, defaults, known
from .texts import help_for, label
from .views import format_choices

SLIDERS = {"confidence_percentile": 1, "edge_filter": 0.01, "confidence_threshold": 0.01, "method.rho": 0.05}
SLIDERS |= {"method.tau": 0.05}
SLIDER_TOPS = {"edge_filter": 0.5}
MOST_POINTS = [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000]
METHOD_FIELDS = ("method.schedule", "method.rho", "method.tau", "method.dense_layers", "method.min_tokens")


@dataclass(frozen=True)
class Control:
    """A component for one value of one group of the settings."""

    group: str
    name: str
    component: Any


class Controls:
    """All of them, in one order: what events take as inputs, and what an opened workflow sets."""

    def __init__(self) -> None:
        self.all: list[Control] = []

    @property
    def components(self) -> list[Any]:
        """As inputs or outputs of an event."""
        return [each.component for each in self.all]

    def of(self, group: str, name: str) -> Any:
        """One component."""
        return next(each.component for each in self.all if (each.group, each.name) == (group, name))

    def group(self, *groups: str) -> list[Any]:
        """The components of some groups."""
        return [each.component for each in self.all if each.group in groups]

    def add(self, group: str, name: str, component: Any) -> Any:
        """Note a component."""
        self.all.append(Control(group, name, component))
        return component

    def make(self, group: str, class_type: str, *wanted: str, **about: Any) -> list[Any]:
        """Components for some inputs of a node."""
        found = {each.name: each for each in inputs_of(class_type)}
        start = {name: {"value": value} for name, value in (getattr(Settings(), group) or {}).items()}
        return [self.add(group, name, component(found[name], **start.get(name, {}), **about)) for name in wanted]

    def settings(self, values: Sequence[Any], base: Settings) -> Settings:
        """The settings that the values of the components mean; `base` gives what has no component."""
        groups: dict[str, dict[str, Any]] = {}
        for control, value in zip(self.all, values, strict=True):
            value = ",".join(map(str, value or ())) if is_frames(control) else value
            groups.setdefault(control.group, {})[control.name] = value
        filled = {group: numbers(group, found) for group, found in groups.items()}
        against = defaults(names.SPARSITY, filled["against"])
        return replace(
            base,
            model=defaults(names.MODEL, filled["model"]),
            images=defaults(names.IMAGES, {**base.images, **filled["images"]}),
            sparsity=defaults(names.SPARSITY, filled["sparsity"]),
            inference=names.inference_values(filled["inference"]),
            points=defaults(names.POINTS, filled["points"]),
            against=against,
            formats=tuple(name for name in EXPORT_FORMATS if name in groups["formats"]["formats"]),
            files=names.file_values(filled["files"]),
        )

    def emptied(self, values: Mapping[Any, Any], settings: Settings) -> dict[Any, Any]:
        """What controls of the points that were emptied are to show: the values that count instead."""
        empty = [each for each in self.all if values.get(each.component) is None and each.group == "points"]
        return {each.component: self._value(each, settings) for each in empty}

    def values(self, settings: Settings) -> list[Any]:
        """What each component is to show."""
        return [self._value(each, settings) for each in self.all]

    def _value(self, control: Control, settings: Settings) -> Any:
        if control.group == "formats":
            return list(settings.formats)
        values = getattr(settings, control.group)
        if values is None:
            values = defaults(names.SPARSITY, {"method": "dense"})
        if control.name in values:
            return frames_of(values[control.name]) if is_frames(control) else values[control.name]
        return next(each.default for each in inputs_of(GROUP_CLASSES[control.group]) if each.name == control.name)


GROUP_CLASSES = {
    "model": names.MODEL,
    "images": names.IMAGES,
    "sparsity": names.SPARSITY,
    "against": names.SPARSITY,
    "inference": names.RECONSTRUCT,
    "points": names.POINTS,
}


def inputs_of(class_type: str) -> Iterator[InputKind]:
    """The inputs of a node, those of all choices of a dynamic combo included, each once."""
    seen: set[str] = set()
    waiting = list(known()[class_type].inputs)
    while waiting:
        each = waiting.pop(0)
        if each.name not in seen:
            seen.add(each.name)
            yield each
            for inner in (each.options or {}).values():
                waiting += inner


def component(each: InputKind, **about: Any) -> Any:
    """A component for one input."""
    shared = {"label": label(each.name), "info": help_for(each.name) or None, "value": each.default, **about}
    if each.choices is not None:
        return gr.Dropdown(list(each.choices), **shared)
    if each.types == {"BOOLEAN"}:
        return gr.Checkbox(**shared)
    if each.types == {"STRING"}:
        return gr.Textbox(max_length=500, **shared)
    if each.name in SLIDERS:
        top = SLIDER_TOPS.get(each.name, each.maximum)
        return gr.Slider(each.minimum, top, step=SLIDERS[each.name], **shared)
    whole = each.types == {"INT"}
    return gr.Number(minimum=each.minimum, maximum=each.maximum, precision=0 if whole else None, **shared)


def numbers(group: str, values: dict[str, Any]) -> dict[str, Any]:
    """Values without those that are empty: a cleared number means "not set"."""
    kept = {name: value for name, value in values.items() if value is not None}
    if group not in GROUP_CLASSES:
        return kept
    reals = {each.name for each in inputs_of(GROUP_CLASSES[group]) if each.types == {"FLOAT"}}
    return {name: float(value) if name in reals else value for name, value in kept.items()}


def frames_control() -> Any:
    """Which frames give points; none chosen means all."""
    return gr.Dropdown(
        [],
        value=[],
        multiselect=True,
        allow_custom_value=True,
        label="Frames",
        info="Only the points of these frames; empty: all. Numbers and ranges such as 5-9 can be typed.",
        elem_id="frame-picker",
    )


def is_frames(control: Control) -> bool:
    """Whether the control picks frames: its value is a list, where the node has text."""
    return (control.group, control.name) == ("points", "frames")


def frames_of(text: str) -> list[str]:
    """The text of the node's input as the picker holds it."""
    return [part.strip() for part in text.split(",") if part.strip()]


def formats_control() -> Any:
    """Which files are wanted."""
    return gr.CheckboxGroup(format_choices(), value=list(Settings().formats), label="Files")
