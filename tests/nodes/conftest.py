"""The ComfyUI nodes over a stand-in for ComfyUI."""

import asyncio
import importlib
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

STAND_IN = Path(__file__).parent / "stand_in"
STAND_IN_MODULES = ("comfy", "comfy_api", "folder_paths", "server")
OURS = "manyview.nodes.comfyui"


def belongs(name: str) -> bool:
    """Whether a module is one of the stand-in's, or of ours that import it."""
    return name.split(".")[0] in STAND_IN_MODULES or name.startswith(OURS)


@pytest.fixture(scope="package")
def comfyui() -> Iterator:
    """nodes/comfyui, imported where ComfyUI's modules are those of the stand-in."""
    # A checkout in a folder of such a name is known to pytest by it.
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if belongs(name)}
    sys.path.insert(0, str(STAND_IN))
    try:
        yield importlib.import_module(OURS)
    finally:
        sys.path.remove(str(STAND_IN))
        for name in [name for name in sys.modules if belongs(name)]:
            del sys.modules[name]
        sys.modules.update(hidden)


@pytest.fixture
def nodes(comfyui, tmp_path: Path, tiny_model: Path, photos: Path) -> dict:
    """Node classes by id, in a ComfyUI whose folders are below tmp_path."""
    (tmp_path / "input").mkdir()
    photos.rename(tmp_path / "input" / "photos")
    (tmp_path / "models" / "manyview").mkdir(parents=True)
    (tmp_path / "models" / "manyview" / "tiny.safetensors").write_bytes(tiny_model.read_bytes())
    return node_classes(comfyui, tmp_path)


@pytest.fixture
def fresh_nodes(comfyui, tmp_path: Path) -> dict:
    """Node classes by id in a ComfyUI that was just installed."""
    return node_classes(comfyui, tmp_path)


@pytest.fixture(scope="session")
def make_scene() -> Callable:
    """A function that makes reconstructions of a room with known geometry, as tests/scene uses them."""
    return runpy.run_path(str(Path(__file__).parents[1] / "scene" / "conftest.py"))["room_reconstruction"]


def node_classes(comfyui, base: Path) -> dict:
    """Node classes by id in a ComfyUI with its folders below `base`."""
    paths = comfyui.host.folder_paths
    paths.base, paths.models_dir = str(base), str(base / "models")
    extension = comfyui.ManyViewExtension()
    asyncio.run(extension.on_load())
    return {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}
