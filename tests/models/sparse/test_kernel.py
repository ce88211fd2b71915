"""The Triton kernel against the plain formula in float64; on a machine without a GPU through Triton's interpreter."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from manyview.models.attention import TokenLayout
from manyview.models.sparse.blocks import BlockLayout, Centroids, key_centroids
from manyview.models.sparse.reference import selected_blocks, sparse_attention_reference
from manyview.models.sparse.select import BlockIndex

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
triton = pytest.importorskip("triton", reason="Triton is not installed")
if DEVICE == "cpu" and tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7):
    pytest.skip("the interpreter of Triton before 3.7 does not work with NumPy 2.4", allow_module_level=True)
kernel = pytest.importorskip("manyview.models.sparse.kernel", reason="Triton is not installed")


@dataclass(frozen=True)
class Case:
    """One problem: tokens of a model, the patches among them, and a random index."""

    layout: TokenLayout
    blocks: BlockLayout
    query: Tensor  # (B, heads, N * P, D), as all three a view of a projection's output
    key: Tensor
    value: Tensor
    index: BlockIndex

    def framed(self) -> list[Tensor]:
        """Patches as views (B, heads, N, patches, D)."""
        tokens = (x.unflatten(2, (self.layout.frames, -1)) for x in (self.query, self.key, self.value))
        return [x[:, :, :, self.layout.special :] for x in tokens]

    def patches(self) -> list[Tensor]:
        return [x.flatten(2, 3) for x in self.framed()]

    def special(self) -> list[Tensor]:
        tokens = (x.unflatten(2, (self.layout.frames, -1)) for x in (self.key, self.value))
        return [x[:, :, :, : self.layout.special].flatten(2, 3) for x in tokens]

    def exact(self, centroids: Centroids | None = None) -> tuple[Tensor, Tensor]:
        """The plain formula in float64."""
        if centroids is not None:
            numbers = (centroids.key, centroids.value, centroids.log_count)
            centroids = Centroids(*(x.double() for x in numbers))
        operands = (x.double() for x in (*self.patches(), *self.special()))
        return sparse_attention_reference(*operands, self.index, self.blocks, centroids)


def make_case(
    layout: TokenLayout,
    query_block: int,
    key_block: int,
    kind: str,
    width: int = 32,
    dtype: torch.dtype = torch.float32,
    share: float = 0.5,
    seed: int = 0,
) -> Case:
    random = torch.Generator().manual_seed(seed)
    blocks = BlockLayout.of(layout, query_block, key_block, kind)
    tokens, heads = layout.frames * layout.tokens_per_frame, 2
    qkv = torch.randn(1, tokens, 3, heads, width, generator=random).to(DEVICE, dtype).permute(2, 0, 3, 1, 4)
    sees = torch.rand(1, heads, blocks.query_blocks, blocks.key_blocks, generator=random) < share
    sees[..., 0] |= ~sees.any(-1)
    return Case(layout, blocks, *qkv.unbind(0), index_of(sees.to(DEVICE)))


def index_of(sees: Tensor) -> BlockIndex:
    """A map (B, heads, rows, Kb) as lists."""
    counts = sees.sum(-1)
    order = (~sees).to(torch.uint8).sort(dim=-1, stable=True).indices[..., : int(counts.max())]
    rank = torch.arange(order.shape[-1], device=sees.device)
    return BlockIndex(order.masked_fill(rank >= counts[..., None], -1).int(), counts.int())


def relative(error: Tensor, exact: Tensor) -> float:
    return float((error.double() - exact).norm() / exact.norm())


def dense_error(case: Case) -> float:
    """How far torch's own attention in this type is from float64, on the same numbers."""
    operands = (case.query, case.key, case.value)
    exact = scaled_dot_product_attention(*(x.double() for x in operands))
    return relative(scaled_dot_product_attention(*operands), exact)


def check(case: Case, out: Tensor, lse: Tensor, centroids: Centroids | None = None) -> None:
    exact, exact_lse = case.exact(centroids)
    assert relative(out, exact) <= 2 * dense_error(case)
    torch.testing.assert_close(lse.double(), exact_lse, rtol=0, atol=4e-6 if case.query.dtype.itemsize < 4 else 1e-5)


