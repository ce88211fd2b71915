"""The choice of blocks against the rules written out with loops."""

import functools
import math
import operator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from manyview.models.attention import Heads, TokenLayout
from manyview.models.sparse import select
from manyview.models.sparse.blocks import BlockLayout, moments
from manyview.models.sparse.config import SparsityConfig
from manyview.models.sparse.select import (
    LEVELS,
    BlockIndex,
    Sample,
    Summary,
    index_chunks,
    index_width,
    joined,
    keep_blocks,
    level_shares,
    share_histogram,
    share_levels,
    summarize,
)

LAYOUT = TokenLayout(frames=3, special=5, height=3, width=5)
PAPER = SparsityConfig(rho=0.7, query_block=8, key_block=4)
OURS = SparsityConfig(
    method="manyview", rho=0.7, query_block=8, key_block=4, score_block=2, centroid_block=8, pooling="spread"
)


def summary_for(config: SparsityConfig, layout: TokenLayout, seed: int = 0, coarse: bool = False) -> Summary:
    """Of random tokens; coarse ones are small whole numbers, so that many scores are equal."""
    generator = torch.Generator().manual_seed(seed)
    blocks = config.blocks(layout)
    tokens = torch.randn(2, 2, 2, blocks.tokens, 4, generator=generator, dtype=torch.float64)
    special = torch.randn(2, 2, layout.frames * layout.special, 4, generator=generator, dtype=torch.float64)
    summary = summarize(*(2 * tokens), special, None, blocks.key_table()[1], blocks, config)
    if coarse:
        return Summary(summary.query.round(), summary.key.round(), summary.lengths)
    return summary


def every(blocks: BlockLayout, heads: int = 2) -> Tensor:
    return Sample.every(blocks).rows(blocks, Heads.every(heads), torch.device("cpu"))


def whole(config: SparsityConfig, layout: TokenLayout, summary: Summary, layer: int = 0) -> BlockIndex:
    return joined(list(index_chunks(summary, config.blocks(layout), config, layer)), 0)


def rows_of(index: BlockIndex, blocks: BlockLayout) -> list[list[list[list[int]]]]:
    """Nested lists (B, heads, rows, kept blocks), after a look at order and padding."""
    lengths = blocks.key_table()[1].tolist()
    rows = []
    numbers = (x.flatten().tolist() for x in (index.counts, index.whole, index.seen))
    for row, count, full, seen in zip(index.indices.flatten(0, 2).tolist(), *numbers, strict=True):
        assert row[count:] == [-1] * (index.indices.shape[-1] - count)
        kept = row[:count]
        assert kept[:full] == sorted(k for k in kept if lengths[k] == blocks.key_block)
        assert kept[full:] == sorted(k for k in kept if lengths[k] < blocks.key_block)
        assert len(set(kept)) == count and seen == sum(lengths[k] for k in kept)
        rows.append(sorted(kept))
    batch, heads, number = index.counts.shape
    return [[rows[(b * heads + h) * number :][:number] for h in range(heads)] for b in range(batch)]


def flat(nested: list[list[list[list[int]]]]) -> list[list[int]]:
    return [row for scene in nested for head in scene for row in head]


# --- the paper's rule -----------------------------------------------------------------------------------------------


