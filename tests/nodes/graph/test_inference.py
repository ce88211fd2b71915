"""What the inference node does with the things that loaders give."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from manyview.models.checkpoints import load_model
from manyview.models.sparse import PRESETS
from manyview.nodes.graph import inference
from manyview.nodes.graph.host import FolderHost
from manyview.scene.reconstruction import Reconstruction

OPTIONS = {
    "limit": 0,
    "selection": "even",
    "resize": "keep",
    "resolution": 56,
    "point_source": "auto",
    "frame_chunk": 8,
    "backend": "auto",
}


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> dict:
    return {"loaded": load_model(tiny_model)}


@pytest.fixture
def host(tmp_path: Path) -> FolderHost:
    return FolderHost(tmp_path / "base", torch.device("cpu"))


def reconstruct(host: FolderHost, model: dict, images: list, **inputs):
    lists = {name: [value] for name, value in OPTIONS.items()}
    return inference.run_reconstruct(host, model=[model], images=images, **lists, **inputs)


def test_single_images_batches_and_videos_of_any_size_are_one_scene(host: FolderHost, model: dict) -> None:
    video = SimpleNamespace(get_components=lambda: SimpleNamespace(images=torch.rand(2, 30, 40, 3)))
    images = [torch.rand(1, 60, 80, 3), torch.rand(2, 40, 40, 3), video]
    scene, depth, *_ = reconstruct(host, model, images).outputs
    assert depth.shape == (5, 42, 56, 3) and len(scene["names"]) == 5
    assert scene["original_sizes"].tolist() == [[80, 60], [40, 40], [40, 40], [40, 30], [40, 30]]


def test_outputs(host: FolderHost, model: dict) -> None:
    steps = []
    host.on_progress = lambda *call: steps.append(call)
    result = reconstruct(host, model, [torch.rand(2, 60, 80, 3)], sparsity=[PRESETS["paper-s50"].to_dict()])
    scene, depth, confidence, ply, extrinsics, intrinsics, camera, report = result.outputs
    assert Reconstruction.from_dict(scene).settings["sparsity"]["rho"] == 0.5
    assert 0 <= depth.min() <= depth.max() <= 1
    np.testing.assert_allclose(confidence[..., 0], scene["confidence"])
    assert ply.read_bytes().startswith(b"ply") and ply.parent == host.temp_folder
    assert extrinsics.shape == (2, 4, 4) and intrinsics.shape == (2, 3, 3) and camera["fov"] > 0
    assert result.ui == {"text": [report]} and "% of all pairs" in report
    values = [done for _, done, _ in steps]
    assert values == sorted(values) and max(values) <= 1000


def test_masks_without_meaning_are_no_masks() -> None:
    assert inference.usable_masks(None) is None
    assert inference.usable_masks([torch.zeros(1, 64, 64), torch.zeros(2, 64, 64)]) is None
    real = [torch.zeros(1, 64, 64), torch.ones(1, 64, 64)]
    assert inference.usable_masks(real) is real
    assert inference.usable_masks([torch.zeros(1, 60, 80)]) is not None


def test_cancelling_leaves_nothing(host: FolderHost, model: dict) -> None:
    def cancel(stage: str, done: int, total: int) -> None:
        raise InterruptedError

    host.on_progress = cancel
    with pytest.raises(InterruptedError):
        reconstruct(host, model, [torch.rand(2, 60, 80, 3)])
    assert not any(host.temp_folder.iterdir())
