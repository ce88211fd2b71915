"""The operation itself: exact where it has to be, the same on every path, counted right."""

import logging
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from manyview.models.attention import TokenLayout, dense_attention
from manyview.models.sparse import (
    BlockIndex,
    BlockLayout,
    BlockSparse,
    SparsityConfig,
    cpu,
    select,
    split_tokens,
)
from manyview.models.sparse.blocks import band_order, key_centroids
from manyview.models.sparse.cpu import sparse_attention_torch
from manyview.models.sparse.reference import selected_blocks, sparse_attention_reference
from manyview.models.sparse.select import pool_for_scores, select_blocks

LAYOUT = TokenLayout(frames=4, special=5, height=3, width=5)
PAPER = SparsityConfig(rho=0.7, query_block=8, key_block=4)
OURS = SparsityConfig(method="manyview", rho=0.7, query_block=8, key_block=4, layout="frames")
VARIANTS = {
    "paper": PAPER,
    "tau": replace(PAPER, rho=None, tau=0.6),
    "both": replace(PAPER, rho=0.8, tau=0.4, pooling="max"),
    "frames": OURS,
    "centroids": replace(OURS, centroids=True, layout="packed"),
    "framed centroids": replace(OURS, centroids=True, tau=0.5),
    "never": replace(OURS, own_frame="never", centroids=True),
    "always": replace(OURS, own_frame="always", frame_quota=1),
    "spread": replace(OURS, pooling="spread", centroids=True),
    "bands": replace(OURS, order="bands", rho=1e-9),
}
all_variants = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)


