"""The choice of blocks against the rule written out with loops."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from manyview.models.attention import TokenLayout
from manyview.models.sparse import select
from manyview.models.sparse.blocks import BlockLayout
from manyview.models.sparse.config import SparsityConfig
from manyview.models.sparse.select import BlockIndex, index_chunks, index_width, pool_for_scores, select_blocks

FRAMED = SparsityConfig(method="manyview", rho=0.7, layout="frames", query_block=8, key_block=4)
LAYOUT = TokenLayout(frames=3, special=5, height=3, width=5)


def pooled(blocks: BlockLayout, heads: int = 2, seed: int = 0, coarse: bool = False) -> tuple[Tensor, Tensor]:
    """Pooled queries and keys; coarse ones are small whole numbers, so that many scores are equal."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((2, heads, blocks.query_blocks, 4), (2, heads, blocks.key_blocks, 4))
    if coarse:
        return tuple(torch.randint(-1, 2, shape, generator=generator).float() for shape in shapes)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def blocks_of(config: SparsityConfig, layout: TokenLayout = LAYOUT) -> BlockLayout:
    return BlockLayout.of(layout, config.query_block, config.key_block, config.layout)


def rows_of(index: BlockIndex) -> list[list[list[list[int]]]]:
    """Nested lists (B, heads, rows, kept blocks), after a look at the padding."""
    width = index.indices.shape[-1]
    rows = []
    for row, count in zip(index.indices.flatten(0, 2).tolist(), index.counts.flatten().tolist(), strict=True):
        assert row[count:] == [-1] * (width - count)
        assert row[:count] == sorted(set(row[:count]))
        rows.append(row[:count])
    batch, heads, number = index.counts.shape
    return [[rows[(b * heads + h) * number :][:number] for h in range(heads)] for b in range(batch)]


def rule(scores: list[float], own: set[int], config: SparsityConfig, least: int, tau: float | None, per: int):
    """The rule for one row, in words and loops."""
    frames = len(scores) // per
    never = config.own_frame == "never" and frames > 1
    allowed = [k for k in range(len(scores)) if not (never and k in own)]
    forced = own & set(allowed) if config.own_frame == "always" else set()
    for frame in range(frames):
        inside = sorted(range(frame * per, (frame + 1) * per), key=lambda k: (-scores[k], k))
        forced |= set(inside[: config.frame_quota]) & set(allowed)
    ranking = sorted(allowed, key=lambda k: (k not in forced, -scores[k], k))
    number = max(least, len(forced))
    if tau is not None:
        mass = torch.tensor([scores[k] for k in ranking]).softmax(0).cumsum(0).tolist()
        number = max(number, next((n + 1 for n, m in enumerate(mass) if m >= tau), len(mass)))
    return sorted(ranking[:number])


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["packed", "frames"]),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from([(0.5, None), (None, 0.6), (0.8, 0.4), (0.95, None), (1.0, 0.0)]),
    st.sampled_from(["score", "always", "never"]),
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 99),
)
def test_lists_equal_brute_force(layout, shape, budget, own_frame, quota, coarse, seed):
    config = SparsityConfig(
        method="manyview",
        rho=budget[0],
        tau=budget[1],
        query_block=5,
        key_block=3,
        layout=layout,
        own_frame=own_frame if layout == "frames" else "score",
        frame_quota=quota if layout == "frames" else 0,
    )
    blocks = blocks_of(config, TokenLayout(shape[0], 5, *shape[1:]))
    query, key = pooled(blocks, seed=seed, coarse=coarse)
    found = rows_of(select_blocks(query, key, blocks, config))
    scores = (query @ key.transpose(-1, -2) * 4**-0.5).tolist()
    least = config.budget(0, 2, blocks.key_blocks)[0][0]
    per = blocks.key_blocks // blocks.frames if layout == "frames" else blocks.key_blocks
    key_frames = blocks.key_frames().tolist()
    for b in range(2):
        for h in range(2):
            for q, frame in enumerate(blocks.query_frames().tolist()):
                own = {k for k, other in enumerate(key_frames) if other == frame} if layout == "frames" else set()
                expected = rule(scores[b][h][q], own, config, least, budget[1], per)
                assert found[b][h][q] == expected


