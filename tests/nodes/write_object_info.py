"""Writes what the nodes look like, from their schemas: python tests/nodes/write_object_info.py

nodes/object_info.json is all of it, locales/en/nodeDefs.json the texts, for translators.
"""

import json
import runpy
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def texts(about: dict) -> dict:
    """The texts of a node in the form of a locale file."""
    inputs: dict = {}
    collect(about["input"], "", inputs)
    found = {"display_name": about["display_name"], "description": about["description"], "inputs": inputs}
    outputs = zip(about["output_name"], about["output_tooltips"], strict=True)
    shown = {str(slot): {"name": name, "tooltip": tooltip} for slot, (name, tooltip) in enumerate(outputs)}
    return found | ({"outputs": shown} if shown else {})


def collect(inputs: dict, prefix: str, found: dict) -> None:
    """Names and tooltips of inputs, and of those that belong to the choices of a dynamic combo."""
    for part in ("required", "optional"):
        for name, (kind, options) in inputs.get(part, {}).items():
            found[f"{prefix}{name}"] = {"name": name, "tooltip": options["tooltip"]}
            if kind == "COMFY_DYNAMICCOMBO_V3":
                for option in options["options"]:
                    collect(option["inputs"], f"{prefix}{name}_", found)


if __name__ == "__main__":
    runpy.run_path(str(HERE.parents[1] / "__main__.py"), run_name="manyview_registration")
    sys.path.insert(0, str(HERE / "stand_in"))
    from manyview.nodes import comfyui
    from manyview.nodes.graph.definitions import FILE

    node_classes = runpy.run_path(str(HERE / "conftest.py"))["node_classes"]
    with tempfile.TemporaryDirectory() as base:
        nodes = node_classes(comfyui, Path(base))
        found = {name: node.define_schema().describe() for name, node in nodes.items()}
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    english = HERE.parents[1] / "locales" / "en" / "nodeDefs.json"
    english.parent.mkdir(parents=True, exist_ok=True)
    english.write_text(json.dumps({name: texts(each) for name, each in found.items()}, indent=1) + "\n")
    print(f"{len(found)} nodes in {FILE}")