def ranked(scores: list[float], least: int, tau: float | None) -> list[int]:
    """The rule for one row, in words and loops."""
    ranking = sorted(range(len(scores)), key=lambda k: (-scores[k], k))
    number = least
    if tau is not None:
        mass = torch.tensor([scores[k] for k in ranking], dtype=torch.float64).softmax(0).cumsum(0).tolist()
        number = max(number, next((n + 1 for n, m in enumerate(mass) if m >= tau), len(mass)))
    return sorted(ranking[:number])


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    # no share of equal blocks is a mass exactly: there float32 and float64 may round to different sides
    st.sampled_from([(0.5, None), (None, 0.6018), (0.8, 0.4013), (0.95, None), (1.0, 0.0)]),
    st.sampled_from(["avg", "max"]),
    st.booleans(),
    st.integers(0, 99),
)
def test_paper_equals_brute_force(shape, budget, pooling, coarse, seed):
    config = SparsityConfig(rho=budget[0], tau=budget[1], query_block=5, key_block=3, pooling=pooling)
    layout = TokenLayout(shape[0], 5, *shape[1:])
    blocks = config.blocks(layout)
    summary = summary_for(config, layout, seed, coarse)
    found = rows_of(whole(config, layout, summary), blocks)
    scores = (summary.query @ summary.key.transpose(-1, -2) * 4**-0.5).tolist()
    least = config.budget(0, 2, blocks)[0][0]
    for b in range(2):
        for h in range(2):
            for q in range(blocks.query_blocks):
                assert found[b][h][q] == ranked(scores[b][h][q], least, budget[1])


def test_ties_go_to_the_lower_block():
    config = replace(PAPER, rho=0.6)
    blocks = config.blocks(LAYOUT)
    summary = summary_for(config, LAYOUT)
    even = Summary(torch.ones_like(summary.query), torch.ones_like(summary.key), summary.lengths)
    index = whole(config, LAYOUT, even)
    assert index.indices.unique(dim=2).tolist() == [[[[0, 1, 2, 3]]] * 2] * 2  # 12 blocks, floor(4.8) kept
    assert blocks.key_blocks == 12


def test_tau_keeps_the_fewest_blocks_that_reach_the_mass():
    config = SparsityConfig(tau=0.5, key_block=45, query_block=45)
    layout = TokenLayout(4, 0, 3, 15)
    blocks = config.blocks(layout)
    key = torch.tensor([0.4, 0.1, 0.3, 0.2]).log().view(1, 1, 4, 1)
    summary = Summary(torch.ones(1, 1, 4, 1), key, blocks.key_table()[1])
    for changes, kept in (({}, [0, 2]), ({"tau": 0.35}, [0]), ({"tau": 0.75}, [0, 2, 3]), ({"rho": 0.25}, [0, 2, 3])):
        one = replace(config, **changes)
        assert rows_of(whole(one, layout, summary), blocks)[0][0][0] == kept


def test_heads_and_layers_have_their_own_budgets():
    config = replace(PAPER, layer_rho={1: (0.0, 0.9)}, layer_tau={2: (1.0, 0.0)})
    blocks = config.blocks(LAYOUT)
    summary = summary_for(config, LAYOUT)
    counts = [whole(config, LAYOUT, summary, layer).counts[0, :, 0].tolist() for layer in range(3)]
    assert counts == [[3, 3], [12, 1], [12, 3]]
    assert [index_width(blocks, config, layer, 2) for layer in range(3)] == [3, 12, 12]


# --- ManyView's rule ------------------------------------------------------------------------------------------------


