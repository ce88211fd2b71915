"""Inference in place against the plain block."""

import pytest
import torch
from torch import nn

from manyview.models import lean
from manyview.models.attention import TokenLayout, dense_attention
from manyview.models.layers import Block
from manyview.models.rope import rope_table

LAYOUT = TokenLayout(frames=3, special=2, height=2, width=3)


def random_block(**options: object) -> Block:
    torch.manual_seed(0)
    block = Block(32, 2, **options)
    for parameter in block.parameters():
        nn.init.normal_(parameter, mean=0.2, std=0.3)
    return block.eval().requires_grad_(False)


@pytest.mark.parametrize("options", [{"qk_norm": True, "layer_scale": 0.5}, {"layer_scale": 0.5}, {}])
@pytest.mark.parametrize("at_once", [4, 10**6])
@pytest.mark.parametrize("turned", [True, False])
def test_equals_the_plain_block(
    options: dict[str, object], at_once: int, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean, "TOKENS_AT_ONCE", at_once)
    block = random_block(**options)
    rope = rope_table(LAYOUT, 16, torch.device("cpu"), torch.float32) if turned else None
    x = torch.randn(4, LAYOUT.tokens_per_frame, 32)
    expected, _ = block(x, rope)
    with torch.no_grad():
        held = x.clone()
        out, density = block(held, rope, overwrite=True)
    assert out.data_ptr() == held.data_ptr() and density is None
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_attention_over_all_frames_sees_all_tokens_at_once_and_its_density_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lean, "TOKENS_AT_ONCE", 5)
    block = random_block(qk_norm=True, layer_scale=0.5)
    seen = []

    def attend(query, key, value, layout, layer):
        seen.append((query.shape, layout, layer))
        return dense_attention(query, key, value)[0], torch.full(query.shape[:2], 0.5)

    rope = rope_table(LAYOUT, 16, torch.device("cpu"), torch.float32)
    x = torch.randn(2, 3 * LAYOUT.tokens_per_frame, 32)
    expected, _ = block(x, rope, attend, LAYOUT, 3)
    with torch.inference_mode():
        out, density = block(x.clone(), rope, attend, LAYOUT, 3, overwrite=True)
    assert seen == [((2, 2, 24, 16), LAYOUT, 3)] * 2 and density.shape == (2, 2)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_nothing_is_overwritten_where_gradients_are_wanted_or_nobody_allowed_it() -> None:
    block = random_block()
    x = torch.randn(1, 8, 32)
    held = x.clone().requires_grad_()
    out, _ = block(held, overwrite=True)
    out.sum().backward()
    assert torch.equal(held, x) and held.grad is not None
    with torch.no_grad():
        block(x)
    assert torch.equal(held, x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_weights_keep_a_float32_stream(dtype: torch.dtype) -> None:
    block = random_block(qk_norm=True, layer_scale=0.5)
    x = torch.randn(1, 8, 32)
    rope = rope_table(TokenLayout(1, 2, 2, 3), 16, x.device, x.dtype)
    exact, _ = block(x, rope)
    with torch.no_grad():
        out, _ = block.to(dtype)(x.clone(), rope, overwrite=True)
    assert out.dtype == torch.float32
    assert (out - exact).norm() < 0.03 * (exact - x).norm()