SHAPES = [
    # layout, query block, key block, kind, head width
    (TokenLayout(3, 5, 9, 11), 64, 32, "packed", 32),
    (TokenLayout(3, 5, 9, 11), 64, 32, "frames", 48),
    (TokenLayout(2, 1, 7, 19), 128, 64, "packed", 64),
    (TokenLayout(2, 0, 8, 16), 128, 128, "frames", 128),  # no special token, no short block
    (TokenLayout(1, 5, 10, 20), 192, 64, "frames", 64),
    (TokenLayout(5, 2, 3, 5), 20, 24, "packed", 32),  # frames smaller than a block, blocks of odd sizes
    (TokenLayout(1, 5, 3, 3), 128, 64, "packed", 32),  # less than one block
]


@pytest.mark.parametrize(("layout", "query_block", "key_block", "kind", "width"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_exact_as_dense_attention(
    layout: TokenLayout, query_block: int, key_block: int, kind: str, width: int, dtype: torch.dtype
) -> None:
    case = make_case(layout, query_block, key_block, kind, width, dtype)
    out, lse = kernel.sparse_attention_triton(*case.patches(), *case.special(), case.index, case.blocks)
    check(case, out, lse)


def test_half_precision() -> None:
    case = make_case(TokenLayout(3, 5, 9, 11), 64, 32, "frames", 48, torch.float16)
    check(case, *kernel.sparse_attention_triton(*case.patches(), *case.special(), case.index, case.blocks))


@pytest.mark.parametrize(("layout", "query_block", "key_block", "kind", "width"), SHAPES)
def test_views_of_all_tokens_need_no_copy(
    layout: TokenLayout, query_block: int, key_block: int, kind: str, width: int
) -> None:
    case = make_case(layout, query_block, key_block, kind, width)
    result = torch.full_like(case.query, torch.nan)
    tokens = result.unflatten(2, (layout.frames, -1))
    out, lse = kernel.sparse_attention_triton(
        *case.framed(), *case.special(), case.index, case.blocks, out=tokens[:, :, :, layout.special :]
    )
    check(case, out.flatten(2, 3), lse)
    assert tokens[:, :, :, : layout.special].isnan().all()  # untouched
    assert not tokens[:, :, :, layout.special :].isnan().any()


@pytest.mark.parametrize(("layout", "query_block", "key_block", "kind", "width"), SHAPES[:2] + SHAPES[4:])
def test_centroids_stand_for_dropped_blocks(
    layout: TokenLayout, query_block: int, key_block: int, kind: str, width: int
) -> None:
    case = make_case(layout, query_block, key_block, kind, width, share=0.3)
    centroids = key_centroids(*case.patches()[1:], case.blocks)
    operands = (*case.patches(), *case.special(), case.index, case.blocks, centroids)
    check(case, *kernel.sparse_attention_triton(*operands), centroids)


def test_more_centroids_than_a_tile() -> None:
    case = make_case(TokenLayout(1, 1, 7, 10), 128, 1, "frames", share=0.3)  # 70 key blocks
    centroids = key_centroids(*case.patches()[1:], case.blocks)
    operands = (*case.patches(), *case.special(), case.index, case.blocks, centroids)
    check(case, *kernel.sparse_attention_triton(*operands), centroids)


def test_full_budget_is_dense_attention() -> None:
    case = make_case(TokenLayout(2, 3, 6, 7), 32, 16, "frames", share=2.0)
    out, _ = kernel.sparse_attention_triton(*case.patches(), *case.special(), case.index, case.blocks)
    dense = scaled_dot_product_attention(case.query, case.key, case.value).unflatten(2, (2, -1))[:, :, :, 3:]
    torch.testing.assert_close(out, dense.flatten(2, 3), rtol=0, atol=2e-6)


def test_pieces_of_an_index_fill_one_result() -> None:
    case = make_case(TokenLayout(3, 2, 4, 5), 16, 16, "frames")
    operands = (*case.patches(), *case.special())
    whole, whole_lse = kernel.sparse_attention_triton(*operands, case.index, case.blocks)
    filled = torch.full_like(whole, torch.nan)
    for first, last in ((0, 2), (2, 6)):
        rows = slice(first, last)
        piece = BlockIndex(case.index.indices[:, :, rows], case.index.counts[:, :, rows], first)
        out, lse = kernel.sparse_attention_triton(*operands, piece, case.blocks)
        kernel.sparse_attention_triton(*operands, piece, case.blocks, out=filled)
        lo, hi = case.blocks.query_span(first, last)
        assert torch.equal(out, whole[:, :, lo:hi])
        assert torch.equal(lse, whole_lse[:, :, lo:hi])
    assert torch.equal(filled, whole)


def test_what_is_not_listed_is_not_read() -> None:
    case = make_case(TokenLayout(2, 3, 6, 7), 32, 16, "frames")
    query, key, value = case.patches()
    sees = selected_blocks(case.index, case.blocks) & (torch.arange(case.blocks.key_blocks, device=DEVICE) != 3)
    sees[..., 0] |= ~sees.any(-1)
    index = index_of(sees)
    expected, _ = kernel.sparse_attention_triton(query, key, value, *case.special(), index, case.blocks)
    patches = torch.arange(case.blocks.tokens, device=DEVICE)
    hidden = case.blocks.place(patches, case.blocks.key_block)[0] == 3
    key, value = (x.masked_fill(hidden[:, None], torch.nan) for x in (key, value))
    out, _ = kernel.sparse_attention_triton(query, key, value, *case.special(), index, case.blocks)
    assert case.blocks.key_blocks > 3
    assert torch.equal(out, expected)


def test_queries_without_keys_get_zeros() -> None:
    case = make_case(TokenLayout(2, 0, 4, 5), 32, 16, "frames")
    nothing = replace(case.index, counts=torch.zeros_like(case.index.counts))
    out, lse = kernel.sparse_attention_triton(*case.patches(), *case.special(), nothing, case.blocks)
    assert not out.any()
    assert (lse == -torch.inf).all()


def test_large_logits_stay_finite() -> None:
    case = make_case(TokenLayout(2, 2, 4, 5), 32, 16, "frames")
    query, key, value = case.patches()
    case = replace(case, query=case.query * 200, key=case.key * 200)
    query, key, value = case.patches()
    out, lse = kernel.sparse_attention_triton(query, key, value, *case.special(), case.index, case.blocks)
    exact, exact_lse = case.exact()
    torch.testing.assert_close(out.double(), exact, rtol=0, atol=2e-2)  # logits of 1e5 have an error of 1e-2
    torch.testing.assert_close(lse.double(), exact_lse, rtol=1e-6, atol=0)


def test_wrong_input_gets_a_sentence() -> None:
    case = make_case(TokenLayout(2, 2, 4, 5), 32, 16, "frames")
    operands = (*case.patches(), *case.special())
    with pytest.raises(ValueError, match="precision must be one of"):
        kernel.sparse_attention_triton(*operands, case.index, case.blocks, precision="bf16")
    with pytest.raises(ValueError, match="one shape"):
        kernel.sparse_attention_triton(operands[0], operands[1][:, :1], *operands[2:], case.index, case.blocks)
    with pytest.raises(ValueError, match="one type"):
        kernel.sparse_attention_triton(operands[0].half(), *operands[1:], case.index, case.blocks)
    with pytest.raises(ValueError, match="blocks are cut for"):
        other = BlockLayout.of(TokenLayout(2, 2, 4, 6), 32, 16)
        kernel.sparse_attention_triton(*operands, case.index, other)
    with pytest.raises(ValueError, match="special_key and special_value"):
        kernel.sparse_attention_triton(*operands[:3], operands[3][:, :1], operands[4], case.index, case.blocks)
    with pytest.raises(ValueError, match="The index has"):
        kernel.sparse_attention_triton(*operands, replace(case.index, first=1), case.blocks)
    with pytest.raises(ValueError, match="equal distances"):
        out = torch.empty(1, 2, 32, 40, device=DEVICE).transpose(2, 3)
        kernel.sparse_attention_triton(*operands, case.index, case.blocks, out=out)
    with pytest.raises(ValueError, match="out must be"):
        kernel.sparse_attention_triton(*operands, case.index, case.blocks, out=operands[0][:, :1])
    with pytest.raises(ValueError, match="heads of width 7"):
        kernel.sparse_attention_triton(*(x[..., :7] for x in operands), case.index, case.blocks)


def test_why_not_is_a_reason() -> None:
    device = torch.device(DEVICE)
    assert kernel.why_not(device, torch.bfloat16, 64, 128, 64) is None
    assert "float64" in kernel.why_not(device, torch.float64, 64, 128, 64)
    assert "256" in kernel.why_not(device, torch.float32, 64, 128, 256)
    assert "meta" in kernel.why_not(torch.device("meta"), torch.float32, 64, 128, 64)


@pytest.mark.parametrize("query_block", [1, 16, 20, 64, 100, 128, 192, 256, 384])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_fit_their_blocks(query_block: int, dtype: torch.dtype) -> None:
    tile = kernel.tile_for(query_block, 64, 64, dtype)
    assert 16 <= tile.queries <= 128
    assert tile.queries & (tile.queries - 1) == 0
    if query_block % 64 == 0:
        assert query_block % tile.queries == 0  # no lane is wasted
