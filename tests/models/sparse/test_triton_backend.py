"""The whole operation on the Triton backend; on a machine without a GPU through Triton's interpreter."""

import pytest
import torch

from manyview.models.attention import TokenLayout
from manyview.models.sparse import BlockSparse, SparsityConfig

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
triton = pytest.importorskip("triton", reason="Triton is not installed")
if DEVICE == "cpu" and tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7):
    pytest.skip("the interpreter of Triton before 3.7 does not work with NumPy 2.4", allow_module_level=True)

LAYOUT = TokenLayout(frames=2, special=2, height=3, width=3)
PAPER = SparsityConfig(rho=0.8, tau=0.4, query_block=8, key_block=4)
OURS = SparsityConfig(
    method="manyview",
    rho=0.6,
    query_block=8,
    key_block=4,
    layout="frames",
    centroids=True,
    order="bands",
    pooling="spread",
)


@pytest.mark.parametrize("config", [PAPER, OURS], ids=["paper", "manyview"])
def test_same_as_plain_torch(config: SparsityConfig) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (1, LAYOUT.frames * LAYOUT.tokens_per_frame, 3, 2, 32)  # as a projection gives them
    query, key, value = torch.randn(shape, generator=generator).to(DEVICE).permute(2, 0, 3, 1, 4).unbind(0)
    expected, density = BlockSparse(config, "torch")(query, key, value, LAYOUT, 0)
    attend = BlockSparse(config, "triton")
    out, same = attend(query, key, value, LAYOUT, 0)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(same, density)
    assert out.transpose(1, 2).is_contiguous()  # the projection that follows copies nothing
    assert attend.backend_report() == "triton (as asked for)"


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_chosen_on_cuda_unless_gradients_are_asked_for() -> None:
    attend = BlockSparse(PAPER)
    tokens = torch.randn(1, 2, LAYOUT.frames * LAYOUT.tokens_per_frame, 32, device=DEVICE)
    attend(tokens, tokens, tokens, LAYOUT, 0)
    assert attend.backend_report() == "triton (the device runs it)"
    attend(tokens.requires_grad_(), tokens, tokens, LAYOUT, 0)
    assert attend.backend_report() == "torch (the Triton kernel has no gradients)"
