"""Streamed statistics equal those of the whole attention matrix."""

import pytest
import torch
from torch import Tensor

from manyview.models import attention_statistics
from manyview.models.attention import TokenLayout, dense_attention
from manyview.models.attention_statistics import KINDS, AttentionStatistics, spread, token_bins
from manyview.models.checkpoints import load_model

LAYOUT = TokenLayout(frames=3, special=2, height=5, width=7)
TOKENS = LAYOUT.frames * LAYOUT.tokens_per_frame


def qkv() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(3, 1, 4, TOKENS, 16, generator=torch.Generator().manual_seed(0)).unbind(0)


def whole() -> Tensor:
    """(heads, T, T)."""
    query, key, _ = qkv()
    return (query[0] @ key[0].transpose(1, 2) / 4).softmax(-1)


def is_special() -> Tensor:
    return torch.arange(TOKENS) % LAYOUT.tokens_per_frame < LAYOUT.special


@pytest.mark.parametrize("at_once", [2**26, 500])
def test_equals_the_whole_matrix(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_statistics, "NUMBERS_AT_ONCE", at_once)  # also when it takes many steps
    watch = AttentionStatistics(query_blocks=None, bins=10**6, query_block=16, key_block=8)
    out, density = watch(*qkv(), LAYOUT, 5)
    torch.testing.assert_close(out, dense_attention(*qkv())[0])
    assert density is None
    found, weights, special = watch.layers_found[5], whole(), is_special()
    assert found.queries == found.tokens == TOKENS
    framed = weights.mean(0).unflatten(1, (3, -1)).unflatten(0, (3, -1))  # (3, P, 3, P)
    assert found.matrix.shape == (3 * 36, 3 * 36) and sum(found.special_bins) == 3
    binned = found.matrix.unflatten(1, (3, -1)).unflatten(0, (3, -1))
    torch.testing.assert_close(binned[:, 1:, :, 1:], framed[:, 2:, :, 2:])  # a bin for each patch
    torch.testing.assert_close(binned[:, 0, :, 0], framed[:, :2, :, :2].mean((1, 3)))  # one for all special tokens
    torch.testing.assert_close(found.special, weights.mean(0)[special][:, special])
    sides = {"S": special, "P": ~special}
    for kind in KINDS:
        part = weights[:, sides[kind[0]]][:, :, sides[kind[2]]]
        assert found.mean[kind] == pytest.approx(float(part.mean()), rel=1e-4)
        assert found.maximum[kind] == pytest.approx(float(part.max()), rel=1e-4)
        assert found.mass[kind] == pytest.approx(float(part.sum(-1).mean()), rel=1e-4)
    assert found.mass["S-S"] + found.mass["S-P"] == pytest.approx(1)


def test_block_mass_by_hand() -> None:
    watch = AttentionStatistics(query_blocks=None, query_block=16, key_block=8, shares=(0.25, 1.0))
    watch(*qkv(), LAYOUT, 0)
    found, special = watch.layers_found[0], is_special()
    patches = whole()[:, ~special][:, :, ~special]  # (heads, 105, 105)
    query, key = (x[0, :, ~special] for x in qkv()[:2])
    best, pooled = [], []
    for head in range(4):
        for first in range(0, 105, 16):
            mass = torch.stack([p.sum() for p in patches[head, first : first + 16].sum(0).split(8)])
            mass = mass / mass.sum()
            best.append(mass.sort(descending=True).values[:4].sum())  # a quarter of 14 blocks is 3.5, so 4
            scores = torch.stack([k.mean(0) for k in key[head].split(8)]) @ query[head, first : first + 16].mean(0)
            pooled.append(mass[scores.argsort(descending=True)[:4]].sum())
    assert found.best_mass[0] == pytest.approx(float(torch.stack(best).mean()), rel=1e-4)
    assert found.pooled_mass[0] == pytest.approx(float(torch.stack(pooled).mean()), rel=1e-4)
    assert found.best_mass[1] == pytest.approx(1, rel=1e-4)
    assert found.best_mass[0] >= found.pooled_mass[0]


def test_some_rows_of_a_long_input() -> None:
    watch = AttentionStatistics(query_blocks=2, bins=10, query_block=8, key_block=8, layers={0})
    watch(*qkv(), LAYOUT, 0)
    watch(*qkv(), LAYOUT, 1)
    assert set(watch.layers_found) == {0}
    found = watch.layers_found[0]
    assert found.queries == 2 * 8 + 6 and found.matrix.shape == (9, 9)
    sizes = token_bins(LAYOUT, 10, torch.device("cpu"))[0].bincount()
    seen = ~found.matrix.isnan().any(1)
    assert 5 <= seen.sum() < 9
    torch.testing.assert_close((found.matrix * sizes).sum(1)[seen], torch.ones(int(seen.sum())))


@pytest.mark.parametrize(
    ("most", "bins", "special"), [(10**6, 108, 3), (60, 18, 3), (20, 18, 3), (9, 9, 3), (6, 6, 3), (4, 4, 2), (1, 2, 1)]
)
def test_bins_are_the_same_in_every_frame(most: int, bins: int, special: int) -> None:
    of, is_special = token_bins(LAYOUT, most, torch.device("cpu"))
    assert len(is_special) == bins and sum(is_special) == special
    assert of.unique().tolist() == list(range(bins))
    marked = torch.tensor(is_special)[of].unflatten(0, (3, -1))
    assert marked[:, :2].all() and not marked[:, 2:].any()


def test_even_spread() -> None:
    assert spread(5, None) == spread(5, 9) == [0, 1, 2, 3, 4]
    assert spread(100, 4) == [12, 37, 62, 87]


def test_in_a_model(tiny_model) -> None:
    model = load_model(tiny_model).model
    images = torch.rand(3, 3, 56, 70, generator=torch.Generator().manual_seed(1))
    watch = AttentionStatistics(bins=16)
    plain, watched = model(images), model(images, global_attention=watch)
    torch.testing.assert_close(plain.pose_passes, watched.pose_passes, rtol=0, atol=0)
    assert set(watch.layers_found) == {0, 1, 2, 3}
    with pytest.raises(ValueError, match="one scene, got 2"):
        model(images[None].repeat(2, 1, 1, 1, 1), global_attention=watch)
