"""The aggregator: what it keeps, what attention is told, and its symmetries."""

import pytest
import torch
from torch import nn

from manyview.models.aggregator import Aggregator, AggregatorConfig, stack_densities
from manyview.models.attention import TokenLayout, dense_attention
from manyview.models.dinov2 import EncoderConfig

CONFIG = AggregatorConfig(
    encoder=EncoderConfig(width=32, depth=1, heads=2, image_size=70), depth=3, heads=2, special_token_std=0.5
)
IMAGES = torch.rand(2, 3, 3, 28, 42, generator=torch.Generator().manual_seed(0))


def small_aggregator(global_attention=dense_attention) -> Aggregator:
    torch.manual_seed(0)
    aggregator = Aggregator(CONFIG, global_attention).eval()
    for name, parameter in aggregator.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
    return aggregator


def test_only_asked_layers_are_kept():
    output = small_aggregator()(IMAGES, (0, 2))
    assert sorted(output.kept) == [0, 2]
    assert output.kept[2].shape == (2, 3, 1 + 4 + 2 * 3, 64)
    assert output.density is None


def test_patch_tokens_can_be_given():
    aggregator = small_aggregator()
    patch_tokens = aggregator.encode(IMAGES, frame_chunk=2)
    assert patch_tokens.shape == (2, 3, 6, 32)
    given = aggregator(IMAGES, (2,), patch_tokens=patch_tokens).kept[2]
    torch.testing.assert_close(given, aggregator(IMAGES, (2,)).kept[2], rtol=1e-4, atol=1e-5)


def test_global_attention_is_told_layout_and_layer():
    calls = []

    def attend(query, key, value, layout, layer):
        calls.append((tuple(query.shape), layout, layer))
        density = torch.full(query.shape[:2], 0.25) if layer == 1 else None
        return dense_attention(query, key, value)[0], density

    output = small_aggregator(attend)(IMAGES, (2,))
    layout = TokenLayout(frames=3, special=5, height=2, width=3)
    assert calls == [((2, 2, 3 * layout.tokens_per_frame, 16), layout, layer) for layer in range(3)]
    assert output.density.shape == (3, 2, 2)
    assert output.density[:, 0, 0].tolist() == [1.0, 0.25, 1.0]
    torch.testing.assert_close(output.kept[2], small_aggregator()(IMAGES, (2,)).kept[2])
    assert stack_densities([None, None]) is None


def test_other_attention_has_the_same_weights():
    def attend(query, key, value, layout, layer):
        return value, None

    assert small_aggregator().state_dict().keys() == small_aggregator(attend).state_dict().keys()


def test_frames_after_the_first_are_interchangeable():
    aggregator = small_aggregator()
    plain = aggregator(IMAGES, (2,)).kept[2]
    swapped = aggregator(IMAGES[:, [0, 2, 1]], (2,)).kept[2]
    torch.testing.assert_close(swapped[:, [0, 2, 1]], plain, rtol=1e-4, atol=1e-5)
    other_world = aggregator(IMAGES[:, [1, 0, 2]], (2,)).kept[2]
    assert (other_world[:, [1, 0, 2]] - plain).abs().max() > 1e-2


def test_scenes_of_a_batch_are_independent():
    aggregator = small_aggregator()
    torch.testing.assert_close(
        aggregator(IMAGES, (2,)).kept[2][1:], aggregator(IMAGES[1:], (2,)).kept[2], rtol=1e-4, atol=1e-5
    )


def test_kept_halves_are_frame_then_global():
    def silent(query, key, value, layout, layer):
        return torch.zeros_like(value), None

    aggregator = small_aggregator(silent)
    for block in aggregator.global_blocks:
        nn.init.zeros_(block.ls1.gamma)
        nn.init.zeros_(block.ls2.gamma)
    inside, across = aggregator(IMAGES, (1,)).kept[1].chunk(2, dim=-1)
    assert torch.equal(inside, across)  # a global block that does nothing hands the frame block's tokens on


def test_progress_can_cancel():
    def cancel(stage, done, total):
        if (stage, done, total) == ("aggregator", 1, 6):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        small_aggregator()(IMAGES, (2,), progress=cancel)


def test_one_frame_and_sixteen_bits():
    aggregator = small_aggregator()
    exact = aggregator(IMAGES[:, :1], (2,)).kept[2]
    half = aggregator.to(torch.bfloat16)(IMAGES[:, :1], (2,)).kept[2]
    assert half.dtype == torch.float32  # of the residual stream
    assert (half - exact).norm() < 0.03 * exact.norm()
