"""Models built like the public ones, on the weights of ours, so that both can be compared."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from manyview.models.aggregator import Aggregator, AggregatorConfig
from manyview.models.dinov2 import EncoderConfig
from manyview.models.layers import Attention, Block
from manyview.models.pi3 import Pi3, Pi3Config
from manyview.models.rope import apply_rope, rope_at
from manyview.models.sparse import BlockSparse, SparsityConfig, restore, sparsify

ENCODER = EncoderConfig(width=32, depth=1, heads=2, image_size=70)
SPARSE = SparsityConfig(
    method="manyview", rho=0.75, query_block=8, key_block=4, score_block=4, centroid_block=8, dense_layers="1"
)
IMAGES = torch.rand(2, 3, 3, 42, 56, generator=torch.Generator().manual_seed(0))


def rotate(tokens: Tensor, positions: Tensor) -> Tensor:
    """Rotary embedding called as in the public code, with positions (B, T, 2)."""
    return apply_rope(tokens, rope_at(positions[0], tokens.shape[-1], torch.float32))


class VGGTAttention(nn.Module):
    def __init__(self, ours: Attention) -> None:
        super().__init__()
        self.num_heads = ours.heads
        self.qkv, self.q_norm, self.k_norm, self.proj = ours.qkv, ours.q_norm, ours.k_norm, ours.proj
        self.proj_drop = nn.Dropout(0.0)
        self.rope = rotate

    def forward(self, x: Tensor, pos: Tensor | None = None) -> Tensor:
        return self.attend(x, pos)

    def attend(self, x: Tensor, positions: Tensor | None) -> Tensor:
        split = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).transpose(1, 3)  # (B, heads, 3, T, D)
        query, key, value = split.unbind(2)
        query, key = self.rope(self.q_norm(query), positions), self.rope(self.k_norm(key), positions)
        return self.proj_drop(self.proj(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)))


class Pi3Attention(VGGTAttention):
    def forward(self, x: Tensor, attn_bias: Tensor | None = None, xpos: Tensor | None = None) -> Tensor:
        return self.attend(x, xpos)


class PublicBlock(nn.Module):
    def __init__(self, ours: Block, attention: type[nn.Module]) -> None:
        super().__init__()
        self.norm1, self.norm2, self.mlp, self.ls1, self.ls2 = ours.norm1, ours.norm2, ours.mlp, ours.ls1, ours.ls2
        self.attn = attention(ours.attn)

    def forward(self, x: Tensor, **positions: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), **positions))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PublicAggregator(nn.Module):
    patch_size = 14
    patch_start_idx = 5

    def __init__(self, ours: Aggregator) -> None:
        super().__init__()
        self.ours = [ours]  # hidden from the module tree
        self.frame_blocks = nn.ModuleList(PublicBlock(block, VGGTAttention) for block in ours.frame_blocks)
        self.global_blocks = nn.ModuleList(PublicBlock(block, VGGTAttention) for block in ours.global_blocks)

    def forward(self, images: Tensor) -> Tensor:
        """The last layer's tokens, (B, N, P, 2C)."""
        tokens = self.ours[0].add_special_tokens(self.ours[0].encode(images))
        batch, frames = images.shape[:2]
        pos = positions_of(images).expand(batch * frames, -1, -1)
        for frame_block, global_block in zip(self.frame_blocks, self.global_blocks, strict=True):
            inside = frame_block(tokens.flatten(0, 1), pos=pos).unflatten(0, (batch, frames))
            across = global_block(inside.flatten(1, 2), pos=pos.unflatten(0, (batch, frames)).flatten(1, 2))
            tokens = across.unflatten(1, (frames, -1))
        return torch.cat([inside, tokens], dim=-1)


class PublicVGGT(nn.Module):
    def __init__(self, ours: Aggregator) -> None:
        super().__init__()
        self.aggregator = PublicAggregator(ours)

    def forward(self, images: Tensor) -> Tensor:
        return self.aggregator(images)


class PublicPi3(nn.Module):
    patch_size = 14
    patch_start_idx = 5

    def __init__(self, ours: Pi3) -> None:
        super().__init__()
        self.encoder, self.register_token = ours.encoder, ours.register_token
        self.decoder = nn.ModuleList(PublicBlock(block, Pi3Attention) for block in ours.decoder)

    def forward(self, imgs: Tensor) -> Tensor:
        """The last two blocks' tokens, (B, N, P, 2C)."""
        batch, frames = imgs.shape[:2]
        patches = self.encoder(imgs.flatten(0, 1))
        hidden = torch.cat([self.register_token[0].expand(batch * frames, -1, -1), patches], dim=1)
        per_frame = hidden.shape
        pos = positions_of(imgs).expand(batch * frames, -1, -1)
        found = []
        for number, block in enumerate(self.decoder):
            groups = batch if number % 2 else batch * frames
            hidden = block(hidden.reshape(groups, -1, per_frame[-1]), xpos=pos.reshape(groups, -1, 2))
            found.append(hidden.reshape(batch, frames, *per_frame[1:]))
        return torch.cat(found[-2:], dim=-1)


def positions_of(images: Tensor) -> Tensor:
    height, width = images.shape[-2] // 14, images.shape[-1] // 14
    patches = torch.cartesian_prod(torch.arange(1, height + 1), torch.arange(1, width + 1))
    return torch.cat([torch.zeros(5, 2, dtype=torch.long), patches])[None]


