"""Pooling and block choice by Triton against plain torch; on a machine without a GPU through Triton's interpreter."""

import weakref
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from manyview.models.attention import Heads, TokenLayout
from manyview.models.sparse import BlockSparse, select
from manyview.models.sparse.blocks import grouped, moments, patch_tokens, special_tokens
from manyview.models.sparse.config import SparsityConfig
from manyview.models.sparse.operation import run_triton, summary_of
from manyview.models.sparse.select import (
    LEVELS,
    BlockIndex,
    Sample,
    Summary,
    index_chunks,
    joined,
    keep_blocks,
    share_levels,
)  # fmt: skip

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
triton = pytest.importorskip("triton", reason="Triton is not installed")
if DEVICE == "cpu" and tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7):
    pytest.skip("the interpreter of Triton before 3.7 does not work with NumPy 2.4", allow_module_level=True)
from manyview.models.sparse import pool_kernel, rank_kernel, select_kernel  # noqa: E402 (need Triton)
from manyview.models.sparse.kernel import Tables  # noqa: E402

LAYOUT = TokenLayout(frames=3, special=2, height=3, width=7)
PAPER = SparsityConfig(rho=0.6, query_block=16, key_block=4)
OURS = SparsityConfig(
    method="manyview",
    rho=0.6,
    query_block=8,
    key_block=4,
    score_block=4,
    centroid_block=8,
    pooling="spread",
    order="rows",
)


def problem(config: SparsityConfig, dtype: torch.dtype = torch.float32, patch_mask: Tensor | None = None):
    """Random tokens of LAYOUT, views of a projection's output."""
    random = torch.Generator().manual_seed(0)
    tokens = LAYOUT.frames * LAYOUT.tokens_per_frame
    qkv = 2 * torch.randn(1, tokens, 3, 2, 16, generator=random)
    qkv = qkv.to(DEVICE, dtype).permute(2, 0, 3, 1, 4).unbind(0)
    return BlockSparse(config, "triton", patch_mask).problem(*qkv, LAYOUT, 0)


def assert_same(chosen: BlockIndex, expected: BlockIndex) -> None:
    assert chosen.first == expected.first
    for name in ("counts", "whole", "seen"):
        assert torch.equal(getattr(chosen, name), getattr(expected, name)), name
    rank = torch.arange(expected.indices.shape[-1], device=DEVICE)  # what is behind a list does not matter
    inside = rank < expected.counts[..., None]
    assert torch.equal(chosen.indices[..., : len(rank)] * inside, expected.indices * inside)
    assert (chosen.log_left is None) == (expected.log_left is None)
    if expected.log_left is not None:
        torch.testing.assert_close(chosen.log_left, expected.log_left, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("framed", [False, True])
@pytest.mark.parametrize("size", [8, 64])
@pytest.mark.parametrize("group", [1, 2])
def test_packing(framed: bool, size: int, group: int) -> None:
    one = problem(PAPER)
    blocks = replace(one.blocks, key_block=size, framed=framed, group=group if framed else 1)
    lengths = blocks.key_table(DEVICE)[1]
    found = pool_kernel.pack(one.key, lengths, blocks, torch.float32, "avg", True, 64)
    x = patch_tokens(one.key, blocks)
    expected = torch.nn.functional.pad(
        x.unflatten(2, (blocks.segments, -1)), (0, 0, 0, size * blocks.keys_each - blocks.segment_length)
    )
    assert found.tokens is one.key if framed else torch.equal(found.tokens, expected.flatten(2, 3))
    exact = moments(x, blocks.segments, size, blocks.keys_each)
    torch.testing.assert_close(found.mean, exact.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.variance, exact.variance, rtol=0, atol=1e-5)
    assert (found.group_mean is not None) == framed
    plain = pool_kernel.pack(one.key, lengths, blocks, None, "avg", False, 0)
    assert torch.equal(plain.tokens, found.tokens) and plain.mean is plain.variance is plain.group_mean is None


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "config",
    [PAPER, replace(PAPER, pooling="max"), OURS, replace(OURS, pooling="avg"), replace(OURS, centroid_block=0)],
    ids=["paper", "paper max", "ours", "ours avg", "no centroids"],
)
def test_summary_and_centroids(config: SparsityConfig, dtype: torch.dtype, masked: bool) -> None:
    mask = torch.rand(3, 3, 7, generator=torch.Generator().manual_seed(1)) > 0.8 if masked else None
    one = problem(config, dtype, mask)
    tables = Tables.of(one.blocks, one.key.device)
    found, packed, centroids = pool_kernel.prepare(*one.operands, one.lengths, one.blocks, config, tables)
    expected = summary_of(one)
    step = torch.finfo(torch.bfloat16).eps if dtype.itemsize == 2 else 1e-6  # where a sum in another order is rounded
    for field in fields(Summary):
        same, other = getattr(found, field.name), getattr(expected, field.name)
        assert same is other is None or same.dtype == other.dtype
        if same is not None:
            torch.testing.assert_close(same, other, rtol=step, atol=1e-5)
    assert torch.equal(packed.special_key, special_tokens(one.key, one.blocks))
    assert torch.equal(packed.special_value, special_tokens(one.value, one.blocks))
    if not config.own or config.centroid_block == 0:
        assert centroids is None
        return
    cut = (one.blocks.segments, one.blocks.key_block, one.blocks.keys_each)
    keys, values = (
        grouped(moments(patch_tokens(x, one.blocks), *cut), one.lengths, one.blocks.group) for x in (one.key, one.value)
    )
    step = 2 * torch.finfo(dtype).eps
    for same, other in (
        (centroids.key, keys.mean), (centroids.spread, keys.variance), (centroids.value, values.mean)
    ):  # fmt: skip
        torch.testing.assert_close(same, other.to(dtype), rtol=step, atol=1e-5)


