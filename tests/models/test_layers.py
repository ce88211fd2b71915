"""The transformer block: precision, exchangeable attention, compilation."""

import pytest
import torch
from torch import nn

from manyview.models.attention import TokenLayout, dense_attention
from manyview.models.layers import Attention, Block, LayerNorm
from manyview.models.rope import rope_table

LAYOUT = TokenLayout(frames=3, special=2, height=2, width=3)


def random_block(**options) -> Block:
    torch.manual_seed(0)
    block = Block(32, 2, qk_norm=True, layer_scale=0.5, **options)
    for parameter in block.parameters():
        nn.init.normal_(parameter, mean=0.2, std=0.3)
    return block.eval()


def test_layer_norm_is_torchs_in_float32_and_keeps_the_type_of_its_weights():
    norm, plain = LayerNorm(16, eps=1e-3), nn.LayerNorm(16, eps=1e-3)
    x = 1e-3 * torch.randn(4, 16)
    assert torch.equal(norm(x), plain(x))
    half = norm.to(torch.bfloat16)(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, plain(x).to(torch.bfloat16))
    assert norm.double()(x.double()).dtype == torch.float64


def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    attention = Attention(8, 2)
    x = torch.randn(1, 5, 8)
    query, key, value = attention.qkv(x).view(1, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    weights = (query @ key.transpose(-1, -2) / 4**0.5).softmax(-1)
    expected = attention.proj((weights @ value).transpose(1, 2).reshape(1, 5, 8))
    out, density = attention(x)
    torch.testing.assert_close(out, expected)
    assert density is None


def test_width_must_split_into_heads():
    with pytest.raises(ValueError, match="30 does not split into 4"):
        Attention(30, 4)


def test_attention_function_sees_turned_queries_and_the_layout():
    block = random_block()
    seen = {}

    def attend(query, key, value, layout, layer):
        seen.update(query=query, key=key, value=value, layout=layout, layer=layer)
        return dense_attention(query, key, value)[0], torch.full(query.shape[:2], 0.5)

    x = torch.randn(1, 3 * LAYOUT.tokens_per_frame, 32)
    rope = rope_table(LAYOUT, 16, x.device, x.dtype)
    out, density = block(x, rope, attend, LAYOUT, 7)
    assert seen["layout"] is LAYOUT and seen["layer"] == 7
    assert seen["query"].shape == seen["key"].shape == seen["value"].shape == (1, 2, 24, 16)
    assert density.shape == (1, 2)
    torch.testing.assert_close(out, block(x, rope)[0])
    assert not torch.allclose(out, block(x)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_weights_keep_a_float32_stream(dtype):
    block = random_block()
    x = torch.randn(1, 8, 32)
    rope = rope_table(TokenLayout(1, 2, 2, 3), 16, x.device, x.dtype)
    exact, _ = block(x, rope)
    out, _ = block.to(dtype)(x, rope)
    assert out.dtype == torch.float32
    assert (out - exact).norm() < 0.03 * (exact - x).norm()


def test_training_under_autocast_keeps_a_float32_stream():
    block = random_block().train()
    x = torch.randn(2, 8, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, _ = block(x, rope_table(TokenLayout(1, 2, 2, 3), 16, x.device, x.dtype))
    assert out.dtype == torch.float32
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_block_compiles_whole_and_once_for_all_sizes():
    block = random_block()
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(block, fullgraph=True, dynamic=True, backend=backend)
    for frames, height, width in ((2, 2, 3), (3, 4, 2), (5, 3, 3)):
        layout = TokenLayout(frames, 2, height, width)
        rope = rope_table(layout, 16, torch.device("cpu"), torch.float32)
        x = torch.randn(2, frames * layout.tokens_per_frame, 32)
        out, _ = compiled(x, rope, dense_attention, layout, frames)
        torch.testing.assert_close(out, block(x, rope)[0])
    assert len(graphs) == 1
