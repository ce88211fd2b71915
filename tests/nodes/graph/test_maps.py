"""Depth maps for other nodes and programs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.models.geometry import unproject_depth
from manyview.nodes.graph import maps
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.packets import Packet, scene_of

NO_FILES = {"files": maps.NO_FILES}


def run(host: FolderHost, scene: Packet, style: str = "near is white", scale: str = "whole scene", files=NO_FILES):
    return maps.run_depth_maps(host, scene=scene, style=style, scale=scale, files=files)


def test_near_is_white_and_far_is_its_negative(host: FolderHost, scene: Packet) -> None:
    near, confidence, masks, _, folder = run(host, scene).outputs
    far = run(host, scene, "far is white").outputs[0]
    assert near.shape == confidence.shape == (3, 84, 112, 3) and folder == ""
    np.testing.assert_allclose(near + far, 1, atol=1e-6)
    flat, depth = near[0, ..., 0].flatten(), torch.from_numpy(scene["depth"][0]).flatten()
    assert (flat[depth.argsort()].diff() <= 1e-6).all()
    np.testing.assert_array_equal(masks[0], torch.from_numpy(scene_of(scene).usable(0)).float())
    assert masks[2].min() == 0  # the upright photo has borders


def test_scale_of_each_view_uses_the_whole_range_everywhere(host: FolderHost, scene: Packet) -> None:
    scene["depth"] = scene["depth"] * np.array([1, 1, 50], np.float32)[:, None, None]
    whole, each = (run(host, scene, scale=scale).outputs[0] for scale in maps.SCALES)
    assert each[2].max() > 0.99 and whole[2].max() < 0.5


def test_colours_and_scene_units(host: FolderHost, scene: Packet) -> None:
    depth, confidence, *_ = run(host, scene, "colours").outputs
    assert (depth[..., 0] != depth[..., 2]).any() and (confidence[..., 0] != confidence[..., 2]).any()
    units = run(host, scene, "scene units").outputs[0]
    usable = scene_of(scene).usable(0)
    np.testing.assert_array_equal(units[0, ..., 0].numpy()[usable], scene["depth"][0][usable])
    assert (units[2].numpy()[~scene_of(scene).usable(2)] == 0).all()
    with pytest.raises(ValueError, match="style and scale must be"):
        run(host, scene, "inverted")


def test_files_go_into_a_new_folder(host: FolderHost, scene: Packet) -> None:
    result = run(host, scene, files={"files": "npy", "filename_prefix": "d/x"})
    folder = Path(result.outputs[-1])
    assert folder == host.output_folder / "d" / "x_00001_" and "3 depth maps" in result.ui["text"][0]
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".npy", ".npy", ".npy"]


def test_geometry_gives_the_same_points_as_the_scene(host: FolderHost, scene: Packet) -> None:
    packet = run(host, scene).outputs[3]
    assert packet["mode"] == "multiview" and packet["image"].shape == (3, 84, 112, 3)
    assert packet["extrinsics"].shape == (1, 3, 3, 4) and packet["intrinsics"].shape == (1, 3, 3, 3)
    found = unproject_depth(  # as core does it: pixels counted from the first one's centre
        packet["depth"].double(), packet["extrinsics"][0].double(), packet["intrinsics"][0].double(), 0.0
    )
    np.testing.assert_allclose(found, scene_of(scene).points(), rtol=1e-3, atol=1e-3)
    usable = scene_of(scene).usable(2)
    assert (packet["confidence"][2].numpy()[~usable] == 0).all() and packet["confidence"][2].max() > 0
