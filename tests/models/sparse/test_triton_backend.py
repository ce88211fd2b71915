"""The whole operation on the Triton backend; on a machine without a GPU through Triton's interpreter."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from manyview.models.attention import Heads, TokenLayout
from manyview.models.sparse import BlockSparse, SparsityConfig, libraries, operation

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
triton = pytest.importorskip("triton", reason="Triton is not installed")
if DEVICE == "cpu" and tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7):
    pytest.skip("the interpreter of Triton before 3.7 does not work with NumPy 2.4", allow_module_level=True)

LAYOUT = TokenLayout(frames=3, special=2, height=4, width=5)
PAPER = SparsityConfig(rho=0.8, tau=0.4, query_block=8, key_block=4)
OURS = SparsityConfig(
    method="manyview", rho=0.6, query_block=8, key_block=4, score_block=2, centroid_block=8, pooling="spread"
)
CONFIGS = {
    "paper": PAPER,
    "ours": OURS,
    "rows": replace(OURS, order="rows"),
    "no centroids": replace(OURS, centroid_block=0, pooling="avg"),
    "tau": replace(OURS, rho=None, tau=0.7),
}


def operands(width: int = 32, dtype: torch.dtype = torch.float32, layout: TokenLayout = LAYOUT) -> tuple[Tensor, ...]:
    """Queries, keys and values as a projection gives them."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, layout.frames * layout.tokens_per_frame, 3, 2, width)
    return torch.randn(shape, generator=generator).to(DEVICE, dtype).permute(2, 0, 3, 1, 4).unbind(0)


@pytest.mark.parametrize(
    ("config", "arranged"),
    [*((config, True) for config in CONFIGS.values()), (OURS, False)],
    ids=[*CONFIGS, "ours, rows of patches"],
)
def test_same_as_plain_torch(config: SparsityConfig, arranged: bool) -> None:
    layout = replace(LAYOUT, arranged=arranged)
    expected, density = BlockSparse(config, "torch")(*operands(), layout, 0)
    attend = BlockSparse(config, "triton")
    out, same = attend(*operands(), layout, 0)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(same, density)
    assert out.transpose(1, 2).is_contiguous()  # the projection that follows copies nothing
    assert attend.backend_report() == "triton (as asked for)"


HEADS_APART = CONFIGS | {"two": replace(OURS, layer_rho={0: (0.3, 0.9)})}


@pytest.mark.parametrize(
    ("name", "backend"),
    [*((name, "torch") for name in HEADS_APART), *((name, "triton") for name in ("paper", "ours", "two"))],
)
def test_heads_in_two_places(name: str, backend: str) -> None:
    """Each place has one of two heads; what they add up is known from a first round."""
    config = HEADS_APART[name]
    attend, given, layout = BlockSparse(config, backend), [], replace(LAYOUT, frames=2)
    whole = operands(layout=layout)

    def note(x: Tensor) -> Tensor:
        given.append(x)
        return x

    def halves(add_up: Callable[[Tensor], Tensor]) -> list[Tensor]:
        places = [
            attend.on_heads(*(x[:, head : head + 1] for x in whole), layout, 0, Heads(head, 1, 2, add_up))
            for head in (0, 1)
        ]
        return [torch.cat(parts, dim=1) for parts in zip(*places, strict=True)]

    out, density = halves(note)
    assert len(given) == (2 if config.own and not config.layer_rho else 0)
    if given:
        out, density = halves(lambda x: given[0] + given[1])
    expected, same = attend(*whole, layout, 0)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(density, same)


def test_centroids_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = BlockSparse(OURS, "torch")(*operands(), LAYOUT, 0)[1]
    monkeypatch.setattr(operation, "COUNTED_AT_ONCE", 1)
    assert torch.equal(BlockSparse(OURS, "torch")(*operands(), LAYOUT, 0)[1], expected)


