"""The ComfyUI nodes over a stand-in for ComfyUI: schemas, and a graph run by hand."""

import asyncio
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

STAND_IN = Path(__file__).parent / "stand_in"
STAND_IN_MODULES = ("comfy", "comfy_api", "folder_paths")


@pytest.fixture(scope="module")
def module():
    """nodes/comfyui.py, imported where ComfyUI's modules are those of the stand-in."""
    sys.path.insert(0, str(STAND_IN))
    try:
        yield importlib.import_module("manyview.nodes.comfyui")
    finally:
        sys.path.remove(str(STAND_IN))
        for name in [name for name in sys.modules if name.split(".")[0] in STAND_IN_MODULES]:
            del sys.modules[name]
        del sys.modules["manyview.nodes.comfyui"]


@pytest.fixture
def nodes(module, tmp_path: Path, tiny_model: Path, photos: Path) -> dict:
    """Node classes by id, in a ComfyUI whose folders are below tmp_path."""
    paths = module.folder_paths
    paths.base, paths.models_dir = str(tmp_path), str(tmp_path / "models")
    (tmp_path / "input").mkdir()
    photos.rename(tmp_path / "input" / "photos")
    (tmp_path / "models" / "manyview").mkdir(parents=True)
    (tmp_path / "models" / "manyview" / "tiny.safetensors").write_bytes(tiny_model.read_bytes())
    extension = module.ManyViewExtension()
    asyncio.run(extension.on_load())
    return {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}


def defaults(node) -> dict:
    """What the widgets of a node hold at first."""
    return {entry.id: entry.default for entry in node.define_schema().inputs if hasattr(entry, "default")}


def run(node, **values):
    """Execute with the widgets' defaults."""
    return node.execute(**{**defaults(node), **values}).args


def run_list(node, **values):
    """Execute a node whose inputs are lists."""
    widgets = {name: [value] for name, value in defaults(node).items()}
    return node.execute(**{**widgets, **values}).args


def test_schemas(nodes: dict, root: Path) -> None:
    assert sorted(nodes) == [
        "ManyView_ExportPointCloud",
        "ManyView_LoadImages",
        "ManyView_LoadModel",
        "ManyView_PointCloud",
        "ManyView_Reconstruct",
    ]
    source = (root / "nodes" / "comfyui.py").read_text()
    for name, node in nodes.items():
        schema = node.define_schema()
        assert f'node_id="{name}"' in source, "the registry's scanner reads literal ids only"
        assert (root / "web" / "docs" / f"{name}.md").exists()
        assert schema.description and schema.category
        for entry in schema.inputs + schema.outputs:
            assert entry.tooltip
            if entry.io_type in ("INT", "FLOAT"):
                assert entry.min <= entry.default <= entry.max
            if entry.io_type == "COMBO" and hasattr(entry, "default"):
                assert entry.default in entry.options
        assert len({entry.id for entry in schema.inputs}) == len(schema.inputs)
    assert nodes["ManyView_Reconstruct"].define_schema().is_input_list
    assert "tiny.safetensors" in nodes["ManyView_LoadModel"].define_schema().inputs[0].options


def test_graph_from_folder_to_files(nodes: dict, tmp_path: Path) -> None:
    (model,) = run(nodes["ManyView_LoadModel"], model="tiny.safetensors")
    views, images, masks, names = run(nodes["ManyView_LoadImages"], folder="photos", model=model)
    assert images.shape == (3, 84, 112, 3) and images.dtype == torch.float32 and masks.shape == images.shape[:3]
    assert names.splitlines() == ["photo_0.jpg", "photo_1.jpg", "photo_2.jpg"]
    scene, depth, confidence, report = run_list(nodes["ManyView_Reconstruct"], model=[model], images=[views])
    assert depth.shape == confidence.shape == images.shape and depth.min() >= 0 and depth.max() <= 1
    assert "3 frames" in report and isinstance(scene, dict)
    assert scene["original_sizes"].tolist() == [[80, 60], [80, 60], [60, 80]]
    points, ply = run(nodes["ManyView_PointCloud"], scene=scene, max_points=300)
    assert 200 < len(points["points"]) <= 300
    assert ply.format == "ply" and Path(ply.source).read_bytes().startswith(b"ply")
    for number in (1, 2):
        saved = nodes["ManyView_ExportPointCloud"].execute(
            scene=scene, points=points, **defaults(nodes["ManyView_ExportPointCloud"])
        )
        place = {"subfolder": f"manyview/scene_{number:05}_", "type": "output"}
        assert saved.ui == {"3d": [{"filename": "points.ply", **place}, {"filename": "scene.glb", **place}]}
        folder = tmp_path / "output" / place["subfolder"]
        assert b'"workflow"' in (folder / "scene.glb").read_bytes()


def test_lists_and_batches_become_one_scene(nodes: dict) -> None:
    (model,) = run(nodes["ManyView_LoadModel"], model="tiny.safetensors")
    images = [torch.rand(2, 60, 80, 3), torch.rand(1, 50, 80, 3)]
    scene, *_ = run_list(nodes["ManyView_Reconstruct"], model=[model], images=images)
    assert scene["depth"].shape == (3, 84, 112)
    no_mask = [torch.zeros(1, 64, 64)]
    again, *_ = run_list(nodes["ManyView_Reconstruct"], model=[model], images=images, masks=no_mask)
    np.testing.assert_array_equal(scene["depth"], again["depth"])
    masks = [torch.ones(2, 60, 80), torch.zeros(1, 50, 80)]
    masks[1][:, :25] = 1
    masked, *_ = run_list(nodes["ManyView_Reconstruct"], model=[model], images=images, masks=masks)
    assert masked["masks"][:2].all() and not masked["masks"][2].all()


def test_views_and_images_together_are_refused(nodes: dict) -> None:
    (model,) = run(nodes["ManyView_LoadModel"], model="tiny.safetensors")
    views, images, *_ = run(nodes["ManyView_LoadImages"], folder="photos", model=model)
    with pytest.raises(ValueError, match="connect one set alone"):
        run_list(nodes["ManyView_Reconstruct"], model=[model], images=[views, images])


def test_fingerprint_follows_the_folder(nodes: dict, tmp_path: Path) -> None:
    node = nodes["ManyView_LoadImages"]
    before = node.fingerprint_inputs(folder="photos", limit=3)
    assert node.fingerprint_inputs(folder="photos", limit=3) == before
    Image.new("RGB", (80, 60)).save(tmp_path / "input" / "photos" / "photo_9.png")
    assert node.fingerprint_inputs(folder="photos", limit=3) != before
