"""Types and inputs of our nodes, made from the table of parameters."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from comfy_api.latest import io

from ..parameters import Parameter

CATEGORY = "3d/multi-view reconstruction"
# A cached node between others then says again what it said when it ran; ComfyUI before 0.33 does not know the word.
SHOWN_AGAIN = (
    {"has_intermediate_output": True} if "has_intermediate_output" in {each.name for each in fields(io.Schema)} else {}
)

# What they hold is in nodes/graph/packets.py.
Model = io.Custom("MANYVIEW_MODEL")
Views = io.Custom("MANYVIEW_VIEWS")
SparsityChoice = io.Custom("MANYVIEW_SPARSITY")
Scene = io.Custom("MANYVIEW_SCENE")
Points = io.Custom("MANYVIEW_POINTS")
Extrinsics = io.Custom("EXTRINSICS")
Intrinsics = io.Custom("INTRINSICS")
Geometry = io.Custom("DA3_GEOMETRY")


def named(*names: str, table: Iterable[Parameter]) -> list[Any]:
    """Inputs for the parameters of these names, in this order."""
    parameters = {parameter.name: parameter for parameter in table}
    return [widget(parameters[name]) for name in names]


def widgets(table: Iterable[Parameter], without: tuple[str, ...] = ()) -> list[Any]:
    """Inputs for all parameters of a table but some."""
    return [widget(parameter) for parameter in table if parameter.name not in without]


def widget(parameter: Parameter) -> Any:
    """One input; a number that may be unset shows 0 for that."""
    shared = {"tooltip": parameter.tooltip, "advanced": parameter.advanced or None, "optional": parameter.appended}
    unset = parameter.default is None
    if parameter.kind == "bool":
        return io.Boolean.Input(parameter.name, default=parameter.default, **shared)
    if parameter.kind == "choice":
        return io.Combo.Input(parameter.name, options=list(parameter.choices), default=parameter.default, **shared)
    if parameter.kind == "text":
        return io.String.Input(parameter.name, default=parameter.default or "", **shared)
    low = 0 if unset else parameter.minimum
    shared["tooltip"] += " 0: not set." if unset else ""
    shared |= {"default": 0 if unset else parameter.default, "min": low, "max": parameter.maximum}
    if parameter.kind == "int":
        # The page lets an input named seed change after each run, unless it is told not to.
        shared["control_after_generate"] = False if parameter.name == "seed" else None
        return io.Int.Input(parameter.name, step=parameter.step, **shared)
    return io.Float.Input(parameter.name, step=parameter.step or 0.01, **shared)
