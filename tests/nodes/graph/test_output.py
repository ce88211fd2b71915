"""Points and files of a scene, in a host that is a plain folder."""

import json
from pathlib import Path

import pytest
import torch

from manyview.models.checkpoints import load_model
from manyview.nodes.graph import output
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.packets import Packet, points_packet, scene_packet
from manyview.nodes.load_images import load_images
from manyview.nodes.point_cloud import point_cloud
from manyview.nodes.reconstruct import reconstruct


@pytest.fixture
def host(tmp_path: Path) -> FolderHost:
    return FolderHost(tmp_path / "base", torch.device("cpu"), metadata={"workflow": {"nodes": []}, "prompt": {}})


@pytest.fixture
def scene(tiny_model: Path, photos: Path) -> Packet:
    model = load_model(tiny_model)
    return scene_packet(reconstruct(model, load_images(photos, model=model)))


def test_point_cloud(host: FolderHost, scene: Packet) -> None:
    options = {"confidence_percentile": 50.0, "confidence_threshold": 0, "frames": "0", "max_points": 100}
    result = output.run_point_cloud(host, scene=scene, **options)
    points, ply = result.outputs
    assert 0 < len(points["points"]) <= 100 and set(points["frame"]) == {0}
    assert ply.stat().st_size > 100 and result.ui == {"text": [f"{len(points['points'])} points"]}


def test_export(host: FolderHost, scene: Packet) -> None:
    points = points_packet(point_cloud(output.scene_of(scene)))
    result = output.run_export(host, scene=scene, points=points, filename_prefix="a/b", ply=True, glb=True, npz=False)
    assert result.outputs == ()
    assert [each["filename"] for each in result.ui["3d"]] == ["points.ply", "scene.glb"]
    data = (host.output_folder / "a" / "b_00001_" / "scene.glb").read_bytes()
    length = int.from_bytes(data[12:16], "little")
    assert json.loads(data[20 : 20 + length])["asset"]["extras"] == dict(host.metadata)
    with pytest.raises(ValueError, match="formats must be some of"):
        output.run_export(host, scene=scene, points=points, filename_prefix="a/b", ply=False)


def test_packets_tell_the_cache_what_they_weigh(scene: Packet) -> None:
    weighed = sum(tensor.numel() * tensor.element_size() for tensor in scene._comfy_cache_tensors())
    assert weighed >= scene["depth"].nbytes + scene["images"].nbytes
