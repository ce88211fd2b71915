"""What the nodes look like, without ComfyUI and without torch."""

import subprocess
import sys
from pathlib import Path

import torch

from manyview.nodes.graph.definitions import definitions, live_definitions
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.table import NODES


def test_every_node_is_described() -> None:
    assert set(definitions()) == set(NODES)


def test_choices_follow_the_folders(tmp_path: Path) -> None:
    host = FolderHost(tmp_path, torch.device("cpu"))
    (host.input_folder / "photos").mkdir()
    (host.model_folder / "a.safetensors").touch()
    (host.model_folder / "plan.json").touch()
    before, after = definitions(), live_definitions(host)
    source = after["ManyView_LoadImages"]["input"]["required"]["source"][1]
    assert source["options"] == [*before["ManyView_LoadImages"]["input"]["required"]["source"][1]["options"], "photos"]
    model = after["ManyView_LoadModel"]["input"]["required"]["model"][1]
    assert model["options"][0] == "mini" and model["options"][-1] == "a.safetensors"
    methods = {each["key"]: each for each in after["ManyView_Sparsity"]["input"]["required"]["method"][1]["options"]}
    assert methods["file"]["inputs"]["required"]["schedule"][1]["options"] == ["plan.json"]


def test_reading_them_needs_no_torch(root: Path) -> None:
    code = "import runpy, sys; runpy.run_path('__main__.py', run_name='x'); from manyview.nodes.graph.definitions "
    code += "import definitions; print(len(definitions()), 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert found.stdout.split() == [str(len(NODES)), "False"], found.stderr
