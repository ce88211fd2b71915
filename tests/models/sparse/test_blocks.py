import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manyview.models.attention import TokenLayout
from manyview.models.sparse.blocks import BlockLayout, band_order, grouped, moments, patch_tokens, pool, special_tokens

shapes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(1, 20), st.integers(1, 20))


def listed_blocks(frames: int, patches: int, size: int, framed: bool, multiple: int = 1) -> list[list[int]]:
    """Blocks as lists of patches, cut the obvious way; empty ones fill up each segment to a multiple."""
    segments = [range(frames * patches)]
    if framed:
        segments = [range(n * patches, (n + 1) * patches) for n in range(frames)]
    blocks = []
    for segment in segments:
        blocks += [list(segment[start : start + size]) for start in range(0, len(segment), size)]
        blocks += [[] for _ in range(-len(blocks) % multiple)]
    return blocks


@settings(deadline=None)
@given(shapes, st.booleans(), st.sampled_from([1, 2, 3]))
def test_tables(shape, framed, group):
    frames, height, width, query_block, key_block = shape
    parts = 2 if query_block % 2 == 0 else 1
    layout = TokenLayout(frames, 5, height, width)
    blocks = BlockLayout(layout, query_block, key_block, framed, parts, group)
    queries = listed_blocks(frames, height * width, query_block, framed)
    keys = listed_blocks(frames, height * width, key_block, framed, group)
    assert blocks.tokens == frames * height * width
    assert (blocks.query_blocks, blocks.key_blocks) == (len(queries), len(keys))
    assert blocks.key_groups * group == len(keys)
    assert blocks.filled_key_blocks == sum(map(bool, keys))
    for table, expected in ((blocks.query_table(), queries), (blocks.key_table(), keys)):
        assert table[0].dtype == table[1].dtype == torch.int32
        assert table[1].tolist() == [len(block) for block in expected]
        for start, block in zip(table[0].tolist(), expected, strict=True):
            assert not block or start == block[0]
    size = query_block // parts
    pieces = [[len(block[part * size : (part + 1) * size]) for part in range(parts)] for block in queries]
    assert blocks.part_table().tolist() == pieces

    patches = torch.arange(blocks.tokens)
    assert all(patch in queries[n] for patch, n in enumerate(blocks.query_of(patches).tolist()))
    assert all(patch in keys[n] for patch, n in enumerate(blocks.key_of(patches).tolist()))
    middle = len(queries) // 2
    assert blocks.query_span(0, len(queries)) == (0, blocks.tokens)
    assert blocks.query_span(0, middle)[1] == blocks.query_span(middle, len(queries))[0] == queries[middle][0]


def test_token_rows_skip_special_tokens():
    blocks = BlockLayout(TokenLayout(3, 2, 2, 2), 4, 4)
    rows = blocks.token_rows(torch.arange(12))
    assert rows.tolist() == [2, 3, 4, 5, 8, 9, 10, 11, 14, 15, 16, 17]
    tokens = torch.arange(18.0).view(1, 1, 18, 1)
    assert torch.equal(patch_tokens(tokens, blocks).flatten(), tokens.flatten()[rows])
    assert special_tokens(tokens, blocks).flatten().tolist() == [0, 1, 6, 7, 12, 13]


@settings(deadline=None)
@given(shapes, st.booleans(), st.sampled_from(["avg", "max", "square"]), st.integers(1, 3))
def test_pooling_leaves_nothing_out_and_pads_nothing(shape, framed, mode, group):
    frames, height, width, size, _ = shape
    blocks = BlockLayout(TokenLayout(frames, 0, height, width), size, size, framed, group=group)
    x = torch.randn(2, 3, blocks.tokens, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 3
    reduce = torch.amax if mode == "max" else torch.mean
    y = x.square() if mode == "square" else x
    cut = listed_blocks(frames, height * width, size, framed, group)
    expected = [reduce(y[:, :, block], dim=2) if block else torch.zeros(2, 3, 4).double() for block in cut]
    found = pool(x, blocks.segments, size, blocks.keys_each, mode)
    torch.testing.assert_close(found, torch.stack(expected, dim=2))


@settings(deadline=None)
@given(shapes, st.sampled_from([1, 2, 4]))
def test_moments_of_groups_are_those_of_their_tokens(shape, group):
    frames, height, width, _, size = shape
    blocks = BlockLayout(TokenLayout(frames, 0, height, width), 8, size, True, group=group)
    x = torch.randn(1, 2, blocks.tokens, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = blocks.key_table()[1]
    found = grouped(moments(x, blocks.segments, size, blocks.keys_each), lengths, group)
    for number, tokens in enumerate(listed_blocks(frames, height * width, size * group, True)):
        torch.testing.assert_close(found.mean[:, :, number], x[:, :, tokens].mean(2))
        torch.testing.assert_close(found.variance[:, :, number], x[:, :, tokens].var(2, correction=0))
    means = grouped(moments(x, blocks.segments, size, blocks.keys_each, spread=False), lengths, group)
    torch.testing.assert_close(means.mean, found.mean)
    assert means.variance is None


def test_masked_blocks_have_no_part_in_their_group():
    x = torch.arange(16.0).view(1, 1, 16, 1)
    blocks = BlockLayout(TokenLayout(1, 0, 4, 4), 8, 4, True, group=2)
    lengths = torch.tensor([4, 0, 0, 0])
    found = grouped(moments(x, 1, 4, blocks.keys_each), lengths, 2)
    assert found.mean.flatten().tolist() == [1.5, 0]
    assert found.variance.flatten().tolist() == [1.25, 0]


def test_sixteen_bits_are_pooled_in_float32():
    x = torch.full((1, 1, 300, 1), 257.0, dtype=torch.float16)
    assert pool(x, 1, 300, 1).dtype == torch.float32
    assert pool(x, 1, 300, 1).item() == 257
    assert moments(x, 1, 300, 1).variance.item() == 0


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([16, 32, 64, 128]))
def test_band_order_keeps_blocks_compact(height, width, key_block):
    width += key_block  # a band holds several blocks
    order, inverse = band_order(height, width, key_block)
    assert order.sort().values.tolist() == list(range(height * width))
    assert order[inverse].tolist() == list(range(height * width))
    band = height / max(1, round(height / key_block**0.5))  # rows of a band, on average
    for block in order.split(key_block):
        rows, columns = block // width, block % width
        assert rows.max() - rows.min() < 2 * (band + 1)  # two bands at most, unless one is shorter than a block
        assert columns.max() - columns.min() <= key_block / math.floor(band) + 1


def test_band_order_makes_squares_where_it_can():
    order, _ = band_order(16, 16, 16)
    for block in order.split(16):
        rows, columns = block // 16, block % 16
        assert (rows.max() - rows.min()).item() == (columns.max() - columns.min()).item() == 3


@pytest.mark.parametrize("special", [0, 3])
def test_no_special_tokens(special):
    blocks = BlockLayout(TokenLayout(2, special, 1, 2), 2, 2)
    assert special_tokens(torch.zeros(1, 1, 2 * (2 + special), 1), blocks).shape[2] == 2 * special
