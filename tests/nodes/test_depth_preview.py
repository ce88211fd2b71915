"""Pictures of depth while the network works."""

from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.models.checkpoints import load_model
from manyview.models.pi3 import Pi3
from manyview.nodes.depth_preview import depth_picture
from manyview.nodes.load_images import load_images
from manyview.nodes.reconstruct import reconstruct


def test_one_picture_for_each_part(tiny_model: Path, photos: Path) -> None:
    model, pictures = load_model(tiny_model), []
    scene = reconstruct(model, load_images(photos, model=model), frame_chunk=2, show=pictures.append)
    assert [picture.shape for picture in pictures] == [(84, 112, 3)] * 2
    np.testing.assert_array_equal(pictures[-1], depth_picture(torch.from_numpy(scene.depth[2])))


def test_pi3(tiny_pi3_config, photos: Path) -> None:
    model = load_model(Pi3(tiny_pi3_config).state_dict(), config=tiny_pi3_config)
    pictures = []
    scene = reconstruct(model, load_images(photos, model=model), show=pictures.append)
    np.testing.assert_array_equal(pictures[0], depth_picture(torch.from_numpy(scene.depth[2])))


def test_model_without_depth_head_shows_nothing(photos: Path, tiny_model: Path) -> None:
    whole = load_model(tiny_model)
    state = {name: value for name, value in whole.model.state_dict().items() if not name.startswith("depth_head")}
    model = load_model(state, config=whole.model.config)
    assert model.model.depth_head is None
    from manyview.nodes.depth_preview import depth_previews

    with depth_previews(model, lambda picture: pytest.fail("nothing to show")):
        pass


def test_near_is_light_and_one_depth_is_no_error() -> None:
    picture = depth_picture(torch.tensor([[1.0, 2.0], [4.0, 8.0]])).astype(int).sum(-1)
    assert picture[0, 0] > picture[0, 1] > picture[1, 0] > picture[1, 1]
    assert depth_picture(torch.ones(2, 2)).shape == (2, 2, 3)
