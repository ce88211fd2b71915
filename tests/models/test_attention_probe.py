"""A probed row is the row that the attention used: weighing the values with it gives the output."""

import pytest
import torch
from torch import Tensor

from manyview.models.attention import TokenLayout, dense_attention
from manyview.models.attention_probe import AttentionProbe, attention_row
from manyview.models.checkpoints import load_model
from manyview.models.dinov2 import EncoderConfig
from manyview.models.pi3 import Pi3, Pi3Config
from manyview.models.sparse import BlockSparse, SparsityConfig

LAYOUT = TokenLayout(frames=3, special=2, height=5, width=7)
OURS = {"method": "manyview", "rho": 0.6, "query_block": 16, "key_block": 8, "score_block": 4}
CONFIGS = [
    None,
    SparsityConfig(method="dense"),
    SparsityConfig(rho=0.6, query_block=16, key_block=8),
    SparsityConfig(rho=0.9, tau=0.4, query_block=32, key_block=8),
    SparsityConfig(**OURS, centroid_block=0),
    SparsityConfig(**OURS, pooling="spread", centroid_block=16),
    SparsityConfig(**OURS, order="rows", centroid_block=8),
    SparsityConfig(**OURS, min_tokens=10_000),
]


def qkv(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    tokens = LAYOUT.frames * LAYOUT.tokens_per_frame
    return torch.randn(3, 1, 2, tokens, 16, generator=torch.Generator().manual_seed(seed)).unbind(0)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("patch", [(0, 0, 0), (1, 3, 5), (2, 4, 6)])
def test_row_times_values_is_the_output(config: SparsityConfig | None, patch: tuple[int, int, int]) -> None:
    query, key, value = qkv()
    attend = dense_attention if config is None else BlockSparse(config, "torch")
    out, _ = attend(query, key, value, LAYOUT, 0)
    row = attention_row(query, key, LAYOUT, 0, patch, attend)
    assert row.patches.shape == row.computed.shape == (2, 3, 5, 7)
    assert row.special.shape == (2, 3, 2)
    torch.testing.assert_close(row.patches.sum((1, 2, 3)) + row.special_mass, torch.ones(2))
    weights = torch.cat([row.special, row.patches.flatten(2)], 2).flatten(1)  # (heads, T)
    frame, y, x = patch
    at = frame * LAYOUT.tokens_per_frame + LAYOUT.special + y * LAYOUT.width + x
    torch.testing.assert_close((weights[:, None] @ value[0])[:, 0], out[0, :, at])


def test_computed_patches_are_those_of_the_index() -> None:
    query, key, _ = qkv()
    assert attention_row(query, key, LAYOUT, 0, (0, 0, 0)).computed.all()
    kept = attention_row(query, key, LAYOUT, 0, (0, 0, 0), BlockSparse(CONFIGS[2]))
    assert 0 < kept.computed.float().mean() < 0.5
    assert (kept.patches[~kept.computed] == 0).all()
    centred = attention_row(query, key, LAYOUT, 0, (0, 0, 0), BlockSparse(CONFIGS[5]))
    assert (centred.patches > 0).all() and not centred.computed.all()


def test_the_model_is_not_changed_by_a_probe(tiny_model) -> None:
    model = load_model(tiny_model).model
    images = torch.rand(3, 3, 56, 70, generator=torch.Generator().manual_seed(1))
    probe = AttentionProbe(frame=2, row=3, column=4, layers={1, 3})
    plain, probed = model(images), model(images, global_attention=probe)
    torch.testing.assert_close(plain.pose_passes, probed.pose_passes, rtol=0, atol=0)
    assert set(probe.rows) == {1, 3}
    assert probe.rows[3].patches.shape == (2, 3, 4, 5)
    assert probe.rows[3].special.shape == (2, 3, 5)


def test_pi3() -> None:
    config = Pi3Config(
        encoder=EncoderConfig(width=32, depth=1, heads=2, image_size=56),
        depth=4, heads=2, head_width=32, head_heads=2, head_depth=1, camera_width=32,
    )  # fmt: skip
    probe = AttentionProbe(0, 1, 1, {1}, BlockSparse(SparsityConfig(rho=0.5, query_block=8, key_block=4)))
    output = Pi3(config).eval()(torch.rand(2, 3, 28, 42), global_attention=probe)
    assert probe.rows[1].patches.shape == (2, 2, 2, 3)
    assert output.density is not None


def test_wrong_patch_and_two_scenes() -> None:
    query, key, value = qkv()
    with pytest.raises(ValueError, match="column must be from 0 to 6"):
        AttentionProbe(0, 0, 7, {0})(query, key, value, LAYOUT, 0)
    with pytest.raises(ValueError, match="one scene, got 2"):
        AttentionProbe(0, 0, 0, {0})(*(x.repeat(2, 1, 1, 1) for x in (query, key, value)), LAYOUT, 0)
