"""Writes nodes/object_info.json, what the nodes look like: python tests/nodes/write_object_info.py"""

import json
import runpy
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

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
    print(f"{len(found)} nodes in {FILE}")
