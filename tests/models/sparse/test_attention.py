"""The operation itself: exact where it has to be, the same on every path, counted right."""

import logging
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from manyview.models.attention import TokenLayout, dense_attention, patch_order
from manyview.models.sparse import BlockSparse, SparsityConfig, cpu, select
from manyview.models.sparse.cpu import sparse_attention_torch
from manyview.models.sparse.operation import Problem, summary_of
from manyview.models.sparse.reference import selected_blocks, sparse_attention_reference
from manyview.models.sparse.select import BlockIndex, index_chunks, joined

LAYOUT = TokenLayout(frames=4, special=5, height=3, width=5)
PAPER = SparsityConfig(rho=0.7, query_block=8, key_block=4)
OURS = SparsityConfig(
    method="manyview", rho=0.7, query_block=8, key_block=4, score_block=4, centroid_block=8, pooling="spread"
)
VARIANTS = {
    "paper": PAPER,
    "tau": replace(PAPER, rho=None, tau=0.6),
    "both": replace(PAPER, rho=0.8, tau=0.4, pooling="max"),
    "ours": OURS,
    "rows": replace(OURS, order="rows", pooling="avg"),
    "no centroids": replace(OURS, centroid_block=0),
    "ours tau": replace(OURS, rho=None, tau=0.5, centroid_block=4),
    "few keys": replace(OURS, max_keys=12),
    "heads": replace(OURS, layer_rho={0: (0.3, 0.9)}),
    "everything": replace(OURS, rho=1e-9),
}
all_variants = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
own_variants = pytest.mark.parametrize("name", ["ours", "rows", "no centroids", "ours tau", "heads"])