def shares(config: SparsityConfig, layout: TokenLayout, query: Tensor, key: Tensor, special: Tensor) -> Tensor:
    """Expected shares (Qb, Kb) of one head, token by token and loop by loop."""
    blocks = config.blocks(layout)
    root = math.sqrt(query.shape[-1])
    starts, lengths = (x.tolist() for x in blocks.key_table())
    q_starts, q_lengths = (x.tolist() for x in blocks.query_table())
    result = torch.zeros(blocks.query_blocks, blocks.key_blocks, dtype=torch.float64)
    for block, (start, length) in enumerate(zip(q_starts, q_lengths, strict=True)):
        for part in range(start, start + length, config.score_block):
            queries = query[part : min(part + config.score_block, start + length)]
            mean = queries.mean(0)
            logits = torch.full((blocks.key_blocks,), -math.inf, dtype=torch.float64)
            for k, (first, count) in enumerate(zip(starts, lengths, strict=True)):
                if count:
                    keys = key[first : first + count]
                    logits[k] = mean @ keys.mean(0) / root + math.log(count)
                    if config.pooling == "spread":
                        logits[k] += (queries.square().mean(0) * keys.var(0, correction=0)).sum() / (2 * root**2)
            both = torch.cat([logits, special @ mean / root]).softmax(0)
            result[block] += both[: blocks.key_blocks] * len(queries) / length
    return result


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from(["avg", "spread"]),
    st.sampled_from([(8, 2), (6, 3), (4, 4)]),
    st.integers(0, 99),
)
def test_levels_equal_brute_force(shape, pooling, query_blocks, seed):
    layout = TokenLayout(*shape)
    config = replace(OURS, pooling=pooling, query_block=query_blocks[0], score_block=query_blocks[1])
    blocks = config.blocks(layout)
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, 1, 1, blocks.tokens, 4, generator=generator, dtype=torch.float64) * 2
    special = torch.randn(1, 1, layout.frames * layout.special, 4, generator=generator, dtype=torch.float64)
    summary = summarize(query, key, special, None, blocks.key_table()[1], blocks, config)
    levels = share_levels(summary, blocks, every(blocks, 1))[0, 0]
    exact = shares(config, layout, query[0, 0], key[0, 0], special[0, 0])
    empty = blocks.key_table()[1] == 0
    assert (levels[:, empty] == -1).all() and (levels[:, ~empty] >= 0).all()
    bits = (levels + select.FIRST_LEVEL) << select.LEVEL_SHIFT
    lower, upper = (x.to(torch.int32).view(torch.float32).double() for x in (bits, bits + (1 << select.LEVEL_SHIFT)))
    low = (levels == 0) | (lower <= exact * (1 + 1e-6))
    high = (levels == LEVELS - 1) | (exact < upper * (1 + 1e-6))
    inside = low & high
    assert inside[:, ~empty].all()


def kept_by_loops(levels: Tensor, config: SparsityConfig, blocks: BlockLayout, layer: int = 0) -> list[list[list[int]]]:
    """The rule for one scene: levels (heads, Qb, Kb) -> kept blocks of each head and row."""
    heads = len(levels)
    least, taus = config.budget(layer, heads, blocks)
    groups = [range(heads)] if config.shares_budget(layer) else [[h] for h in range(heads)]
    width = index_width(blocks, config, layer, heads)
    result = [[] for _ in range(heads)]
    for group in groups:
        numbers = [level for h in group for level in levels[h].flatten().tolist() if level >= 0]
        budget = sum(least[h] for h in group) * blocks.query_blocks
        threshold = next(t for t in range(LEVELS + 1) if sum(n >= t for n in numbers) <= budget)
        tau = taus[group[0]]
        if tau is not None:
            mass = dict(zip(range(LEVELS), level_shares(torch.arange(LEVELS)).double().tolist(), strict=True))
            goal = tau * sum(mass[n] for n in numbers) * (1 - 1e-12)
            reach = [t for t in range(LEVELS) if sum(mass[n] for n in numbers if n >= t) >= goal]
            threshold = min(threshold, max(reach))
        for h in group:
            for row in levels[h].tolist():
                ranking = sorted((k for k, n in enumerate(row) if n >= 0), key=lambda k: (-row[k], k))
                number = min(max(sum(n >= threshold for n in row), 1), width)
                result[h].append(sorted(ranking[:number]))
    return result


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from(
        [
            {"rho": 0.5},
            {"rho": None, "tau": 0.6},
            {"rho": 0.8, "tau": 0.4},
            {"rho": 0.95},
            {"layer_rho": {0: (0.0, 0.9)}},
            {"layer_tau": {0: (0.5, 1.0)}},
            {"max_keys": 8},
        ]
    ),
    st.sampled_from([0, 4, 8, 16]),
    st.integers(0, 99),
)
def test_ours_equals_brute_force(shape, changes, centroid_block, seed):
    config = replace(OURS, centroid_block=centroid_block, **changes)
    layout = TokenLayout(shape[0], 2, *shape[1:])
    blocks = config.blocks(layout)
    summary = summary_for(config, layout, seed)
    index = whole(config, layout, summary)
    found = rows_of(index, blocks)
    levels = share_levels(summary, blocks, every(blocks))
    for b in range(2):
        assert found[b] == kept_by_loops(levels[b], config, blocks)
    if centroid_block == 0:
        assert index.log_left is None
        return
    lengths = blocks.key_table()[1].tolist()
    for kept, left in zip(
        functools.reduce(operator.iadd, functools.reduce(operator.iadd, found, []), []),
        index.log_left.exp().round().flatten(0, 2).tolist(),
        strict=True,
    ):
        dropped = [0 if k in kept else n for k, n in enumerate(lengths)]
        assert left == [sum(dropped[g : g + blocks.group]) for g in range(0, len(dropped), blocks.group)]


