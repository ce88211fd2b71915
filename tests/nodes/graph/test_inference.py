"""What the inference node does with the things that loaders give."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from manyview.models.sparse import PRESETS
from manyview.nodes.graph import inference
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.loading import run_load_images
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


def reconstruct(host: FolderHost, model: dict, images: list, **inputs):
    lists = {name: [value] for name, value in OPTIONS.items()} | inputs
    return inference.run_reconstruct(host, model=[model], images=images, **lists)


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


def test_a_temp_folder_that_cannot_be_written_is_told_before_the_work(
    host: FolderHost, model: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "reconstruct", lambda *args, **options: pytest.fail("the network ran"))
    monkeypatch.setattr(inference, "temporary", lambda host, ending: host.temp_folder / "gone" / f"x{ending}")
    with pytest.raises(FileNotFoundError):
        reconstruct(host, model, [torch.rand(2, 60, 80, 3)])


def test_limit_takes_evenly_from_images_masks_and_views(host: FolderHost, model: dict, photos: Path) -> None:
    batch = torch.linspace(0, 1, 5)[:, None, None, None].expand(5, 42, 56, 3)
    masks = [torch.ones(3, 42, 56), torch.zeros(2, 42, 56)]
    scene, *_ = reconstruct(host, model, [batch], masks=masks, limit=[3], selection=["even"]).outputs
    assert scene["images"][:, 0, 0, 0].tolist() == [0, 128, 255] and scene["masks"].all(axis=(1, 2)).tolist()[0]
    assert not scene["masks"][2].any()
    photos.rename(host.input_folder / "photos")
    views, *_ = run_load_images(host, source="photos", resolution=56).outputs
    scene, *_ = reconstruct(host, model, [views], limit=[2], selection=["even"]).outputs
    assert scene["names"] == ["photo_0.jpg", "photo_2.jpg"] and scene["paths"][1].endswith("photo_2.jpg")
    with pytest.raises(ValueError, match="4 masks were given for 5 images"):
        reconstruct(host, model, [batch], masks=[torch.ones(4, 42, 56)])


def test_out_of_memory_says_what_would_fit(host: FolderHost, model: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    freed = []

    def fail(*args, **options):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(inference, "reconstruct", fail)
    monkeypatch.setattr(host, "free_bytes", lambda: 10**6, raising=False)
    monkeypatch.setattr(host, "free_memory", lambda: freed.append(True), raising=False)
    with pytest.raises(torch.OutOfMemoryError, match=r"2 views of 56 x 42 pixels need .* What should fit: ") as caught:
        reconstruct(host, model, [torch.rand(2, 60, 80, 3)])
    assert freed and caught.value.__context__ is None  # nothing keeps the failed run's tensors alive
    monkeypatch.setattr(inference, "reconstruct", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        reconstruct(host, model, [torch.rand(2, 60, 80, 3)])
    monkeypatch.setattr(inference, "reconstruct", lambda *args, **options: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        reconstruct(host, model, [torch.rand(2, 60, 80, 3)])