def test_ties_go_to_the_lower_block():
    config = SparsityConfig(rho=0.6, key_block=4, query_block=8)
    blocks = blocks_of(config)
    index = select_blocks(*(torch.ones_like(x) for x in pooled(blocks)), blocks, config)
    assert index.indices.unique(dim=2).tolist() == [[[[0, 1, 2, 3]]] * 2] * 2  # 12 blocks, floor(4.8) kept


def test_tau_keeps_the_fewest_blocks_that_reach_the_mass():
    config = SparsityConfig(tau=0.5, key_block=45, query_block=45)
    blocks = BlockLayout.of(TokenLayout(4, 0, 3, 15), 45, 45)
    key = torch.tensor([0.4, 0.1, 0.3, 0.2]).log().view(1, 1, 4, 1)
    query = torch.ones(1, 1, 4, 1)
    assert rows_of(select_blocks(query, key, blocks, config))[0][0][0] == [0, 2]
    assert rows_of(select_blocks(query, key, blocks, replace(config, tau=0.35)))[0][0][0] == [0]
    assert rows_of(select_blocks(query, key, blocks, replace(config, tau=0.75)))[0][0][0] == [0, 2, 3]
    assert rows_of(select_blocks(query, key, blocks, replace(config, rho=0.25)))[0][0][0] == [0, 2, 3]


def test_heads_and_layers_have_their_own_budgets():
    config = replace(FRAMED, layer_rho={1: (0.0, 0.9)}, layer_tau={2: (1.0, 0.0)})
    blocks = blocks_of(config)
    assert blocks.key_blocks == 12
    counts = [select_blocks(*pooled(blocks), blocks, config, layer).counts[0, :, 0].tolist() for layer in range(3)]
    assert counts == [[3, 3], [12, 1], [12, 3]]
    assert [index_width(blocks, config, layer, 2) for layer in range(3)] == [3, 12, 12]


@pytest.mark.parametrize("config", [FRAMED, replace(FRAMED, tau=0.6), replace(FRAMED, own_frame="never", tau=0.9)])
def test_pieces_are_the_whole(config, monkeypatch):
    blocks = blocks_of(config)
    query, key = pooled(blocks)
    whole = select_blocks(query, key, blocks, config)
    assert whole.rows == blocks.query_blocks
    width = index_width(blocks, config, 0, 2)
    monkeypatch.setattr(select, "SCORES_AT_ONCE", 1)
    for limit_bytes in (1, 3 * 4 * 2 * 2 * width, 10**6):
        pieces = list(index_chunks(query, key, blocks, config, 0, limit_bytes))
        assert [piece.first for piece in pieces] == list(range(0, blocks.query_blocks, pieces[0].rows))
        assert max(piece.indices.nbytes for piece in pieces) <= max(limit_bytes, 4 * 2 * 2 * width)
        assert torch.equal(torch.cat([piece.indices for piece in pieces], 2), whole.indices)
        assert torch.equal(torch.cat([piece.counts for piece in pieces], 2), whole.counts)


def test_scores_are_never_held_whole(monkeypatch):
    seen = []
    choose = select._choose

    def watch(scores, *others):
        seen.append(scores.numel())
        return choose(scores, *others)

    monkeypatch.setattr(select, "_choose", watch)
    monkeypatch.setattr(select, "SCORES_AT_ONCE", 2**12)
    config = SparsityConfig(rho=0.9, query_block=8, key_block=4)
    for frames in (10, 40):
        blocks = blocks_of(config, TokenLayout(frames, 5, 8, 8))
        select_blocks(*pooled(blocks), blocks, config)
    assert max(seen) <= 2**12


def test_spread_scores_are_the_mass_to_second_order():
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, 64, 16, generator=generator, dtype=torch.float64) * 0.3 for _ in range(2))
    key[:, :, :16] *= 3  # a block whose keys differ
    blocks = BlockLayout(1, 64, 1, 16, 1)
    exact = (query @ key.transpose(-1, -2) / 4).unflatten(-1, (4, 16)).exp().mean(-1).log()
    errors = {}
    for pooling in ("avg", "spread"):
        pooled_query, pooled_key = pool_for_scores(query, key, blocks, pooling)
        scores = pooled_query @ pooled_key.transpose(-1, -2) * pooled_query.shape[-1] ** -0.5
        errors[pooling] = (scores - exact).abs().mean()
    assert errors["spread"] < 0.7 * errors["avg"]
