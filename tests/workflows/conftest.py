"""A small graph that runs in a blink, and a host to run it on."""

import shutil
from pathlib import Path

import pytest
import torch

from manyview.nodes.graph.host import FolderHost
from manyview.workflows.definitions import Kinds, kinds
from manyview.workflows.graph import Graph, Link, Node


@pytest.fixture(scope="session")
def known() -> Kinds:
    return kinds()


@pytest.fixture
def host(tmp_path: Path, tiny_model: Path, photos: Path) -> FolderHost:
    """Photos in the input folder's `photos` and a tiny model."""
    host = FolderHost(tmp_path / "base", torch.device("cpu"))
    shutil.copy(tiny_model, host.model_folder / "tiny.safetensors")
    photos.rename(host.input_folder / "photos")
    return host


@pytest.fixture
def graph() -> Graph:
    """Photos to files; the values that are not given are defaults."""
    return {
        "1": Node("ManyView_LoadModel", {"model": "tiny.safetensors"}),
        "2": Node("ManyView_LoadImages", {"source": "photos", "resolution": 112, "model": Link("1", 0)}),
        "3": Node("ManyView_Sparsity", {"method": "custom", "method.rho": 0.5, "method.min_tokens": 1}),
        "4": Node("ManyView_Reconstruct", {"model": Link("1", 0), "images": Link("2", 0), "sparsity": Link("3", 0)}),
        "5": Node("ManyView_PointCloud", {"scene": Link("4", 0), "confidence_percentile": 20}),
        "6": Node("ManyView_Preview", {"scene": Link("4", 0), "points": Link("5", 0)}),
        "7": Node("ManyView_ExportPointCloud", {"scene": Link("4", 0), "points": Link("5", 0)}),
    }
