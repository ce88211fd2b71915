"""Images that were loaded for one size are read again for the model that runs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.models.checkpoints import LoadedModel
from manyview.nodes.graph.host import FolderHost
from manyview.nodes.graph.inference import run_reconstruct
from manyview.nodes.graph.loading import run_load_images
from manyview.nodes.load_images import collect_images, for_model, load_images
from manyview.nodes.load_model import load_model
from manyview.nodes.reconstruct import reconstruct
from manyview.scene.images import ImageSet, take_views

ARRAYS = ("images", "original_sizes", "scale_offset")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> LoadedModel:
    return load_model(str(tiny_model), device="cpu")


def same(one: ImageSet, other: ImageSet) -> bool:
    """Whether two sets hold the same images of the same files, in the same size."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS) and (
        (one.names, one.paths) == (other.names, other.paths)
    )


@pytest.mark.parametrize("resize", ["keep", "crop", "pad", "square"])
def test_without_a_model_they_get_the_size_of_the_one_that_runs(photos: Path, model: LoadedModel, resize: str) -> None:
    plain = load_images(photos, resize=resize)
    wired = load_images(photos, resize=resize, model=model)
    assert max(plain.images.shape[1:3]) == 518 and max(wired.images.shape[1:3]) == 112
    assert same(for_model(plain, model), wired) and for_model(wired, model) is wired
    assert same(for_model(take_views(plain, [2, 0]), model), take_views(wired, [2, 0]))


def test_a_scene_is_the_same_with_and_without_a_wire(photos: Path, model: LoadedModel) -> None:
    scenes = [reconstruct(model, load_images(photos, model=given)) for given in (None, model)]
    np.testing.assert_array_equal(scenes[0].depth, scenes[1].depth)
    np.testing.assert_array_equal(scenes[0].original_intrinsics(), scenes[1].original_intrinsics())
    np.testing.assert_array_equal(scenes[0].original_sizes, scenes[1].original_sizes)


def test_what_was_asked_for_stays(photos: Path, model: LoadedModel) -> None:
    asked = load_images(photos, resolution=56)
    assert for_model(asked, model) is asked
    assert same(for_model(asked, model, resolution=84), load_images(photos, resolution=84))
    assert same(for_model(asked, model, resize="square"), load_images(photos, resolution=56, resize="square"))
    assert same(for_model(asked, model, resize="pi3"), load_images(photos, resize="pi3"))
    with pytest.raises(ValueError, match="multiple of the patch size 14"):
        for_model(asked, model, resolution=100)
    arrays = collect_images([torch.rand(2, 56, 56, 3)], resolution=56)
    assert for_model(arrays, model) is arrays


def test_files_that_are_gone_leave_what_there_is_and_a_note(photos: Path, model: LoadedModel) -> None:
    plain = load_images(photos)
    (photos / "photo_1.jpg").unlink()
    kept = for_model(plain, model)
    assert kept.images is plain.images and "note: The images stay at 518 x 392 pixels" in kept.notes[0]
    for path in photos.iterdir():
        path.unlink()
    assert "cannot be read again: The folder" in for_model(plain, model).notes[0]


def test_nodes_need_no_wire_from_model_to_images(photos: Path, tmp_path: Path, model: LoadedModel) -> None:
    host = FolderHost(tmp_path / "base", torch.device("cpu"))
    photos.rename(host.input_folder / "photos")
    views, *_ = run_load_images(host, source="photos").outputs
    usual = {"limit": 0, "selection": "first", "resize": "keep", "resolution": 0, "frame_chunk": 8}

    def size(**chosen) -> tuple[int, ...]:
        lists = {name: [value] for name, value in {**usual, **chosen}.items()}
        scene = run_reconstruct(host, model=[{"loaded": model}], images=[views], **lists).outputs[0]
        return scene["depth"].shape

    assert size() == (3, 84, 112)
    assert size(resolution=56, limit=2) == (2, 42, 56)
    assert size(resize="square") == (3, 112, 112)
    lists = {name: [value] for name, value in usual.items()}
    masks = [torch.ones(3, 40, 40)]
    report = run_reconstruct(host, model=[{"loaded": model}], images=[views], masks=masks, **lists).outputs[-1]
    assert "note: Masks were connected beside views of Load Images" in report
