"""Fused operations: the kernels (in Triton's interpreter, or on a GPU) against the plain formulas."""

import importlib.util

import pytest
import torch
from torch import nn

from manyview.models import fused
from manyview.models.attention import TokenLayout
from manyview.models.layers import LayerNorm
from manyview.models.rope import rope_table

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LAYOUT = TokenLayout(frames=3, special=2, height=2, width=3)

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes CPU tensors."""
    from manyview.models.sparse.kernel import interpreted

    if not torch.cuda.is_available() and not interpreted():
        pytest.skip("Triton needs a GPU or TRITON_INTERPRET=1")
    monkeypatch.setattr(fused, "on_gpu", lambda x: True)


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(DEVICE, dtype)


def random_norm(width: int, dtype: torch.dtype = torch.float32) -> LayerNorm:
    norm = LayerNorm(width, eps=1e-5).to(DEVICE)
    for parameter in norm.parameters():
        nn.init.normal_(parameter, mean=0.5)
    return norm.to(dtype).requires_grad_(False)


@pytest.mark.parametrize(("rows", "width"), [(1, 8), (37, 48), (13, 320), (3, 2048)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("scaled", [True, False])
def test_sums_and_norms(rows: int, width: int, dtype: torch.dtype, scaled: bool) -> None:
    norm, x, branch = random_norm(width, dtype), random(rows, width), random(rows, width, dtype=dtype)
    factors = random(width, dtype=dtype) if scaled else None
    expected = x + (branch.float() if factors is None else branch.float() * factors.float())
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2e-3, "atol": 2e-3}
    torch.testing.assert_close(fused.normalise(x, norm), norm(x), **tolerance)
    held = x.clone()
    fused.add_scaled_(held, branch, factors)
    torch.testing.assert_close(held, expected)
    held = x.clone()
    found = fused.add_scaled_normalise_(held, branch, factors, norm)
    assert found.dtype == dtype
    torch.testing.assert_close(held, expected)
    torch.testing.assert_close(found, norm(expected), **tolerance)


def test_rows_of_a_larger_tensor_are_changed_where_they_are() -> None:
    whole = random(10, 16)
    x, branch, before = whole[2:7], random(5, 16), whole.clone()
    fused.add_scaled_(x, branch, None)
    torch.testing.assert_close(whole[2:7], before[2:7] + branch)
    assert torch.equal(whole[:2], before[:2]) and torch.equal(whole[7:], before[7:])


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("width", [8, 48, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("normed", "turned"), [(True, True), (True, False), (False, True), (False, False)])
def test_queries_and_keys(heads: int, width: int, dtype: torch.dtype, normed: bool, turned: bool) -> None:
    norms = [random_norm(width, dtype) if normed else nn.Identity() for _ in range(2)]
    rope = rope_table(LAYOUT, width, DEVICE, torch.float32) if turned else None
    qkv = random(2, 3 * LAYOUT.tokens_per_frame, 3, heads, width, dtype=dtype)
    found, expected = qkv.clone(), qkv.clone()
    fused.rotate_(found, *norms, rope)
    with pytest.MonkeyPatch.context() as plain:
        plain.setattr(fused, "on_gpu", lambda x: False)
        fused.rotate_(expected, *norms, rope)
    assert torch.equal(found[:, :, 2], qkv[:, :, 2])
    tolerance = 1e-5 if dtype == torch.float32 else 4e-3
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    assert torch.equal(found, qkv) == (not normed and not turned)
