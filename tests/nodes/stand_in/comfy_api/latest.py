"""As much of ComfyUI's V3 interface as our nodes use, and what /object_info makes of it.

tests/host compares the descriptions with those of a real ComfyUI.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

SHARED = {"display_name", "optional", "tooltip", "lazy", "advanced"}
WIDGET = SHARED | {"default", "socketless", "force_input"}
ACCEPTED = {
    "BOOLEAN": WIDGET | {"label_on", "label_off"},
    "INT": WIDGET | {"min", "max", "step", "control_after_generate", "display_mode"},
    "FLOAT": WIDGET | {"min", "max", "step", "round", "display_mode"},
    "STRING": WIDGET | {"multiline", "placeholder", "dynamic_prompts"},
    "COMBO": (WIDGET - {"force_input"}) | {"options", "control_after_generate", "upload"},
    "COMFY_DYNAMICCOMBO_V3": (SHARED - {"advanced"}) | {"options"},
    "COMFY_MULTITYPED_V3": SHARED | {"types"},
}
RENAMED = {"display_mode": "display", "force_input": "forceInput", "dynamic_prompts": "dynamicPrompts"}


class _Input:
    def __init__(self, io_type, id, *args, **options):
        self.io_type, self.id = io_type, id
        if args:  # the choices of a combo may stand in second place
            (options["options"],) = args
        unknown = options.keys() - ACCEPTED.get(io_type, SHARED)
        if unknown:
            raise TypeError(f"an input of type {io_type} takes no {unknown}")
        self.optional = options.pop("optional", False)
        self.given = {name: value for name, value in options.items() if value is not None}
        self.__dict__.update(self.given)

    def describe(self):
        shown = {RENAMED.get(name, name): value for name, value in self.given.items()}
        io_type = self.io_type
        if io_type == "COMBO":
            shown["multiselect"] = False
        if io_type == "STRING":
            shown.setdefault("multiline", False)
        if io_type == "COMFY_DYNAMICCOMBO_V3":
            shown["options"] = [{"key": each.key, "inputs": _inputs(each.inputs)} for each in self.options]
        if io_type == "COMFY_MULTITYPED_V3":
            io_type = ",".join(kind.io_type for kind in shown.pop("types"))
        return [io_type, shown]


class _Output:
    def __init__(self, io_type, id=None, display_name=None, tooltip=None, is_output_list=False):
        self.io_type, self.id, self.tooltip, self.is_output_list = io_type, id, tooltip, is_output_list
        self.display_name = display_name or id or io_type


def _kind(io_type):
    return SimpleNamespace(
        io_type=io_type,
        Input=lambda *args, **options: _Input(io_type, *args, **options),
        Output=lambda **options: _Output(io_type, **options),
    )


def _inputs(entries):
    described = {"required": {}}
    for entry in entries:
        described.setdefault("optional" if entry.optional else "required", {})[entry.id] = entry.describe()
    return described


@dataclass
class _Option:
    key: str
    inputs: list


@dataclass
class _Schema:
    node_id: str
    display_name: str
    category: str
    inputs: list
    outputs: list
    description: str
    search_aliases: list
    hidden: list = field(default_factory=list)
    is_input_list: bool = False
    is_output_node: bool = False
    is_experimental: bool = False
    has_intermediate_output: bool = False

    def describe(self):
        """This node's part of /object_info, as far as it depends on the schema."""
        inputs = _inputs(self.inputs)
        hidden = [*self.hidden, *(["prompt", "extra_pnginfo"] if self.is_output_node else [])]
        if hidden:
            inputs["hidden"] = {name: [name.upper()] for name in dict.fromkeys(hidden)}
        return {
            "input": inputs,
            "input_order": {part: list(entries) for part, entries in inputs.items()},
            "is_input_list": self.is_input_list,
            "output": [output.io_type for output in self.outputs],
            "output_is_list": [output.is_output_list for output in self.outputs],
            "output_name": [output.display_name for output in self.outputs],
            "output_tooltips": [output.tooltip for output in self.outputs],
            "name": self.node_id,
            "display_name": self.display_name,
            "description": self.description,
            "category": self.category,
            "output_node": self.is_output_node,
            "has_intermediate_output": self.has_intermediate_output,
            "experimental": self.is_experimental,
            "search_aliases": self.search_aliases,
        }


class _ComfyNode:
    hidden = SimpleNamespace(prompt={"1": {}}, extra_pnginfo={"workflow": {"nodes": []}}, unique_id="1")


class _NodeOutput:
    def __init__(self, *args, ui=None):
        self.args, self.ui = args, ui


io = SimpleNamespace(
    ComfyNode=_ComfyNode,
    Schema=_Schema,
    NodeOutput=_NodeOutput,
    Hidden=SimpleNamespace(prompt="prompt", extra_pnginfo="extra_pnginfo", unique_id="unique_id"),
    NumberDisplay=SimpleNamespace(slider="slider"),
    Custom=_kind,
    Image=_kind("IMAGE"),
    Mask=_kind("MASK"),
    Video=_kind("VIDEO"),
    String=_kind("STRING"),
    Int=_kind("INT"),
    Float=_kind("FLOAT"),
    Boolean=_kind("BOOLEAN"),
    Combo=_kind("COMBO"),
    MultiType=_kind("COMFY_MULTITYPED_V3"),
    DynamicCombo=SimpleNamespace(Option=_Option, **vars(_kind("COMFY_DYNAMICCOMBO_V3"))),
    File3DPLY=_kind("FILE_3D_PLY"),
    Load3DCamera=_kind("LOAD3D_CAMERA"),
)


class ComfyExtension:
    async def on_load(self):
        pass


class _File3D:
    def __init__(self, source, file_format):
        self.source, self.format = source, file_format


Types = SimpleNamespace(File3D=_File3D)