def test_masked_patches() -> None:
    mask = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(3)) > 0.7
    expected, density = BlockSparse(OURS, "torch", mask)(*operands(), LAYOUT, 0)
    out, same = BlockSparse(OURS, "triton", mask)(*operands(), LAYOUT, 0)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(same, density) and density.mean() < BlockSparse(OURS)(*operands(), LAYOUT, 0)[1].mean()


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_chosen_on_cuda_unless_gradients_are_asked_for() -> None:
    attend = BlockSparse(PAPER)
    tokens = torch.randn(1, 2, LAYOUT.frames * LAYOUT.tokens_per_frame, 32, device=DEVICE)
    attend(tokens, tokens, tokens, LAYOUT, 0)
    assert attend.backend_report() == "triton (the device runs it)"
    attend(tokens.requires_grad_(), tokens, tokens, LAYOUT, 0)
    assert attend.backend_report() == "torch (the GPU kernels have no gradients)"


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
@pytest.mark.parametrize("config", [CONFIGS["paper"], CONFIGS["ours"]], ids=["paper", "ours"])
def test_a_graph_replays_it(config: SparsityConfig) -> None:
    """Nothing waits for the device: a wait would break the capture."""
    attend = BlockSparse(config)
    held = [x.clone() for x in operands(64, torch.bfloat16)]
    expected, _ = attend(*held, LAYOUT, 0)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out, _ = attend(*held, LAYOUT, 0)
    fresh = [x.flip(2) for x in operands(64, torch.bfloat16)]
    for one, other in zip(held, fresh, strict=True):
        one.copy_(other)
    graph.replay()
    assert not torch.equal(out, expected)
    torch.testing.assert_close(out, attend(*fresh, LAYOUT, 0)[0])


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiles_as_one_graph() -> None:
    attend = BlockSparse(OURS)

    def twice(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return 2 * attend(2 * query, key, value, LAYOUT, 0)[0]

    held = operands(64, torch.bfloat16)
    found = torch.compile(twice, fullgraph=True)(*held)
    torch.testing.assert_close(found, twice(*held), rtol=2e-2, atol=2e-2)


LARGE = TokenLayout(frames=5, special=5, height=19, width=23)


@pytest.mark.parametrize("backend", ["flash-attn-4", "block-sparse-attn"])
def test_other_peoples_kernels(backend: str) -> None:
    reason = {
        "flash-attn-4": libraries.why_not_flash4,
        "block-sparse-attn": libraries.why_not_block_sparse_attn,
    }[backend]
    config = SparsityConfig(rho=0.5, query_block=128, key_block=128)
    held = operands(64, torch.bfloat16, LARGE)
    obstacle = reason(held[0].device, held[0].dtype, 64, config.blocks(LARGE))
    if obstacle is not None:
        with pytest.raises(ValueError, match="cannot run here"):
            BlockSparse(config, backend)(*held, LARGE, 0)
        pytest.skip(obstacle)
    exact, density = BlockSparse(config, "reference")(*(x.double() for x in held), LARGE, 0)
    plain, _ = BlockSparse(config, "torch")(*held, LARGE, 0)
    attend = BlockSparse(config, backend)
    out, same = attend(*held, LARGE, 0)
    error, other = ((x.double() - exact).norm() / exact.norm() for x in (out, plain))
    assert error <= 2 * other and torch.equal(same, density)
    assert attend.backend_report() == f"{backend} (as asked for)"


def test_what_other_peoples_kernels_cannot() -> None:
    blocks = SparsityConfig(rho=0.5).blocks(LARGE)
    own = OURS.blocks(LARGE)
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    for function in (libraries.why_not_flash4, libraries.why_not_block_sparse_attn):
        assert "for cpu" in function(cpu, torch.bfloat16, 64, blocks)
        assert "not torch.float32" in function(cuda, torch.float32, 64, blocks)
        assert "only the method 'paper'" in function(cuda, torch.bfloat16, 64, own)
    assert "blocks of 128 x 128" in libraries.why_not_block_sparse_attn(cuda, torch.bfloat16, 64, blocks)
    assert "No module named" in libraries.missing("no_such_module_for_certain")
