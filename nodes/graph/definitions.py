"""What the nodes look like: ids, inputs with types, defaults, ranges and choices, outputs, help.

The form is that of ComfyUI's /object_info. nodes/object_info.json is made from the schemas in nodes/comfyui/ (see
CONTRIBUTING.md), so nothing here needs ComfyUI or torch. Choices in the file are those of a fresh installation.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .host import Host

FILE = Path(__file__).resolve().parents[1] / "object_info.json"


def definitions() -> dict[str, dict[str, Any]]:
    """The nodes by id, as /object_info describes them."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def live_definitions(host: "Host") -> dict[str, dict[str, Any]]:
    """The same with the choices that are in the host's folders now."""
    from .table import LIVE_OPTIONS

    found = deepcopy(definitions())
    for (node, name), options in LIVE_OPTIONS.items():
        inputs = found[node]["input"]
        *outer, last = name.split(".")
        groups = [inputs] if not outer else [each["inputs"] for each in _entry(inputs, outer[0])["options"]]
        for group in groups:
            if _has(group, last):
                _entry(group, last)["options"] = options(host)
    return found


def _has(group: dict[str, dict[str, Any]], name: str) -> bool:
    return any(name in part for part in group.values())


def _entry(group: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The options of an input in its "required" or "optional" part."""
    return next(part[name] for part in group.values() if name in part)[1]
