"""The main path: images and a model -> a Reconstruction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.models.checkpoints import load_model
from manyview.models.pi3 import Pi3, Pi3Config
from manyview.models.sparse import SparsityConfig
from manyview.nodes.load_images import collect_images, load_images
from manyview.nodes.reconstruct import patch_masks, peak_memory, reconstruct
from manyview.nodes.report import report_text
from manyview.nodes.stage_clock import StageClock


@pytest.fixture(scope="module")
def model(tiny_model: Path):
    return load_model(tiny_model)


@pytest.fixture(scope="module")
def pi3(tiny_pi3_config: Pi3Config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return load_model(Pi3(tiny_pi3_config).state_dict(), config=tiny_pi3_config)


def test_result_carries_what_led_to_it(model, photos: Path) -> None:
    calls = []
    images = load_images(photos, model=model)
    scene = reconstruct(model, images, frame_chunk=2, progress=lambda *call: calls.append(call))
    assert scene.depth.shape == (3, 84, 112) and np.isfinite(scene.depth).all()
    assert scene.model == "tiny.safetensors" and scene.names == images.names and scene.point_source == "depth"
    assert scene.settings | {"tokens": 0} == {
        "point_source": "depth",
        "frame_chunk": 2,
        "maps_on_cpu": False,
        "tokens": 0,
        "precision": "float32",
        "device": "cpu",
        "sparsity": None,
        "skip_masked": False,
        "attention": "dense",
    }
    assert scene.settings["tokens"] == 3 * (48 + 5)
    assert list(scene.timings) == ["encoder", "aggregator", "camera", "depth", "scene"]
    assert [call for call in calls if call[0] == "depth"] == [("depth", 0, 3), ("depth", 2, 3)]
    assert scene.peak_memory_bytes > 1e7
    assert "3 frames of 112 x 84 pixels, 159 tokens" in report_text(scene)


def test_chunks_change_nothing(model, photos: Path) -> None:
    images = load_images(photos, model=model)
    one, all_at_once = (reconstruct(model, images, frame_chunk=chunk) for chunk in (1, 8))
    np.testing.assert_allclose(one.depth, all_at_once.depth, rtol=1e-4)


def test_little_memory_changes_nothing(model, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = load_images(photos, model=model)
    plenty = reconstruct(model, images, free_bytes=10**15)
    little = reconstruct(model, images, free_bytes=10**6)
    assert plenty.settings["frame_chunk"] == 8 and little.settings["frame_chunk"] == 1
    np.testing.assert_allclose(little.depth, plenty.depth, rtol=1e-4)
    run, asked = model.model.forward, []

    def narrow(pixels: torch.Tensor, **options: object) -> object:
        asked.append((options["frame_chunk"], options.get("maps")))
        if len(asked) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(pixels, **options)

    monkeypatch.setattr(type(model.network), "can_move_maps", True)
    monkeypatch.setattr(model.model, "forward", narrow)
    again = reconstruct(model, images, free_bytes=10**15)
    assert asked == [(8, None), (1, "cpu")]
    assert again.settings["maps_on_cpu"] and again.settings["frame_chunk"] == 1
    np.testing.assert_allclose(again.depth, plenty.depth, rtol=1e-4)


def test_points_of_the_point_head(model, photos: Path) -> None:
    images = load_images(photos, model=model)
    assert reconstruct(model, images).world_points is None
    scene = reconstruct(model, images, point_source="points")
    np.testing.assert_array_equal(scene.points(), scene.world_points)


def test_pi3(pi3, photos: Path) -> None:
    scene = reconstruct(pi3, load_images(photos, model=pi3))
    assert scene.point_source == "points" and scene.model == "pi3"
    assert scene.settings["tokens"] == 3 * (48 + 5)
    by_depth = reconstruct(pi3, load_images(photos, model=pi3), point_source="depth")
    assert by_depth.point_source == "depth"


def test_progress_may_cancel(model, photos: Path) -> None:
    def cancel(stage: str, done: int, total: int) -> None:
        if stage == "aggregator":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        reconstruct(model, load_images(photos, model=model), progress=cancel)


@pytest.mark.parametrize(
    ("options", "words"), [({"point_source": "x"}, "auto, depth"), ({"frame_chunk": 0}, "at least 1")]
)
def test_wrong_options(model, photos: Path, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        reconstruct(model, load_images(photos, model=model), **options)


SPARSE = SparsityConfig(method="manyview", rho=0.03, query_block=8, key_block=4, score_block=4, order="bands")


def test_what_masks_leave_out_is_not_looked_at(model, photos: Path) -> None:
    """A patch with one used pixel counts; fewer pairs are computed."""
    images = load_images(photos, model=model)
    masks = np.zeros(images.images.shape[:3], bool)
    masks[:, :28, :28] = masks[:, 41, 111] = True
    found = patch_masks(replace(images, masks=masks), model)
    assert found.shape == (3, 6, 8) and found.sum() == 3 * 5 and found[:, :2, :2].all() and found[:, 2, 7].all()
    scene = reconstruct(model, replace(images, masks=masks), sparsity=SPARSE, skip_masked=True)
    assert scene.settings["skip_masked"] and scene.density.mean() < 0.6
    plain = reconstruct(model, replace(images, masks=masks), sparsity=SPARSE)
    assert not plain.settings["skip_masked"] and plain.density.mean() > 0.9


def test_masks_that_leave_everything_in_change_nothing(model, photos: Path) -> None:
    images = load_images(photos, model=model)
    everything = replace(images, masks=np.ones(images.images.shape[:3], bool))
    one = reconstruct(model, everything, sparsity=SPARSE, skip_masked=True)
    other = reconstruct(model, replace(images, masks=None), sparsity=SPARSE, skip_masked=True)
    assert np.array_equal(one.depth, other.depth)
    assert np.array_equal(one.world_to_camera, other.world_to_camera)
    assert not other.settings["skip_masked"]


def test_masks_that_leave_nothing_are_refused(model, photos: Path) -> None:
    images = load_images(photos, model=model)
    nothing = replace(images, masks=np.zeros(images.images.shape[:3], bool))
    with pytest.raises(ValueError, match="white means use"):
        reconstruct(model, nothing, sparsity=SPARSE, skip_masked=True)


def test_resolution_is_the_models_own_unless_given(model, photos: Path) -> None:
    assert load_images(photos).images.shape[1:3] == (392, 518)
    assert load_images(photos, model=model).images.shape[1:3] == (84, 112)
    assert load_images(photos, model=model, resolution=56).images.shape[1:3] == (42, 56)


def test_collected_batches_keep_their_order() -> None:
    batches = [torch.full((2, 28, 28, 3), 0.25), torch.full((28, 28, 3), 0.75)]
    images = collect_images(batches, resolution=28)
    assert images.images[:, 0, 0, 0].tolist() == [64, 64, 191]


def test_stage_clock_books_every_second_once() -> None:
    clock = StageClock(torch.device("cpu"))
    clock("a", 0, 2)
    clock("a", 1, 2)
    clock("b", 0, 1)
    clock.enter(None)
    assert list(clock.seconds) == ["a", "b"] and all(value >= 0 for value in clock.seconds.values())
    assert peak_memory(torch.device("cpu")) > 1e7