def test_no_row_outgrows_its_list():
    config = replace(OURS, rho=0.9, centroid_block=0)
    blocks = config.blocks(LAYOUT)
    summary = summary_for(config, LAYOUT)
    assert index_width(blocks, replace(config, rho=0.95), 0, 2) == 8 < blocks.filled_key_blocks
    everything = torch.zeros(2, 2, dtype=torch.int32)  # a threshold that all blocks reach
    index = keep_blocks(summary, blocks, everything, 5, config, 0, blocks.query_blocks)
    levels = share_levels(summary, blocks, every(blocks))
    best = levels.sort(dim=-1, descending=True, stable=True).indices[..., :5].sort(dim=-1).values
    assert flat(rows_of(index, blocks)) == best.flatten(0, 2).tolist()
    nothing = torch.full((2, 2), LEVELS, dtype=torch.int32)
    index = keep_blocks(summary, blocks, nothing, 5, config, 0, blocks.query_blocks)
    assert flat(rows_of(index, blocks)) == levels.argmax(-1, keepdim=True).flatten(0, 2).tolist()


def test_histogram_counts_every_pair_once():
    blocks = OURS.blocks(LAYOUT)
    histogram, rows = share_histogram(summary_for(OURS, LAYOUT), blocks)
    assert rows == blocks.query_blocks
    assert (histogram.sum(-1) == blocks.query_blocks * blocks.filled_key_blocks).all()


