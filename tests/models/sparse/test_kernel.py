"""The Triton kernel against the plain formula in float64; on a machine without a GPU through Triton's interpreter."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from manyview.models.attention import TokenLayout
from manyview.models.sparse.blocks import BlockLayout, Centroids, grouped, moments, patch_tokens
from manyview.models.sparse.reference import selected_blocks, sparse_attention_reference
from manyview.models.sparse.select import BlockIndex, lists_of

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
triton = pytest.importorskip("triton", reason="Triton is not installed")
if DEVICE == "cpu" and tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7):
    pytest.skip("the interpreter of Triton before 3.7 does not work with NumPy 2.4", allow_module_level=True)
kernel = pytest.importorskip("manyview.models.sparse.kernel", reason="Triton is not installed")
from manyview.models.sparse.kernel import Readable  # noqa: E402 (needs Triton)
from manyview.models.sparse.pool_kernel import readable  # noqa: E402


@dataclass(frozen=True)
class Case:
    """One problem: all tokens, and a random index of the patches among them."""

    layout: TokenLayout
    blocks: BlockLayout
    query: Tensor  # (B, heads, N * P, D), as all three a view of a projection's output
    key: Tensor
    value: Tensor
    index: BlockIndex

    @property
    def operands(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.query, self.key, self.value

    def centroids(self) -> Centroids:
        cut = (self.blocks.segments, self.blocks.key_block, self.blocks.keys_each)
        lengths = self.blocks.key_table(DEVICE)[1]
        keys, values = (
            grouped(moments(patch_tokens(x, self.blocks), *cut), lengths, self.blocks.group) for x in self.operands[1:]
        )
        return Centroids(*(x.to(self.key.dtype) for x in (keys.mean, keys.variance, values.mean)))

    def exact(self, centroids: Centroids | None = None) -> tuple[Tensor, Tensor]:
        """The plain formula in float64."""
        if centroids is not None:
            centroids = Centroids(*(x.double() for x in (centroids.key, centroids.spread, centroids.value)))
        return sparse_attention_reference(*(x.double() for x in self.operands), self.index, self.blocks, centroids)


def make_case(
    layout: TokenLayout,
    query_block: int,
    key_block: int,
    framed: bool,
    width: int = 32,
    dtype: torch.dtype = torch.float32,
    share: float = 0.5,
    group: int = 1,
) -> Case:
    random = torch.Generator().manual_seed(0)
    blocks = BlockLayout(layout, query_block, key_block, framed, group=group)
    tokens, heads = layout.frames * layout.tokens_per_frame, 2
    qkv = torch.randn(1, tokens, 3, heads, width, generator=random).to(DEVICE, dtype).permute(2, 0, 3, 1, 4)
    sees = torch.rand(1, heads, blocks.query_blocks, blocks.key_blocks, generator=random) < share
    sees[..., 0] |= ~sees.any(-1)
    return Case(layout, blocks, *qkv.unbind(0), index_of(sees.to(DEVICE), blocks))


def index_of(sees: Tensor, blocks: BlockLayout) -> BlockIndex:
    """A map (B, heads, rows, Kb) as lists."""
    lengths = blocks.key_table(sees.device)[1]
    sees = sees & (lengths > 0)
    return lists_of(sees, blocks, lengths, max(1, int(sees.sum(-1).max())), 0, centroids=True)


def readable_keys(case: Case) -> Readable:
    return readable(case.key, case.value, case.blocks)


def run(
    case: Case, index: BlockIndex | None = None, centroids: Centroids | None = None, **options
) -> tuple[Tensor, Tensor]:
    """Patches and sums of the kernel, after a look at what it must not touch."""
    out = torch.full_like(case.query, torch.nan)
    lse = torch.full((1, 2, case.blocks.tokens), torch.nan, device=DEVICE)
    keys = options.pop("keys", None) or readable_keys(case)
    kernel.sparse_attention_triton(
        case.query, keys, index or case.index, case.blocks, centroids, out=out, lse=lse, **options
    )
    special = out.unflatten(2, (case.layout.frames, -1))[:, :, :, : case.layout.special]
    assert special.isnan().all()
    return patch_tokens(out, case.blocks), lse


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
    tolerance = 4e-6 if case.query.dtype.itemsize < 4 else 1e-5
    if centroids is not None and case.query.dtype.itemsize < 4:
        tolerance = 2e-3  # squares of queries are rounded to 16 bits
    torch.testing.assert_close(lse.double(), exact_lse, rtol=0, atol=tolerance)


SHAPES = [
    # layout, query block, key block, framed, head width
    (TokenLayout(3, 5, 9, 11), 64, 32, False, 32),
    (TokenLayout(3, 5, 9, 11), 64, 32, True, 48),
    (TokenLayout(3, 5, 9, 11), 64, 16, True, 64),  # four blocks in a tile of keys
    (TokenLayout(2, 1, 7, 19), 128, 64, False, 64),
    (TokenLayout(2, 0, 8, 16), 128, 128, True, 128),  # no special token, no short block
    (TokenLayout(1, 5, 10, 20), 192, 64, True, 64),
    (TokenLayout(5, 2, 3, 5), 20, 32, False, 32),  # frames smaller than a block
    (TokenLayout(1, 5, 3, 3), 128, 64, False, 32),  # less than one block
]
shapes = pytest.mark.parametrize(("layout", "query_block", "key_block", "framed", "width"), SHAPES)


@shapes
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_exact_as_dense_attention(
    layout: TokenLayout, query_block: int, key_block: int, framed: bool, width: int, dtype: torch.dtype
) -> None:
    case = make_case(layout, query_block, key_block, framed, width, dtype)
    check(case, *run(case))


def test_half_precision() -> None:
    case = make_case(TokenLayout(3, 5, 9, 11), 64, 32, True, 48, torch.float16)
    check(case, *run(case, centroids=case.centroids()), case.centroids())


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize(("layout", "query_block", "key_block", "framed", "width"), SHAPES[1:3] + SHAPES[5:6])
def test_centroids_stand_for_what_is_dropped(
    layout: TokenLayout, query_block: int, key_block: int, framed: bool, width: int, group: int
) -> None:
    case = make_case(layout, query_block, key_block, framed, width, share=0.3, group=group)
    check(case, *run(case, centroids=case.centroids()), case.centroids())


def test_more_centroids_than_a_tile() -> None:
    case = make_case(TokenLayout(1, 1, 7, 10), 128, 1, True, share=0.3)  # 70 key blocks
    check(case, *run(case, centroids=case.centroids()), case.centroids())


def test_first_tile_of_centroids_may_be_empty() -> None:
    case = make_case(TokenLayout(1, 0, 7, 10), 128, 1, True)
    sees = torch.zeros_like(selected_blocks(case.index, case.blocks))
    sees[..., :40] = True
    case = replace(case, index=index_of(sees, case.blocks))
    check(case, *run(case, centroids=case.centroids()), case.centroids())


def test_full_budget_is_dense_attention() -> None:
    case = make_case(TokenLayout(2, 3, 6, 7), 32, 16, True, share=2.0)
    dense = patch_tokens(scaled_dot_product_attention(*case.operands), case.blocks)
    for centroids in (None, case.centroids()):
        torch.testing.assert_close(run(case, centroids=centroids)[0], dense, rtol=0, atol=2e-6)


def test_pieces_of_an_index_fill_one_result() -> None:
    case = make_case(TokenLayout(3, 2, 4, 5), 16, 16, True)
    whole, whole_lse = run(case)
    out = torch.full_like(case.query, torch.nan)
    lse = torch.full_like(whole_lse, torch.nan)
    for first, last in ((0, 2), (2, 6)):
        rows = slice(first, last)
        fields = (x[:, :, rows] for x in (case.index.indices, case.index.counts, case.index.whole, case.index.seen))
        piece = BlockIndex(*fields, first=first)
        kernel.sparse_attention_triton(case.query, readable_keys(case), piece, case.blocks, out=out, lse=lse)
    assert torch.equal(patch_tokens(out, case.blocks), whole)
    assert torch.equal(lse, whole_lse)


def test_what_is_not_listed_is_not_read() -> None:
    case = make_case(TokenLayout(2, 3, 6, 7), 32, 16, True)
    sees = selected_blocks(case.index, case.blocks) & (torch.arange(case.blocks.key_blocks, device=DEVICE) != 3)
    sees[..., 0] |= ~sees.any(-1)
    index = index_of(sees, case.blocks)
    expected, _ = run(case, index)
    patches = torch.arange(case.blocks.tokens, device=DEVICE)
    hidden = torch.zeros(case.query.shape[2], dtype=torch.bool, device=DEVICE)
    hidden[case.blocks.token_rows(patches)[case.blocks.key_of(patches) == 3]] = True
    spoilt = replace(case, **{n: getattr(case, n).masked_fill(hidden[:, None], torch.nan) for n in ("key", "value")})
    assert case.blocks.key_blocks > 3 and hidden.any()
    assert torch.equal(run(spoilt, index)[0], expected)


def test_queries_without_keys_get_zeros() -> None:
    case = make_case(TokenLayout(2, 0, 4, 5), 32, 16, True)
    zero = torch.zeros_like(case.index.counts)
    out, lse = run(case, replace(case.index, counts=zero, whole=zero))
    assert not out.any()
    assert (lse == -torch.inf).all()


def test_large_logits_stay_finite() -> None:
    case = make_case(TokenLayout(2, 2, 4, 5), 32, 16, True)
    case = replace(case, query=case.query * 200, key=case.key * 200)
    out, lse = run(case)
    exact, exact_lse = case.exact()
    torch.testing.assert_close(out.double(), exact, rtol=0, atol=2e-2)  # logits of 1e5 have an error of 1e-2
    torch.testing.assert_close(lse.double(), exact_lse, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("frames", "side", "group"), [(1, 37, 1), (3, 37, 4), (3000, 37, 1), (3000, 37, 4), (20_000, 2, 1)]
)
def test_rows_of_key_blocks(frames: int, side: int, group: int) -> None:
    blocks = BlockLayout(TokenLayout(frames, 5, side, side), 64, 8, framed=True, group=group)
    per_block, gap, skip = kernel.block_steps(blocks)
    start, length = blocks.key_table()
    block = torch.arange(blocks.key_blocks, dtype=torch.int32)
    segment = ((block * 4 + 2).long() * per_block >> 32).to(torch.int32)
    found = block * blocks.key_block + segment * gap + skip
    assert torch.equal(found[length > 0], blocks.token_rows(start)[length > 0])


def test_wrong_input_gets_a_sentence() -> None:
    case = make_case(TokenLayout(2, 2, 4, 5), 32, 16, True)
    with pytest.raises(ValueError, match="precision must be one of"):
        run(case, precision="bf16")
    keys = readable_keys(case)
    for changes, words in (
        ({"query": case.query[:, :, 1:]}, "must have one shape with 44 tokens"),
        ({"query": case.query.half()}, "one type"),
        ({"index": replace(case.index, first=1)}, "The index has"),
        ({"query": case.query[..., :7]}, "heads of width 7"),
        ({"query": case.query.transpose(2, 3).contiguous().transpose(2, 3)}, "side by side"),
    ):
        with pytest.raises(ValueError, match=words):
            run(replace(case, **changes), keys=keys)
    for key in (keys.key[:, :, 1:], keys.key.mT.contiguous().mT):
        with pytest.raises(ValueError, match=r"must be \(1, 2, 44, 32\), the numbers of a key side by side"):
            run(case, keys=replace(keys, key=key))
    straddling = replace(case, blocks=replace(case.blocks, framed=False))
    with pytest.raises(ValueError, match=r"must be \(1, 2, 48, 32\)"):
        run(straddling, keys=keys)


def test_why_not_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device(DEVICE)
    assert kernel.why_not(device, torch.bfloat16, 64, 128, 64) is None
    assert "float64" in kernel.why_not(device, torch.float64, 64, 128, 64)
    assert "not 256" in kernel.why_not(device, torch.float32, 64, 128, 256)
    assert "not 24" in kernel.why_not(device, torch.float32, 64, 128, 24)
    if DEVICE == "cuda":
        monkeypatch.setattr(kernel, "shared_limit", lambda device: 100_000)
        assert "shared memory" in kernel.why_not(device, torch.float32, 128, 128, 128)
    assert "meta" in kernel.why_not(torch.device("meta"), torch.float32, 64, 128, 64)


@pytest.mark.parametrize("query_block", [1, 16, 20, 64, 100, 128, 192, 256, 384])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_fit_their_blocks(query_block: int, dtype: torch.dtype) -> None:
    tile = kernel.tile_for(query_block, 64, 64, dtype)
    assert 16 <= tile.queries <= 128
    assert tile.queries & (tile.queries - 1) == 0
    if query_block % 64 == 0:
        assert query_block % tile.queries == 0  # no lane is wasted
