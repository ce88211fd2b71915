import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manyview.models.attention import TokenLayout
from manyview.models.sparse.blocks import BlockLayout, band_order, key_centroids, pool

shapes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(1, 20), st.integers(1, 20))
kinds = st.sampled_from(["packed", "frames"])


def listed_blocks(frames: int, patches: int, size: int, kind: str) -> list[list[int]]:
    """Blocks as lists of patches, cut the obvious way."""
    total = frames * patches
    segments = [range(total)] if kind == "packed" else [range(n * patches, (n + 1) * patches) for n in range(frames)]
    return [list(segment[start : start + size]) for segment in segments for start in range(0, len(segment), size)]


@settings(deadline=None)
@given(shapes, kinds)
def test_tables(shape, kind):
    frames, height, width, query_block, key_block = shape
    blocks = BlockLayout.of(TokenLayout(frames, 5, height, width), query_block, key_block, kind)
    queries = listed_blocks(frames, height * width, query_block, kind)
    keys = listed_blocks(frames, height * width, key_block, kind)
    assert blocks.tokens == frames * height * width
    assert (blocks.query_blocks, blocks.key_blocks) == (len(queries), len(keys))
    for table, expected in ((blocks.query_table(), queries), (blocks.key_table(), keys)):
        assert table[0].dtype == table[1].dtype == torch.int32
        assert table[0].tolist() == [block[0] for block in expected]
        assert table[1].tolist() == [len(block) for block in expected]
    assert blocks.query_frames().tolist() == [block[0] // (height * width) for block in queries]
    assert blocks.key_frames().tolist() == [block[0] // (height * width) for block in keys]

    number, inside = blocks.place(torch.arange(blocks.tokens), key_block)
    assert [keys[n][i] for n, i in zip(number.tolist(), inside.tolist(), strict=True)] == list(range(blocks.tokens))
    middle = len(queries) // 2
    assert blocks.query_span(0, len(queries)) == (0, blocks.tokens)
    assert blocks.query_span(0, middle)[1] == blocks.query_span(middle, len(queries))[0] == queries[middle][0]


@settings(deadline=None)
@given(shapes, kinds, st.sampled_from(["avg", "max", "square"]))
def test_pooling_leaves_nothing_out_and_pads_nothing(shape, kind, mode):
    frames, height, width, size, _ = shape
    blocks = BlockLayout.of(TokenLayout(frames, 0, height, width), size, size, kind)
    x = torch.randn(2, 3, blocks.tokens, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 3
    reduce = torch.amax if mode == "max" else torch.mean
    y = x.square() if mode == "square" else x
    expected = [reduce(y[:, :, block], dim=2) for block in listed_blocks(frames, height * width, size, kind)]
    for same in (x, x.unflatten(2, (frames, -1))):
        torch.testing.assert_close(pool(same, blocks.segments, size, mode), torch.stack(expected, dim=2))


def test_sixteen_bits_are_pooled_in_float32():
    x = torch.full((1, 1, 300, 1), 257.0, dtype=torch.float16)
    assert pool(x, 1, 300).dtype == torch.float32
    assert pool(x, 1, 300).item() == 257
    centroids = key_centroids(x, x, BlockLayout(1, 300, 128, 64, 1))
    assert centroids.key.dtype == torch.float16
    assert centroids.log_count.exp().round().tolist() == [64, 64, 64, 64, 44]


def test_unknown_layout():
    with pytest.raises(ValueError, match="Unknown block layout 'rows'; choose from packed, frames"):
        BlockLayout.of(TokenLayout(1, 5, 2, 2), 4, 4, "rows")


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