@pytest.mark.parametrize("limit", [1, 1500, 4000, 10**6])
def test_histogram_of_long_inputs_takes_the_same_rows_of_every_frame(limit, monkeypatch):
    layout = TokenLayout(3, 2, 7, 11)
    blocks = OURS.blocks(layout)
    monkeypatch.setattr(select, "COUNTED_LEVELS", limit)
    sample = Sample.of(blocks, 4)
    rows = sample.rows(blocks, Heads.every(2), torch.device("cpu"))
    assert rows.shape == (2, sample.count)
    for of_head in rows:
        assert len(of_head.unique()) == sample.count
        frames = of_head.view(layout.frames, -1)
        assert (frames // blocks.queries_each == torch.arange(3)[:, None]).all()
        assert (frames % blocks.queries_each == frames[0] % blocks.queries_each).all()
    assert sample.count == layout.frames or sample.count * blocks.key_blocks * 4 <= limit
    assert (sample == Sample.every(blocks)) == (limit == 10**6) == (not sample.turn)
    histogram, counted = share_histogram(summary_for(OURS, layout), blocks)
    assert (histogram.sum(-1) == counted * blocks.filled_key_blocks).all()
    levels = share_levels(summary_for(OURS, layout), blocks, rows)
    for head in range(2):
        found = levels[0, head]
        assert torch.equal(histogram[0, head], found[found >= 0].bincount(minlength=LEVELS))


@pytest.mark.parametrize(("frames", "least", "stride"), [(7, 3, 2), (9, 3, 3), (5, 3, 1)])
def test_histogram_of_still_longer_inputs_takes_frames_apart(frames, least, stride, monkeypatch):
    blocks = OURS.blocks(TokenLayout(frames, 2, 7, 11))
    monkeypatch.setattr(select, "COUNTED_LEVELS", 100)
    monkeypatch.setattr(select, "COUNTED_FRAMES", least)
    sample = Sample.of(blocks, 4)
    assert (sample.stride, sample.count) == (stride, frames // stride)
    rows = sample.rows(blocks, Heads.every(6), torch.device("cpu"))
    taken = rows // blocks.queries_each
    assert (taken[:, 1:] - taken[:, :-1] == stride).all() and taken.min() == 0 and taken.max() < frames
    assert set(taken[:, 0].tolist()) == set(range(stride))  # no frame but a rest at the end is left out by all heads


def test_shares_of_levels_rise_and_lie_inside():
    shares = level_shares(torch.arange(LEVELS))
    assert (shares.diff() > 0).all() and 1 <= shares[-1] < 1.03 and shares[0] < 2**-31
    found = (shares.view(torch.int32) >> select.LEVEL_SHIFT) - select.FIRST_LEVEL
    assert torch.equal(found, torch.arange(LEVELS).int())


@pytest.mark.parametrize(
    "config",
    [PAPER, replace(PAPER, tau=0.6), OURS, replace(OURS, tau=0.9), replace(OURS, centroid_block=0)],
    ids=["paper", "paper tau", "ours", "ours tau", "no centroids"],
)
def test_pieces_are_the_whole(config, monkeypatch):
    blocks = config.blocks(LAYOUT)
    summary = summary_for(config, LAYOUT)
    complete = whole(config, LAYOUT, summary)
    assert complete.rows == blocks.query_blocks
    width = index_width(blocks, config, 0, 2)
    monkeypatch.setattr(select, "SCORES_AT_ONCE", 1)
    for limit_bytes in (1, 3 * 4 * 2 * 2 * width, 10**6):
        pieces = list(index_chunks(summary, blocks, config, 0, limit_bytes))
        assert [piece.first for piece in pieces] == list(range(0, blocks.query_blocks, pieces[0].rows))
        assert max(piece.indices.nbytes for piece in pieces) <= max(limit_bytes, 4 * 2 * 2 * width)
        together = joined(pieces, 0)
        for name in ("indices", "counts", "whole", "seen", "log_left"):
            one, other = getattr(together, name), getattr(complete, name)
            assert one is other is None or torch.equal(one, other)


@pytest.mark.parametrize("config", [PAPER, OURS], ids=["paper", "ours"])
def test_scores_are_never_held_whole(config, monkeypatch):
    seen = []
    lists = select.lists_of

    def watch(kept, *others):
        seen.append(kept.numel())
        return lists(kept, *others)

    monkeypatch.setattr(select, "lists_of", watch)
    monkeypatch.setattr(select, "SCORES_AT_ONCE", 2**12)
    for frames in (10, 40):
        layout = TokenLayout(frames, 5, 8, 8)
        whole(config, layout, summary_for(config, layout))
    assert max(seen) <= 2**12


def test_spread_scores_are_the_mass_to_second_order():
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, 64, 16, generator=generator, dtype=torch.float64) * 0.3 for _ in range(2))
    key[:, :, :16] *= 3  # a block whose keys differ
    exact = (query @ key.transpose(-1, -2) / 4).unflatten(-1, (4, 16)).exp().mean(-1).log()
    found = moments(key, 1, 16, 4)
    plain = query @ found.mean.transpose(-1, -2) / 4
    better = plain + query.square() @ found.variance.transpose(-1, -2) / 32
    assert (better - exact).abs().mean() < 0.7 * (plain - exact).abs().mean()