def vggt_pair(config: SparsityConfig | None = None) -> tuple[nn.Module, Tensor, Tensor | None]:
    """The look-alike, the tokens that our own model gives on the same weights, and its density."""
    torch.manual_seed(0)
    ours = awake(Aggregator(AggregatorConfig(encoder=ENCODER, depth=3, heads=2, special_token_std=0.5)))
    look_alike = PublicVGGT(ours).eval()
    if config is not None:
        ours.global_attention = BlockSparse(config)
    output = ours(IMAGES, (2,))
    return look_alike, output.kept[2], output.density


def pi3_pair(config: SparsityConfig | None = None) -> tuple[nn.Module, Tensor, Tensor | None]:
    torch.manual_seed(0)
    config_of_pi3 = Pi3Config(
        encoder=ENCODER, depth=6, heads=2, head_width=24, head_heads=2, head_depth=1, camera_width=16
    )
    ours = awake(Pi3(config_of_pi3))
    look_alike = PublicPi3(ours).eval()
    if config is not None:
        ours.global_attention = BlockSparse(config)
    parts, density = ours.decode(ours.encoder(IMAGES.flatten(0, 1)), ours.layout(IMAGES))
    tokens = parts.joined()[0]
    return look_alike, tokens.unflatten(0, IMAGES.shape[:2]), density


def awake(model: nn.Module) -> nn.Module:
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            nn.init.ones_(parameter)
        elif name.endswith("qkv.weight"):
            nn.init.normal_(parameter, std=0.3)
    return model.eval().requires_grad_(False)


both = pytest.mark.parametrize("pair", [vggt_pair, pi3_pair])


@both
def test_same_as_our_own_model_and_back(pair):
    model, dense, _ = pair()
    before = model(IMAGES)
    torch.testing.assert_close(before, dense, rtol=1e-4, atol=1e-4)  # the look-alike is one
    _, sparse, density = pair(SPARSE)
    names = list(model.state_dict())

    handle = sparsify(model, SPARSE)
    torch.testing.assert_close(model(IMAGES), sparse, rtol=1e-4, atol=1e-4)
    assert (sparse - dense).abs().max() > 1e-2
    torch.testing.assert_close(handle.density, density)
    assert list(model.state_dict()) == names

    restore(model)
    assert torch.equal(model(IMAGES), before)
    assert not any("forward" in vars(module) or module._forward_pre_hooks for module in model.modules())


@both
def test_twice_replaces_and_handle_restores(pair):
    model, _, _ = pair()
    before = model(IMAGES)
    sparsify(model, SparsityConfig(rho=0.9, query_block=8, key_block=4))
    handle = sparsify(model, SPARSE)
    torch.testing.assert_close(model(IMAGES), pair(SPARSE)[1], rtol=1e-4, atol=1e-4)
    handle.restore()
    assert torch.equal(model(IMAGES), before)


@both
def test_a_copy_has_its_own_weights_and_can_be_restored(pair):
    model, _, _ = pair()
    before = model(IMAGES)
    sparsify(model, SPARSE)
    expected = model(IMAGES)
    twin = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.zero_()
    torch.testing.assert_close(twin(IMAGES), expected)
    restore(twin)
    torch.testing.assert_close(twin(IMAGES), before)


@both
def test_other_sizes_and_frame_counts_follow(pair):
    model, _, _ = pair()
    sparsify(model, SPARSE)
    for images in (IMAGES[:, :1], IMAGES[:1, :, :, :28, :42], IMAGES):
        assert model(images).isfinite().all()


def test_what_is_refused():
    model, _, _ = vggt_pair()
    with pytest.raises(ValueError, match="Layer 5 does not exist: the model has global layers 0 to 2"):
        sparsify(model, SparsityConfig(rho=0.5, dense_layers="5"))
    assert not any("forward" in vars(module) for module in model.modules())
    with pytest.raises(ValueError, match="Linear is neither a VGGT nor a Pi3"):
        sparsify(nn.Linear(2, 2), SPARSE)
    with pytest.raises(ValueError, match="build it with global_attention"):
        sparsify(Aggregator(AggregatorConfig(encoder=ENCODER, depth=1, heads=2)), SPARSE)
    del model.aggregator.global_blocks[1].attn.q_norm
    with pytest.raises(ValueError, match=r"PublicVGGT is not built like the public model: it lacks \['attn.q_norm'\]"):
        sparsify(model, SPARSE)


def test_parts_that_do_not_fit_are_refused():
    model, _, _ = pi3_pair()
    sparsify(model, SPARSE)
    attention = model.decoder[1].attn
    x, xpos = torch.rand(2, 51, 32), torch.zeros(2, 51, 2)
    with pytest.raises(ValueError, match="51 tokens do not fit the images last seen"):
        attention(x, xpos=xpos)
    model(IMAGES)
    assert attention(x, xpos=xpos).shape == x.shape
    with pytest.raises(ValueError, match="Sparse attention does not take attn_bias"):
        attention(x, attn_bias=torch.zeros(51, 51), xpos=xpos)
    with pytest.raises(ValueError, match="50 tokens do not fit"):
        attention(x[:, 1:], xpos=xpos[:, 1:])