def operands(layout: TokenLayout = LAYOUT, width: int = 8, dtype=torch.float64, seed: int = 0) -> tuple[Tensor, ...]:
    """Query, key and value, (2, 2, T, width)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 2, layout.frames * layout.tokens_per_frame, width)
    return tuple(2 * torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for _ in range(3))


def is_special(layout: TokenLayout) -> Tensor:
    """(T,) bool."""
    return torch.arange(layout.frames * layout.tokens_per_frame) % layout.tokens_per_frame < layout.special


def frame_permutation(layout: TokenLayout, order: Tensor) -> Tensor:
    """The same order of tokens (P,) in every frame, (T,)."""
    return (torch.arange(layout.frames)[:, None] * layout.tokens_per_frame + order).flatten()


def chosen(problem: Problem) -> BlockIndex:
    return joined(list(index_chunks(summary_of(problem), problem.blocks, problem.config, problem.layer)), 0)


def token_by_token(config: SparsityConfig, layout: TokenLayout, query: Tensor, key: Tensor, value: Tensor):
    """Output and density by one mask over all tokens; what is dropped is summed up from its own tokens."""
    attend = BlockSparse(config, "reference")
    order = patch_order(attend, layout, query.device)
    if order is not None:
        moved, back = (frame_permutation(layout, one) for one in order)
        query, key, value = (x[:, :, moved] for x in (query, key, value))
    problem = attend.problem(query, key, value, layout, 0)
    blocks, index = problem.blocks, chosen(problem)
    tokens, scale = query.shape[2], query.shape[-1] ** -0.5
    special = is_special(layout)
    patches = (~special).nonzero()[:, 0]
    every = torch.arange(blocks.tokens)
    sees = selected_blocks(index, blocks)[:, :, blocks.query_of(every)][..., blocks.key_of(every)]  # (B, heads, T, T)
    mask = torch.ones(2, 2, tokens, tokens, dtype=torch.bool)
    mask[:, :, patches[:, None], patches] = sees
    weights = (query @ key.transpose(-1, -2) * scale).exp() * mask
    total, result, pairs = weights.sum(-1), weights @ value, mask.sum((-1, -2))
    if config.pooled:
        size = config.centroid_block
        for frame in range(layout.frames):
            inside = patches.view(layout.frames, -1)[frame]
            for group in inside.split(size):
                mean, spread = key[:, :, group].mean(2), key[:, :, group].var(2, correction=0)
                logit = (query * mean[:, :, None]).sum(-1) * scale
                logit = logit + (query.square() * spread[:, :, None]).sum(-1) * (scale**2 / 2)
                dropped = (~mask[..., group]).sum(-1)  # (B, heads, T)
                total = total + dropped * logit.exp()
                result = result + (dropped * logit.exp())[..., None] * value[:, :, group].mean(2)[:, :, None]
                pairs = pairs + (dropped > 0).sum(-1)
    out = result / total[..., None]
    return out if order is None else out[:, :, back], pairs / tokens**2


@all_variants
@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_equals_a_mask_over_all_tokens(config, backend):
    query, key, value = operands()
    out, density = BlockSparse(config, backend)(query, key, value, LAYOUT, 0)
    expected, expected_density = token_by_token(config, LAYOUT, query, key, value)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(density, expected_density.float())


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 5), st.integers(0, 5), st.integers(1, 7), st.integers(1, 7)),
    st.sampled_from(list(VARIANTS)),
    st.sampled_from([(8, 4, 8), (1, 1, 1), (12, 3, 12), (20, 16, 16), (7, 5, 10)]),
    st.integers(0, 99),
)
def test_any_shape(shape, name, sizes, seed):
    """Special queries and keys are exact for every number of frames and every size, and all paths agree."""
    layout = TokenLayout(*shape)
    config = VARIANTS[name]
    own = {"score_block": 1, "centroid_block": min(1, config.centroid_block) * sizes[2]} if config.own else {}
    config = replace(config, query_block=sizes[0], key_block=sizes[1], **own)
    query, key, value = operands(layout, seed=seed)
    out, density = BlockSparse(config, "torch")(query, key, value, layout, 0)
    expected, expected_density = token_by_token(config, layout, query, key, value)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(density, expected_density.float())
    special = is_special(layout)
    torch.testing.assert_close(out[:, :, special], dense_attention(query, key, value)[0][:, :, special])


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from(["paper", "ours", "no centroids"]),
)
def test_full_budget_equals_dense(shape, name):
    layout = TokenLayout(*shape)
    config = replace(VARIANTS[name], rho=0.0)
    query, key, value = operands(layout)
    expected, _ = dense_attention(query, key, value)
    dense, density = BlockSparse(config)(query, key, value, layout, 0)
    assert torch.equal(dense, expected) and density is None
    all_but_one_head = replace(config, rho=0.5, layer_rho={0: (0.0, 0.9)})
    for backend in ("torch", "reference"):
        out, density = BlockSparse(all_but_one_head, backend)(query, key, value, layout, 0)
        torch.testing.assert_close(out[:, 0], expected[:, 0])
        assert density[:, 0].tolist() == [1, 1]


@own_variants
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
    problem = BlockSparse(config).problem(query, key, value, LAYOUT, 0)
    index, blocks = chosen(problem), problem.blocks
    out, lse = sparse_attention_reference(query, key, value, index, blocks)
    monkeypatch.setattr(cpu, "NUMBERS_AT_ONCE", 1)
    for first, last in ((0, index.rows), (1, 2), (index.rows - 1, index.rows)):
        fields = (x[:, :, first:last] for x in (index.indices, index.counts, index.whole, index.seen))
        part = BlockIndex(*fields, first=first)
        start, end = blocks.query_span(first, last)
        found = sparse_attention_reference(query, key, value, part, blocks)
        torch.testing.assert_close(found[0], out[:, :, start:end])
        torch.testing.assert_close(found[1], lse[:, :, start:end])
        for reads in (True, False):  # the lengths of lists, or takes all lists as equally long
            monkeypatch.setattr(cpu, "may_read", lambda device, reads=reads: reads)
            gathered = sparse_attention_torch(query, key, value, part, blocks)
            torch.testing.assert_close(gathered, out[:, :, start:end])


@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_order_of_patches_is_applied_and_undone(backend):
    query, key, value = operands()
    attend = BlockSparse(OURS, backend)
    expected, density = attend(query, key, value, LAYOUT, 0)
    tokens, _ = (frame_permutation(LAYOUT, one) for one in patch_order(attend, LAYOUT, query.device))
    moved = (x[:, :, tokens] for x in (query, key, value))
    out, same = attend(*moved, replace(LAYOUT, arranged=True), 0)
    torch.testing.assert_close(out, expected[:, :, tokens])
    assert torch.equal(same, density)
    for config in (PAPER, VARIANTS["rows"], SparsityConfig(method="dense"), replace(OURS, min_tokens=10**6)):
        assert patch_order(BlockSparse(config), LAYOUT, query.device) is None
    assert patch_order(dense_attention, LAYOUT, query.device) is None


@all_variants
def test_index_is_handed_out_in_pieces(config, monkeypatch):
    query, key, value = operands()
    whole, density = BlockSparse(config)(query, key, value, LAYOUT, 0)
    monkeypatch.setattr(select, "INDEX_LIMIT_BYTES", 1)
    monkeypatch.setattr(select, "INDEX_LIMIT_PER_TOKEN", 0)
    pieces, piece_density = BlockSparse(config)(query, key, value, LAYOUT, 0)
    torch.testing.assert_close(pieces, whole)
    assert torch.equal(piece_density, density)


def test_masked_patches_are_never_seen():
    query, key, value = operands()
    mask = torch.zeros(4, 3, 5, dtype=torch.bool)
    mask[1] = True
    attend = BlockSparse(replace(OURS, rho=0.5), patch_mask=mask)
    out, density = attend(query, key, value, LAYOUT, 0)
    special = is_special(LAYOUT)
    spoilt_key, spoilt_value = key.clone(), value.clone()
    others = ~special & (torch.arange(len(special)) // LAYOUT.tokens_per_frame != 1)
    spoilt_key[:, :, others] *= -3
    spoilt_value[:, :, others] = 100
    same, _ = attend(query, spoilt_key, spoilt_value, LAYOUT, 0)
    torch.testing.assert_close(same[:, :, ~special], out[:, :, ~special])
    assert (same - out)[:, :, special].abs().max() > 1  # special queries still see everything
    assert density.max() < BlockSparse(replace(OURS, rho=0.5))(query, key, value, LAYOUT, 0)[1].min()
    everything = BlockSparse(OURS, patch_mask=torch.ones_like(mask))(query, key, value, LAYOUT, 0)[0]
    assert torch.equal(everything, BlockSparse(OURS)(query, key, value, LAYOUT, 0)[0])
    for wrong, words in ((mask[0], "must be bool"), (mask.float(), "must be bool"), (mask[:2], "4 x 3 x 5 patches")):
        with pytest.raises(ValueError, match=words):
            BlockSparse(OURS, patch_mask=wrong)(query, key, value, LAYOUT, 0)


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
        out, _ = BlockSparse(VARIANTS["ours"], backend)(query, key, value, LAYOUT, 0)
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
    with pytest.raises(
        ValueError,
        match="Unknown backend 'cuda'; choose from auto, hopper, flash-attn-4, triton, block-sparse-attn, torch",
    ):
        BlockSparse(PAPER, "cuda")


def test_nothing_depends_on_values_outside_the_cpu_path():
    """On the meta device a value cannot be read, so whatever asks for one fails."""
    query, key, value = (x.to("meta") for x in operands(dtype=torch.bfloat16))
    for config in VARIANTS.values():
        out, density = BlockSparse(config, "torch")._sparse(query, key, value, LAYOUT, 0)  # meta has no autocast
        assert out.shape == query.shape and density.shape == (2, 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own, on some versions of Python
@pytest.mark.parametrize("name", ["both", "ours", "tau"])
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
    for name in ("kernel", "pool_kernel", "rank_kernel", "select_kernel"):
        monkeypatch.delitem(sys.modules, f"manyview.models.sparse.{name}", raising=False)
    with pytest.raises(ImportError, match="pip install triton"):
        BlockSparse(PAPER, "triton")(query, key, value, LAYOUT, 0)


def test_heads_that_differ_wait_for_no_copy():
    values = select.head_values((3, 1, 2), torch.int64, torch.device("cpu"))
    assert values.tolist() == [[3], [1], [2]] and values.dtype == torch.int64
    assert select.head_values((2, 2), torch.float32, torch.device("cpu")).tolist() == [[2], [2]]
