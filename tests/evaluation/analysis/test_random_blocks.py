"""Random blocks: everything at rho 0, special tokens exact, the density asked for, the same draw again."""

import pytest
import torch

from manyview.evaluation.analysis.random_blocks import RandomBlocks
from manyview.models.attention import TokenLayout, dense_attention

LAYOUT = TokenLayout(frames=4, special=2, height=8, width=8)


def qkv() -> tuple[torch.Tensor, ...]:
    tokens = LAYOUT.frames * LAYOUT.tokens_per_frame
    return torch.randn(3, 1, 2, tokens, 16, generator=torch.Generator().manual_seed(0)).unbind(0)


def test_nothing_left_out_is_dense() -> None:
    out, density = RandomBlocks(0.0)(*qkv(), LAYOUT, 0)
    torch.testing.assert_close(out, dense_attention(*qkv())[0])
    assert density is None


def test_special_queries_and_density() -> None:
    out, density = RandomBlocks(0.5, 32, 16)(*qkv(), LAYOUT, 3)
    special = torch.arange(out.shape[2]) % LAYOUT.tokens_per_frame < LAYOUT.special
    dense = dense_attention(*qkv())[0]
    torch.testing.assert_close(out[:, :, special], dense[:, :, special])
    assert not torch.allclose(out[:, :, ~special], dense[:, :, ~special], atol=1e-3)
    patches, specials, tokens = 256, 8, 264
    expected = (patches * (patches / 2 + specials) + specials * tokens) / tokens**2
    torch.testing.assert_close(density, torch.full((1, 2), expected))


def test_draws_repeat_and_differ_by_layer() -> None:
    first, again, other = (RandomBlocks(0.5, 32, 16)(*qkv(), LAYOUT, layer)[0] for layer in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, other, atol=1e-3)
    with pytest.raises(ValueError, match="from 0 to 1"):
        RandomBlocks(1.5)
