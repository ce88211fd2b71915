"""The ComfyUI nodes over a stand-in for ComfyUI: schemas, and a graph run by hand."""

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from manyview.nodes.graph.definitions import FILE
from manyview.nodes.graph.table import LIVE_OPTIONS, NODES


def first(entry) -> object:
    """What a widget holds at first."""
    if entry.io_type == "COMFY_DYNAMICCOMBO_V3":
        option = entry.options[0]
        return {entry.id: option.key} | {each.id: first(each) for each in option.inputs}
    return entry.options[0] if entry.io_type == "COMBO" and not hasattr(entry, "default") else entry.default


def defaults(node) -> dict:
    """What the widgets of a node hold at first."""
    entries = node.define_schema().inputs
    return {entry.id: first(entry) for entry in entries if hasattr(entry, "default") or hasattr(entry, "options")}


def run(node, **values):
    """Execute with the widgets' defaults."""
    return node.execute(**{**defaults(node), **values}).args


def run_list(node, **values):
    """Execute a node whose inputs are lists."""
    widgets = {name: [value] for name, value in defaults(node).items()}
    return node.execute(**{**widgets, **values}).args


def flat(inputs) -> list:
    """Inputs, and those of every choice of a dynamic combo."""
    found = []
    for entry in inputs:
        found.append(entry)
        if entry.io_type == "COMFY_DYNAMICCOMBO_V3":
            found += [each for option in entry.options for each in flat(option.inputs)]
    return found


def test_schemas(nodes: dict, root: Path) -> None:
    assert sorted(nodes) == sorted(NODES)
    source = "".join(path.read_text() for path in (root / "nodes" / "comfyui").glob("*.py"))
    for name, node in nodes.items():
        schema = node.define_schema()
        assert f'node_id="{name}"' in source, "the registry's scanner reads literal ids only"
        assert schema.description and schema.category.startswith("3d/") and schema.search_aliases
        for entry in flat(schema.inputs) + schema.outputs:
            assert entry.tooltip, (name, entry.id)
        for entry in flat(schema.inputs):
            if entry.io_type in ("INT", "FLOAT"):
                assert entry.min <= entry.default <= entry.max
            if entry.io_type == "COMBO" and hasattr(entry, "default"):
                assert entry.default in entry.options
        assert len({entry.id for entry in schema.inputs}) == len(schema.inputs)
    assert nodes["ManyView_Reconstruct"].define_schema().is_input_list
    assert "tiny.safetensors" in nodes["ManyView_LoadModel"].define_schema().inputs[0].options


def test_every_node_has_help(nodes: dict, root: Path) -> None:
    assert {path.stem for path in (root / "web" / "docs").glob("*.md")} == set(nodes)


def test_class_bases_are_what_the_managers_scanner_reads(nodes: dict, root: Path) -> None:
    pattern = re.compile(r"^class (\w+)\(io\.ComfyNode\):", re.MULTILINE)
    found = {name for path in (root / "nodes" / "comfyui").glob("*.py") for name in pattern.findall(path.read_text())}
    assert found == {node.__name__ for node in nodes.values()}


def test_inputs_are_those_of_the_functions(nodes: dict) -> None:
    for name, node in nodes.items():
        names = {entry.id for entry in node.define_schema().inputs}
        accepted = inspect.signature(NODES[name].run).parameters
        named = {key for key, value in accepted.items() if value.kind is value.KEYWORD_ONLY}
        assert named <= names and (
            named == names or any(value.kind is value.VAR_KEYWORD for value in accepted.values())
        )
        for key, value in accepted.items():
            if value.kind is value.KEYWORD_ONLY:
                entry = next(entry for entry in node.define_schema().inputs if entry.id == key)
                assert entry.optional == (value.default is None), (name, key)


def test_description_in_the_repository_is_up_to_date(fresh_nodes: dict) -> None:
    found = {name: node.define_schema().describe() for name, node in fresh_nodes.items()}
    text = json.dumps(found, indent=1) + "\n"
    assert FILE.read_text() == text, f"{FILE.name} is old: run python tests/nodes/write_object_info.py"


def test_fingerprints_exist_where_files_are_read(nodes: dict) -> None:
    assert {name for name, node in nodes.items() if hasattr(node, "fingerprint_inputs")} == {
        name for name, node in NODES.items() if node.fingerprint
    }
    assert {node for node, _ in LIVE_OPTIONS} <= set(NODES)


def test_graph_from_folder_to_files(nodes: dict, tmp_path: Path) -> None:
    (model,) = run(nodes["ManyView_LoadModel"], model="tiny.safetensors")
    views, images, masks, names = run(nodes["ManyView_LoadImages"], source="photos", model=model)
    assert images.shape == (3, 84, 112, 3) and images.dtype == torch.float32 and masks.shape == images.shape[:3]
    assert names.splitlines() == ["photo_0.jpg", "photo_1.jpg", "photo_2.jpg"]
    (sparsity,) = run(nodes["ManyView_Sparsity"])
    scene, depth, confidence, ply, extrinsics, intrinsics, camera, report = run_list(
        nodes["ManyView_Reconstruct"], model=[model], images=[views], sparsity=[sparsity]
    )
    assert depth.shape == confidence.shape == images.shape and depth.min() >= 0 and depth.max() <= 1
    assert extrinsics.shape == (3, 4, 4) and intrinsics.shape == (3, 3, 3) and camera["cameraType"] == "perspective"
    assert "3 frames" in report and isinstance(scene, dict) and ply.format == "ply"
    assert scene["original_sizes"].tolist() == [[80, 60], [80, 60], [60, 80]]
    points, ply = run(nodes["ManyView_PointCloud"], scene=scene, max_points=300)
    assert 200 < len(points["points"]) <= 300
    assert ply.format == "ply" and Path(ply.source).read_bytes().startswith(b"ply")
    for number in (1, 2):
        saved = nodes["ManyView_ExportPointCloud"].execute(
            scene=scene, points=points, **defaults(nodes["ManyView_ExportPointCloud"])
        )
        place = {"subfolder": f"manyview/scene_{number:05}_", "type": "output"}
        assert saved.ui["3d"] == [{"filename": name, **place} for name in ("thumbnail.png", "points.ply", "scene.glb")]
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
    views, images, *_ = run(nodes["ManyView_LoadImages"], source="photos", model=model)
    with pytest.raises(ValueError, match="connect one set alone"):
        run_list(nodes["ManyView_Reconstruct"], model=[model], images=[views, images])


def test_fingerprint_follows_the_folder(nodes: dict, tmp_path: Path) -> None:
    node = nodes["ManyView_LoadImages"]
    before = node.fingerprint_inputs(source="photos", limit=3)
    assert node.fingerprint_inputs(source="photos", limit=3) == before
    Image.new("RGB", (80, 60)).save(tmp_path / "input" / "photos" / "photo_9.png")
    assert node.fingerprint_inputs(source="photos", limit=3) != before
