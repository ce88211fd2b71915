"""What nodes look like, parsed from the form of ComfyUI's /object_info: ours and the core nodes that run here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..nodes.graph.definitions import definitions, live_definitions
from .core.definitions import core_definitions

if TYPE_CHECKING:
    from ..nodes.graph.host import Host

DYNAMIC, GROWING = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"
WIDGETS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "LOAD_3D", DYNAMIC})
ANY = "*"


@dataclass(frozen=True)
class InputKind:
    """One input. `options` are a dynamic combo's choices with the inputs that each brings; their names are dotted."""

    name: str
    types: frozenset[str]
    required: bool = True
    is_widget: bool = False
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] | None = None
    options: Mapping[str, tuple["InputKind", ...]] | None = None
    members: tuple[int, int] | None = None  # a growing input: least and most parts, named by `prefix` and a number
    prefix: str = ""
    has_control: bool = False  # the editor puts a second widget after it: what happens after each run

    def takes(self, kind: str) -> bool:
        """Whether an output of this type may be connected."""
        return kind == ANY or ANY in self.types or not self.types.isdisjoint(kind.split(","))


SEARCHED = " (multi-view)"  # what the titles of our nodes end with for ComfyUI's search; messages are short without it


@dataclass(frozen=True)
class NodeKind:
    """One class of nodes."""

    class_type: str
    shown: str
    inputs: tuple[InputKind, ...]
    outputs: tuple[tuple[str, str], ...]  # name and type
    is_list: tuple[bool, ...]  # for each output
    is_input_list: bool = False
    is_output_node: bool = False
    uploads: bool = False  # the editor puts an upload button after all widgets

    def present(self, values: Mapping[str, Any]) -> Iterator[InputKind]:
        """The inputs that a node with these values has, in order: those of a dynamic combo's choice follow it."""
        yield from _present(self.inputs, values)


Kinds = Mapping[str, NodeKind]
"""The classes of nodes that can run here, by id."""


def kinds(host: "Host | None" = None) -> dict[str, NodeKind]:
    """All of them; with a host, the choices are what lies in its folders now."""
    ours = definitions() if host is None else live_definitions(host)
    return {name: parse_kind(name, about) for name, about in {**core_definitions(host), **ours}.items()}


def parse_kind(class_type: str, about: Mapping[str, Any]) -> NodeKind:
    """A class out of an entry of /object_info."""
    inputs = about["input"]
    return NodeKind(
        class_type,
        (about.get("display_name") or class_type).removesuffix(SEARCHED),
        tuple(_group(inputs, "")),
        tuple(zip(about["output_name"], about["output"], strict=True)),
        tuple(about["output_is_list"]),
        about.get("is_input_list", False),
        about.get("output_node", False),
        any(option[1].get("image_upload") or option[1].get("video_upload") for option in _entries(inputs)),
    )


def _entries(inputs: Mapping[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    for part in ("required", "optional"):
        for kind, *about in inputs.get(part, {}).values():
            yield kind, about[0] if about else {}


def _group(inputs: Mapping[str, Any], prefix: str) -> Iterator[InputKind]:
    for part in ("required", "optional"):
        for name, (kind, *about) in inputs.get(part, {}).items():
            yield _input(prefix + name, kind, about[0] if about else {}, part == "required")


def _input(name: str, kind: Any, about: Mapping[str, Any], required: bool) -> InputKind:
    if kind == DYNAMIC:
        options = {each["key"]: tuple(_group(each["inputs"], f"{name}.")) for each in about["options"]}
        default = about.get("default", next(iter(options)))
        return InputKind(name, frozenset({kind}), required, True, default, choices=tuple(options), options=options)
    if kind == GROWING:
        template = about["template"]
        ((_, (inner, *_)),) = template["input"]["required"].items()
        members = (template.get("min", 1), template.get("max", 100))
        return InputKind(name, frozenset(inner.split(",")), required, members=members, prefix=template["prefix"])
    choices = kind if isinstance(kind, list) else about.get("options")
    kind = "COMBO" if isinstance(kind, list) else kind
    default = about.get("default")
    if default is None and kind == "COMBO":
        default = next(iter(choices or ()), None)
    return InputKind(
        name,
        frozenset(kind.split(",")),
        required,
        kind in WIDGETS and not about.get("forceInput"),
        default,
        about.get("min"),
        about.get("max"),
        None if choices is None else tuple(choices),
        has_control=bool(about.get("control_after_generate")),
    )


def _present(inputs: tuple[InputKind, ...], values: Mapping[str, Any]) -> Iterator[InputKind]:
    for each in inputs:
        yield each
        if each.options is not None:
            chosen = values.get(each.name, each.default)
            yield from _present(each.options.get(chosen, ()) if isinstance(chosen, str) else (), values)
