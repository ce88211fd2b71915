"""Where a GPU is lent for a while, the network runs in the function that gets it, and nothing else does."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from manyview.demo import gpu
from manyview.demo.settings import IMAGES, RECONSTRUCT, defaults
from manyview.nodes.graph.host import FolderHost
from manyview.workflows.runner import call_node


def test_without_one_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert gpu.prepare() is call_node


def test_only_the_network_is_lent_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path) -> None:
    lent: list[tuple[Any, ...]] = []

    def decorator(duration: int) -> Any:
        assert duration == gpu.SECONDS

        def wrap(function: Any) -> Any:
            def run(*arguments: Any) -> Any:
                lent.append(arguments)
                return function(*arguments)

            return run

        return wrap

    monkeypatch.setitem(sys.modules, "spaces", types.SimpleNamespace(GPU=decorator))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    gpu.loaded_there.cache_clear()
    call = gpu.prepare()
    models = tmp_path / "models"
    models.mkdir()
    host = FolderHost(tmp_path, torch.device("cpu"), model_folder=models)
    (models / tiny_model.name).write_bytes(tiny_model.read_bytes())
    model = call("ManyView_LoadModel", host, {"model": tiny_model.name, "precision": "float32"}).outputs[0]
    assert not lent
    images = call_node("ManyView_LoadImages", host, images_of())
    options = {name: [value] for name, value in defaults(RECONSTRUCT).items()}
    scene = call("ManyView_Reconstruct", host, {"model": [model], "images": [images.outputs[0]], **options}).outputs[0]
    assert len(lent) == 1 and scene
    assert all(isinstance(part, str) for part in lent[0][:4]), "no model travels"


def images_of() -> dict[str, Any]:
    """Two photos of the sample, small."""
    return defaults(IMAGES, {"source": "sample scene of ManyView", "limit": 2, "resolution": 112})
