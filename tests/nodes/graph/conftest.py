"""A host that is a plain folder, and a scene."""

from pathlib import Path

import pytest
import torch

from manyview.models.checkpoints import load_model
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.packets import Packet, scene_packet
from manyview.nodes.load_images import load_images
from manyview.nodes.reconstruct import reconstruct


@pytest.fixture
def host(tmp_path: Path) -> FolderHost:
    return FolderHost(tmp_path / "base", torch.device("cpu"), metadata={"workflow": {"nodes": []}, "prompt": {}})


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> dict:
    """What Load Model gives."""
    return {"loaded": load_model(tiny_model)}


@pytest.fixture
def scene(model: dict, photos: Path) -> Packet:
    """What Sparse VGGT Inference gives for three photos, one of them upright."""
    loaded = model["loaded"]
    return scene_packet(reconstruct(loaded, load_images(photos, model=loaded)))