def operands(layout: TokenLayout = LAYOUT, width: int = 8, dtype=torch.float64, seed: int = 0) -> tuple[Tensor, ...]:
    """Query, key and value, (2, 2, T, width)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 2, layout.frames * layout.tokens_per_frame, width)
    return tuple(2 * torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3))


def is_special(layout: TokenLayout) -> Tensor:
    """(T,) bool."""
    return torch.arange(layout.frames * layout.tokens_per_frame) % layout.tokens_per_frame < layout.special


def index_for(
    config: SparsityConfig, layout: TokenLayout, query: Tensor, key: Tensor
) -> tuple[BlockIndex, BlockLayout]:
    blocks = BlockLayout.of(layout, config.query_block, config.key_block, config.layout)
    patch_query, patch_key = (split_tokens(x, layout)[1].flatten(2, 3) for x in (query, key))
    pooled_query, pooled_key = pool_for_scores(patch_query, patch_key, blocks, config.pooling)
    return select_blocks(pooled_query, pooled_key, blocks, config), blocks


def by_token_mask(config: SparsityConfig, layout: TokenLayout, query: Tensor, key: Tensor, value: Tensor):
    """Output and pairs by one mask over all tokens and, for centroids, extra keys; written token by token."""
    index, blocks = index_for(config, layout, query, key)
    sees = selected_blocks(index, blocks)
    special = is_special(layout)
    queries_of, keys_of = (
        blocks.place(torch.arange(blocks.tokens), size)[0] for size in (config.query_block, config.key_block)
    )
    mask = torch.ones(2, 2, len(special), len(special), dtype=torch.bool)
    patches = (~special).nonzero()[:, 0]
    mask[:, :, patches[:, None], patches] = sees[:, :, queries_of][..., keys_of]
    pairs = mask.sum((-1, -2))
    bias = torch.zeros(mask.shape, dtype=query.dtype).masked_fill(~mask, -torch.inf)
    if config.centroids:
        means = key_centroids(*(split_tokens(x, layout)[1].flatten(2, 3) for x in (key, value)), blocks)
        dropped = torch.zeros(2, 2, len(special), blocks.key_blocks, dtype=torch.bool)
        dropped[:, :, patches] = ~sees[:, :, queries_of]
        pairs += dropped.sum((-1, -2))
        extra = means.log_count.to(bias.dtype).expand(dropped.shape).masked_fill(~dropped, -torch.inf)
        bias = torch.cat([bias, extra], -1)
        key, value = torch.cat([key, means.key], 2), torch.cat([value, means.value], 2)
    return scaled_dot_product_attention(query, key, value, attn_mask=bias), pairs / len(special) ** 2


@all_variants
@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_equals_a_mask_over_all_tokens(config, backend):
    query, key, value = operands()
    out, density = BlockSparse(config, backend)(query, key, value, LAYOUT, 0)
    expected, expected_density = by_token_mask(config, LAYOUT, query, key, value)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(density, expected_density.float())


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(1, 7), st.integers(1, 7)),
    st.sampled_from(list(VARIANTS)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 99),
)
def test_any_shape(shape, name, sizes, seed):
    """Special queries and keys are exact for every number of frames and every size, and all paths agree."""
    layout = TokenLayout(*shape)
    config = replace(VARIANTS[name], query_block=sizes[0], key_block=sizes[1])
    query, key, value = operands(layout, seed=seed)
    out, density = BlockSparse(config, "torch")(query, key, value, layout, 0)
    expected, expected_density = by_token_mask(config, layout, query, key, value)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(density, expected_density.float())
    special = is_special(layout)
    torch.testing.assert_close(out[:, :, special], dense_attention(query, key, value)[0][:, :, special])


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from(["packed", "frames"]),
    st.booleans(),
)
def test_full_budget_equals_dense(shape, layout_kind, centroids):
    layout = TokenLayout(*shape)
    config = replace(OURS, rho=0.0, layout=layout_kind, centroids=centroids)
    query, key, value = operands(layout)
    expected, _ = dense_attention(query, key, value)
    dense, density = BlockSparse(config)(query, key, value, layout, 0)
    assert torch.equal(dense, expected) and density is None
    all_but_one_head = replace(config, rho=0.5, layer_rho={0: (0.0, 0.9)})
    for backend in ("torch", "reference"):
        out, density = BlockSparse(all_but_one_head, backend)(query, key, value, layout, 0)
        torch.testing.assert_close(out[:, 0], expected[:, 0])
        assert density[:, 0].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["frames", "framed centroids", "never", "always"])
def test_permuting_frames_permutes_the_output(name):
    query, key, value = operands()
    order = torch.tensor([0, 3, 1, 2])
    tokens = (order[:, None] * LAYOUT.tokens_per_frame + torch.arange(LAYOUT.tokens_per_frame)).flatten()
    attend = BlockSparse(VARIANTS[name])
    out, density = attend(query, key, value, LAYOUT, 0)
    moved, moved_density = attend(*(x[:, :, tokens] for x in (query, key, value)), LAYOUT, 0)
    torch.testing.assert_close(moved, out[:, :, tokens])
    torch.testing.assert_close(moved_density, density)


@all_variants
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_paths_agree_in_every_type(config, dtype):
    query, key, value = operands(dtype=dtype)
    out, density = BlockSparse(config, "torch")(query, key, value, LAYOUT, 0)
    same, same_density = BlockSparse(config, "reference")(query, key, value, LAYOUT, 0)
    assert out.dtype == dtype and density.dtype == torch.float32
    torch.testing.assert_close(out, same)
    assert torch.equal(density, same_density)


@all_variants
def test_pieces_and_lse(config, monkeypatch):
    query, key, value = operands()
    index, blocks = index_for(config, LAYOUT, query, key)
    (_, patch_query), (special_key, patch_key), (special_value, patch_value) = (
        split_tokens(x, LAYOUT) for x in (query, key, value)
    )
    patch_query, patch_key, patch_value = (x.flatten(2, 3) for x in (patch_query, patch_key, patch_value))
    given_operands = patch_query, patch_key, patch_value, special_key, special_value
    centroids = key_centroids(patch_key, patch_value, blocks) if config.centroids else None
    out, lse = sparse_attention_reference(*given_operands, index, blocks, centroids)
    monkeypatch.setattr(cpu, "NUMBERS_AT_ONCE", 1)
    for first, last in ((0, index.rows), (1, 2), (index.rows - 1, index.rows)):
        part = BlockIndex(index.indices[:, :, first:last], index.counts[:, :, first:last], first)
        start, end = blocks.query_span(first, last)
        for function in (sparse_attention_reference, sparse_attention_torch):
            found = function(*given_operands, part, blocks, centroids)
            torch.testing.assert_close(found[0], out[:, :, start:end])
            torch.testing.assert_close(found[1], lse[:, :, start:end])


@pytest.mark.parametrize("name", ["frames", "framed centroids", "never", "always"])
@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_order_of_patches_is_applied_and_undone(name, backend):
    query, key, value = operands()
    order, _ = band_order(LAYOUT.height, LAYOUT.width, 4)
    frame = torch.cat([torch.arange(LAYOUT.special), LAYOUT.special + order])
    tokens = (torch.arange(LAYOUT.frames)[:, None] * LAYOUT.tokens_per_frame + frame).flatten()
    moved = (x[:, :, tokens] for x in (query, key, value))
    expected, density = BlockSparse(VARIANTS[name], backend)(*moved, LAYOUT, 0)
    out, same = BlockSparse(replace(VARIANTS[name], order="bands"), backend)(query, key, value, LAYOUT, 0)
    torch.testing.assert_close(out[:, :, tokens], expected)
    assert torch.equal(same, density)


def test_index_is_handed_out_in_pieces(monkeypatch):
    query, key, value = operands()
    config = VARIANTS["tau"]
    whole, density = BlockSparse(config)(query, key, value, LAYOUT, 0)
    monkeypatch.setattr(select, "INDEX_LIMIT_BYTES", 1)
    assert density.unique().numel() > 1  # the mass decides
    pieces, piece_density = BlockSparse(config)(query, key, value, LAYOUT, 0)
    torch.testing.assert_close(pieces, whole)
    assert torch.equal(piece_density, density)


def test_dense_layers_short_inputs_and_dense_method():
    query, key, value = operands()
    expected, _ = dense_attention(query, key, value)
    for config, layer, dense in (
        (replace(PAPER, dense_layers="1-2"), 1, True),
        (replace(PAPER, dense_layers="1-2"), 3, False),
        (replace(PAPER, min_tokens=81), 0, True),
        (replace(PAPER, min_tokens=80), 0, False),
        (SparsityConfig(method="dense"), 0, True),
    ):
        out, density = BlockSparse(config)(query, key, value, LAYOUT, layer)
        assert (density is None) == dense == torch.equal(out, expected)


def test_gradients_reach_what_was_selected():
    query, key, value = (x.requires_grad_() for x in operands())
    grads = {}
    for backend in ("reference", "torch"):
        out, _ = BlockSparse(VARIANTS["framed centroids"], backend)(query, key, value, LAYOUT, 0)
        grads[backend] = torch.autograd.grad(out.square().sum(), (query, key, value))
    for one, other in zip(*grads.values(), strict=True):
        torch.testing.assert_close(one, other)
        assert one.abs().sum() > 0


def test_autocast_does_not_coarsen_the_choice():
    query, key, value = operands(dtype=torch.float32)
    attend = BlockSparse(VARIANTS["both"])
    expected, density = attend(query, key, value, LAYOUT, 0)
    with torch.autocast("cpu", torch.bfloat16):
        out, same = attend(query, key, value, LAYOUT, 0)
    assert torch.equal(out, expected) and torch.equal(same, density)


def test_memory_layout_of_the_input_does_not_matter():
    query, key, value = operands()
    strided = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (query, key, value)]
    out, _ = BlockSparse(PAPER)(query, key, value, LAYOUT, 0)
    torch.testing.assert_close(BlockSparse(PAPER)(*strided, LAYOUT, 0)[0], out)


def test_backend_is_reported_once(caplog):
    query, key, value = operands()
    attend = BlockSparse(PAPER)
    assert attend.backend_report() == "dense"
    with caplog.at_level(logging.INFO, logger="manyview.models.sparse"):
        for layer in range(3):
            attend(query, key, value, LAYOUT, layer)
    assert [record.message for record in caplog.records] == ["sparse attention: " + attend.backend_report()]
    assert attend.backend_report() == "torch (no Triton kernel for cpu)"
    with pytest.raises(ValueError, match="Unknown backend 'cuda'; choose from auto, triton, torch, reference"):
        BlockSparse(PAPER, "cuda")


def test_nothing_depends_on_values_outside_the_cpu_path():
    """On the meta device a value cannot be read, so whatever asks for one fails."""
    query, key, value = (x.to("meta") for x in operands(dtype=torch.bfloat16))
    for config in VARIANTS.values():
        out, density = BlockSparse(config, "torch")._sparse(query, key, value, LAYOUT, 0)  # meta has no autocast
        assert out.shape == query.shape and density.shape == (2, 2)


@pytest.mark.parametrize("name", ["both", "framed centroids", "always"])
@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_compiles_as_one_graph(name, backend):
    query, key, value = operands(dtype=torch.float32)
    attend = BlockSparse(VARIANTS[name], backend)
    expected, density = attend(query, key, value, LAYOUT, 0)
    torch.compiler.reset()
    compiled = torch.compile(lambda *tensors: attend(*tensors, LAYOUT, 0), backend="eager", fullgraph=True)
    out, same = compiled(query, key, value)
    torch.testing.assert_close(out, expected)
    assert torch.equal(same, density)


def test_triton_asked_for_but_missing(monkeypatch):
    query, key, value = operands()
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in ("kernel", "select_kernel"):
        monkeypatch.delitem(sys.modules, f"manyview.models.sparse.{name}", raising=False)
    with pytest.raises(ImportError, match="pip install triton"):
        BlockSparse(PAPER, "triton")(query, key, value, LAYOUT, 0)


def test_heads_that_differ_wait_for_no_copy():
    values = select.head_values((3, 1, 2), torch.int64, torch.device("cpu"))
    assert values.tolist() == [[3], [1], [2]] and values.dtype == torch.int64
    assert select.head_values((2, 2), torch.float32, torch.device("cpu")).tolist() == [[2], [2]]
