"""Points and files of a scene, in a host that is a plain folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from manyview.nodes.graph import output
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.packets import Packet, points_packet
from manyview.nodes.point_cloud import point_cloud


def test_point_cloud(host: FolderHost, scene: Packet) -> None:
    options = {"confidence_percentile": 50.0, "confidence_threshold": 0, "frames": "0", "max_points": 100}
    result = output.run_point_cloud(host, scene=scene, **options)
    points, ply = result.outputs
    assert 0 < len(points["points"]) <= 100 and set(points["frame"]) == {0}
    assert ply.stat().st_size > 100 and result.ui == {"text": [f"{len(points['points'])} points"]}


def test_export(host: FolderHost, scene: Packet) -> None:
    points = points_packet(point_cloud(output.scene_of(scene)))
    result = export(host, scene, points=points, ply=True, glb=True)
    assert result.outputs == (str(host.output_folder / "a" / "b_00001_"),)
    assert [each["filename"] for each in result.ui["3d"]] == ["thumbnail.png", "points.ply", "scene.glb"]
    assert result.ui["text"] == ["3 files in output/a/b_00001_"] and "images" not in result.ui
    assert result.ui["manyview_folder"] == ["a/b_00001_"] and result.ui["manyview_path"] == list(result.outputs)
    data = (host.output_folder / "a" / "b_00001_" / "scene.glb").read_bytes()
    length = int.from_bytes(data[12:16], "little")
    assert json.loads(data[20 : 20 + length])["asset"]["extras"] == dict(host.metadata)
    with pytest.raises(ValueError, match="switch on one of ply, glb, npz, preview"):
        export(host, scene)
    drawn = export(host, scene, preview=True)
    assert drawn.ui["images"][0]["subfolder"] == "a/b_00002_/preview" and len(drawn.ui["3d"]) == 1


def test_what_cannot_be_written_is_told_beside_what_was(
    host: FolderHost, scene: Packet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args, **options):
        raise OSError("the disk is full")

    monkeypatch.setattr("manyview.nodes.export.write_npz", full)
    result = export(host, scene, ply=True, npz=True)
    assert result.ui["text"][0].splitlines()[1:] == ["npz could not be written: the disk is full."]
    assert (Path(result.outputs[0]) / "points.ply").exists()
    with pytest.raises(OSError, match="the disk is full"):
        export(host, scene, npz=True)
    assert [path.name for path in (host.output_folder / "a").iterdir()] == ["b_00001_"]


def test_export_colmap_with_the_original_images(host: FolderHost, scene: Packet) -> None:
    originals = [torch.rand(2, 60, 80, 3), torch.rand(80, 60, 3)]
    options = {"filename_prefix": ["c"], "colmap_text": [True], "colmap_points": [50]}
    (folder,) = output.run_export_colmap(host, scene=[scene], images=originals, **options).outputs
    pictures = sorted((Path(folder) / "images").iterdir())
    found = [pixels(path) for path in pictures]
    assert [picture.shape for picture in found] == [(60, 80, 3), (60, 80, 3), (80, 60, 3)]
    np.testing.assert_array_equal(found[2], (originals[1].numpy() * 255).round().astype(np.uint8))
    assert (Path(folder) / "sparse" / "0" / "points3D.txt").exists()
    with pytest.raises(ValueError, match="2 images were given for a scene of 3 views"):
        output.run_export_colmap(host, scene=[scene], images=originals[:1], **options)
    with pytest.raises(ValueError, match="Image 3 is 80 x 60, but the scene was made from one of 60 x 80"):
        output.run_export_colmap(host, scene=[scene], images=[torch.rand(3, 60, 80, 3)], **options)
    points = points_packet(point_cloud(output.scene_of(scene), max_points=20))
    (folder,) = output.run_export_colmap(host, scene=[scene], points=[points], **options).outputs
    assert {path.suffix for path in (Path(folder) / "images").iterdir()} == {".jpg"}


def pixels(path: Path) -> np.ndarray:
    """What a picture file holds."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def export(host: FolderHost, scene: Packet, **chosen):
    """Export with everything off that is not chosen."""
    values = {"filename_prefix": "a/b", "cameras": True, **dict.fromkeys(output.POINT_FORMATS, False), **chosen}
    return output.run_export(host, scene=scene, **values)


def test_packets_tell_the_cache_what_they_weigh(scene: Packet) -> None:
    weighed = sum(tensor.numel() * tensor.element_size() for tensor in scene._comfy_cache_tensors())
    assert weighed >= scene["depth"].nbytes + scene["images"].nbytes
