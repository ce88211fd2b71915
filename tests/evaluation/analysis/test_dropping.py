"""Layers left out: which ones, and that nothing else changes."""

import pytest
import torch

from manyview.evaluation.analysis.dropping import WithoutLayers, chosen_layers, global_blocks, without_layers
from manyview.models.checkpoints import load_model
from manyview.models.dinov2 import EncoderConfig
from manyview.models.pi3 import Pi3, Pi3Config


@pytest.mark.parametrize(
    ("place", "count", "layers"),
    [
        ("front", 2, [0, 1]),
        ("back", 2, [5, 6]),
        ("both", 3, [0, 1, 6]),
        ("both", 2, [0, 6]),
        ("middle", 1, [3]),
        ("middle", 3, [2, 3, 4]),
        ("middle", 2, [2, 3]),
        ("both", 7, [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_chosen_layers(place: str, count: int, layers: list[int]) -> None:
    assert sorted(chosen_layers(place, count, 7)) == layers
    assert chosen_layers(place, 0, 7) == []


def test_impossible_choices() -> None:
    with pytest.raises(ValueError, match="front, back"):
        chosen_layers("top", 1, 7)
    with pytest.raises(ValueError, match="From 0 to 7"):
        chosen_layers("front", 8, 7)


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 28, 42, generator=torch.Generator().manual_seed(0))


def test_a_model_without_global_layers_sees_each_frame_alone(tiny_model) -> None:
    model = load_model(tiny_model).model
    one, two = images(), images()
    two[2] = 0.5  # another last frame
    whole = model(one).depth
    with without_layers(model, range(4)):
        alone = model(one).depth, model(two).depth
    assert torch.equal(alone[0][:, :2], alone[1][:, :2])
    assert not torch.equal(alone[0], whole)
    assert not torch.equal(model(one).depth[:, :2], model(two).depth[:, :2])
    torch.testing.assert_close(model(one).depth, whole)  # the hooks are gone


def test_pi3_blocks() -> None:
    encoder = EncoderConfig(width=32, depth=1, heads=2, image_size=56)
    small = {"head_width": 32, "head_heads": 2, "head_depth": 1, "camera_width": 32}
    model = Pi3(Pi3Config(encoder=encoder, depth=4, heads=2, **small)).eval()
    assert global_blocks(model) == [model.decoder[1], model.decoder[3]]
    with without_layers(model, [0, 1]):
        assert model(images(2)).points.shape == (1, 2, 28, 42, 3)


def test_as_a_method(tiny_model) -> None:
    loaded = load_model(tiny_model)
    method = WithoutLayers(loaded, "middle", 2)
    assert method.layers == [1, 2] and method.settings()["dropped_layers"] == [1, 2]
    assert method.baseline == WithoutLayers(loaded, "middle", 0).name
    changed = method.predict(images()).depth
    assert (changed != WithoutLayers(loaded, "middle", 0).predict(images()).depth).any()
