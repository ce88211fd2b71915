"""Where one patch looks."""

import numpy as np
import pytest
import torch

from manyview.models.checkpoints import load_model
from manyview.models.sparse import PRESETS
from manyview.nodes.attention_map import attention_map, attention_pictures, patch_at
from manyview.nodes.density_picture import density_picture


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_model(tiny_model)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (3, 84, 112, 3), dtype=np.uint8)


def test_attention_is_a_share_of_one_and_the_pass_ends_with_the_layer(model, images: np.ndarray) -> None:
    calls = []
    found = attention_map(model, images, frame=1, x=0.99, y=1.0, layer=1, progress=lambda *call: calls.append(call))
    assert found.shape == (3, 6, 8) and found.dtype == np.float32
    assert (found >= 0).all() and 0.5 < found.sum() < 1  # special tokens have the rest
    assert {call[0] for call in calls} == {"encoder", "aggregator"}
    assert max(done for stage, done, _ in calls if stage == "aggregator") == 3  # blocks 2 and 3 are layer 1


def test_layer_left_out_is_two_thirds_of_the_way(model, images: np.ndarray) -> None:
    np.testing.assert_array_equal(attention_map(model, images), attention_map(model, images, layer=2))
    assert (attention_map(model, images, layer=3) != attention_map(model, images, layer=2)).any()


def test_sparse_attention_leaves_out_what_it_does_not_compute(model, images: np.ndarray) -> None:
    from dataclasses import replace

    config = replace(PRESETS["paper-s75"], query_block=8, key_block=4)
    found = attention_map(model, images, layer=2, sparsity=config)
    assert 0 < (found == 0).mean() < 1


@pytest.mark.parametrize(
    ("options", "words"),
    [({"layer": 4}, "0 to 3"), ({"frame": 3}, "0 to 2"), ({"x": 1.5}, "from 0 to 1"), ({"y": -1}, "from 0 to 1")],
)
def test_places_that_are_not_there(model, images: np.ndarray, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        attention_map(model, images, **options)


def test_patch_of_a_place(model) -> None:
    assert patch_at(model, (84, 112), 0, 0) == (0, 0)
    assert patch_at(model, (84, 112), 1, 1) == (5, 7)
    assert patch_at(model, (84, 112), 0.5, 0.2) == (1, 4)


def test_pictures_glow_where_attention_is_and_mark_the_patch(images: np.ndarray) -> None:
    attention = np.zeros((3, 6, 8), np.float32)
    attention[2, 1, 6] = 0.5
    pictures = attention_pictures(images, attention, 0, 0.1, 0.1)
    assert pictures.shape == images.shape and pictures.dtype == np.uint8
    bright = pictures[2].astype(int).sum(-1)
    assert np.unravel_index(bright.argmax(), bright.shape)[0] // 14 == 1
    green = (pictures == (60, 255, 120)).all(-1)
    assert green[0].any() and not green[1:].any()


def test_density_picture_is_dark_where_much_is_computed() -> None:
    density = np.zeros((3, 4), np.float32)
    density[1] = 1
    picture = density_picture(density).astype(int)
    rows = picture[:, 64 : 64 + 4 * 28].sum((1, 2))
    assert rows[66 + 28 + 5] < rows[66 + 5]
    assert density_picture(np.ones((24, 16), np.float32)).shape[0] > 24 * 20


def test_one_pass_is_enough(model, images: np.ndarray) -> None:
    with torch.no_grad():
        assert attention_map(model, images, check=lambda: None).shape == (3, 6, 8)