@pytest.mark.parametrize("pooling", ["avg", "spread"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("score_block", [8, 4, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_levels(pooling: str, dtype: torch.dtype, score_block: int, masked: bool) -> None:
    mask = torch.rand(3, 3, 7, generator=torch.Generator().manual_seed(1)) > 0.8 if masked else None
    one = problem(replace(OURS, pooling=pooling, score_block=score_block), dtype, mask)
    summary = summary_of(one)
    bias = summary.lengths.float().log2()
    totals = select_kernel.row_totals(summary, bias)
    device = torch.device(DEVICE)
    parts = one.blocks.part_table(device)
    for sample, first, last in (
        (Sample(2, 6, True), 1, 5),
        (Sample(1, 1, True, 3), 0, 1),
        (Sample.every(one.blocks), 2, one.blocks.query_blocks - 1),
    ):
        found = select_kernel.share_levels_triton(summary, one.blocks, parts, totals, bias, first, last, sample)
        found = found.long()
        expected = share_levels(summary, one.blocks, sample.rows(one.blocks, Heads.every(2), device)[:, first:last])
        assert_close_levels(found, expected, masked)
        second = replace(summary_of_head(summary, 1), part=Heads(1, 1, 2, lambda x: x))
        alone = select_kernel.share_levels_triton(second, one.blocks, parts, totals[:, 1:], bias, first, last, sample)
        assert torch.equal(alone.long(), found[:, 1:])


def summary_of_head(summary: Summary, head: int) -> Summary:
    """The summary of one head."""
    fields = {name: getattr(summary, name) for name in ("query", "key", "square", "spread", "special")}
    return replace(summary, **{name: x if x is None else x[:, head : head + 1] for name, x in fields.items()})


def assert_close_levels(found: Tensor, expected: Tensor, masked: bool) -> None:
    assert torch.equal(found < 0, expected < 0)
    assert masked == bool((expected < 0).sum() > (expected.shape[2] * 6))  # three empty blocks otherwise
    assert (found - expected).abs().max() <= 1  # where a share comes within rounding of a limit
    assert (found != expected).float().mean() < 0.02


def random_levels(rows: int, key_blocks: int, few: bool) -> Tensor:
    """With gaps where blocks are empty; few different ones make many equal."""
    random = torch.Generator().manual_seed(rows)
    levels = torch.randint(0, 4 if few else LEVELS, (1, 2, rows, key_blocks), generator=random)
    levels[..., 5::7] = -1
    return levels.to(DEVICE)


@pytest.mark.parametrize("few", [False, True])
def test_levels_are_counted(few: bool) -> None:
    levels = random_levels(11, 30, few)
    histogram = torch.zeros(1, 2, LEVELS, dtype=torch.int64, device=DEVICE)
    select_kernel.count_levels(levels.to(torch.int16), histogram)
    select_kernel.count_levels(levels.to(torch.int16)[:, :, :3].contiguous(), histogram)
    for head in range(2):
        both = torch.cat([levels[0, head].flatten(), levels[0, head, :3].flatten()])
        assert torch.equal(histogram[0, head], both[both >= 0].bincount(minlength=LEVELS))


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("threshold", [0, 2, 500, LEVELS])
@pytest.mark.parametrize("width", [3, 18])
@pytest.mark.parametrize("centroid_block", [0, 4, 8])
def test_lists(few: bool, threshold: int, width: int, centroid_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(OURS, centroid_block=centroid_block)
    one = problem(config)
    blocks = one.blocks
    levels = random_levels(blocks.query_blocks, blocks.key_blocks, few)
    lengths = torch.where(levels[0, 0, 0] < 0, 0, one.lengths)
    levels = levels.masked_fill(lengths == 0, -1)
    monkeypatch.setattr(select, "share_levels", lambda summary, blocks, rows: levels[:, :, rows[0]])
    limit = torch.full((1, 2), threshold, dtype=torch.int32, device=DEVICE)
    summary = replace(summary_of(one), lengths=lengths)
    expected = keep_blocks(summary, blocks, limit, width, config, 1, blocks.query_blocks)
    monkeypatch.setattr(select, "index_width", lambda *others: width)
    chosen = select.empty_index(summary, blocks, config, 0, 1, blocks.query_blocks)
    select_kernel.keep_blocks_triton(levels.to(torch.int16)[:, :, 1:], limit, blocks, lengths, chosen)
    assert_same(chosen, expected)


@pytest.mark.parametrize("config", [OURS, replace(OURS, tau=0.8), replace(OURS, layer_rho={0: (0.3, 0.9)})])
def test_the_whole_choice_in_pieces(config: SparsityConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    one = problem(config)
    summary = summary_of(one)
    for levels_at_once, limit_bytes, counted in ((10**6, 10**6, 10**6), (200, 2000, 10**6), (10**6, 1, 300)):
        monkeypatch.setattr(select, "COUNTED_LEVELS", counted)
        monkeypatch.setattr(select_kernel, "LEVELS_AT_ONCE", levels_at_once)
        expected = joined(list(index_chunks(summary, one.blocks, config)), 0)
        pieces = list(select_kernel.index_chunks_triton(summary, one.blocks, config, 0, limit_bytes))
        assert [piece.first for piece in pieces] == sorted({piece.first for piece in pieces})
        assert_same(joined(pieces, 0), expected)


RULES = [{"rho": 0.5}, {"rho": None, "tau": 0.63}, {"rho": 0.8, "tau": 0.53}, {"layer_rho": {0: (0.2, 0.9)}}]


@pytest.mark.parametrize("config", [PAPER, OURS], ids=["paper", "ours"])
def test_one_piece_of_the_lists_at_a_time(config: SparsityConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref] = []

    def noted(*where: object) -> BlockIndex:
        assert not any(index() is not None for index in made)
        index = select.empty_index(*where)
        made.append(weakref.ref(index.indices))
        return index

    for module in (select_kernel, rank_kernel):
        monkeypatch.setattr(module, "empty_index", noted)
    monkeypatch.setattr(select_kernel, "index_pieces", lambda *where: select.index_pieces(*where[:4], 1))
    run_triton(problem(config))
    assert len(made) > 2


def agree(config: SparsityConfig, summary: Summary | None = None, limit_bytes: int = 10**6) -> None:
    one = problem(config)
    summary = summary or summary_of(one)
    expected = joined(list(index_chunks(summary, one.blocks, config)), 0)
    chosen = joined(list(select_kernel.index_chunks_triton(summary, one.blocks, config, 0, limit_bytes)), 0)
    assert_same(chosen, expected)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_papers_choice_is_that_of_sorting(rule: dict) -> None:
    agree(replace(PAPER, **rule))


@pytest.mark.parametrize("rule", [RULES[0], RULES[3]], ids=str)
def test_equal_scores_by_their_number(rule: dict) -> None:
    config = replace(PAPER, **rule)
    summary = summary_of(problem(config))
    few = (torch.arange(16, device=DEVICE) < 3).float()
    agree(config, Summary(summary.query.round(), summary.key.round() * few, summary.lengths))


@pytest.mark.parametrize("rule", RULES[1:], ids=str)
def test_rows_longer_than_a_tile(rule: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_kernel, "LARGEST_TILE", 32)
    agree(replace(PAPER, query_block=21, key_block=2, **rule))  # 32 key blocks


def test_a_piece_of_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_kernel, "SCORES_AT_ONCE", 100)
    agree(PAPER, limit_bytes=200)


def test_zero_has_no_sign() -> None:
    config = replace(PAPER, query_block=64, key_block=8)
    summary = summary_of(problem(config))
    query, key = torch.zeros_like(summary.query), torch.zeros_like(summary.key)
    query[..., 0], key[..., 0] = 1, torch.tensor([-0.0, 0.0, -1.0], device=DEVICE).repeat(4)[: key.shape[2]]
    agree(config, Summary(query, key, summary.lengths))
