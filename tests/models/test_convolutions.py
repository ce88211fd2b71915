"""Convolutions and what follows: the kernels (in Triton's interpreter, or on a GPU) against the plain formulas."""

import importlib.util

import pytest
import torch
from torch import nn

from manyview.models import convolutions
from manyview.models.dense_head import DenseHead, DenseHeadConfig

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """No TF32: what is compared differs by rounding of float32 alone. The interpreter takes CPU tensors."""
    from manyview.models.sparse.kernel import interpreted

    if not torch.cuda.is_available() and not interpreted():
        pytest.skip("Triton needs a GPU or TRITON_INTERPRET=1")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(convolutions, "on_gpu", lambda x: True)


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch):
    """Calls a function with the plain formulas."""

    def call(function, *arguments, **options):
        with pytest.MonkeyPatch.context() as plain:
            plain.setattr(convolutions, "on_gpu", lambda x: False)
            return function(*arguments, **options)

    return call


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(DEVICE, dtype)


def layer(kind: type[nn.Module], *arguments: int, **options: int) -> nn.Module:
    torch.manual_seed(3)
    return kind(*arguments, **options).to(DEVICE).requires_grad_(False)


LAYERS = {
    "3x3": (nn.Conv2d, (6, 10, 3), {"padding": 1}),
    "3x3, no bias": (nn.Conv2d, (6, 10, 3), {"padding": 1, "bias": False}),
    "stride 2": (nn.Conv2d, (6, 10, 3), {"padding": 1, "stride": 2}),
    "1x1": (nn.Conv2d, (6, 10, 1), {}),
    "transposed": (nn.ConvTranspose2d, (6, 10, 2), {"stride": 2}),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("rectify", [True, False])
@torch.inference_mode()
def test_convolution_and_sums(plainly, name: str, count: int, rectify: bool) -> None:
    kind, arguments, options = LAYERS[name]
    module, x = layer(kind, *arguments, **options), random(2, 6, 5, 7)
    added = [random(*module(x).shape) + number for number in range(count)]
    before = [y.clone() for y in added]
    found = convolutions.convolve(x, module, *added, rectify=rectify)
    assert all(torch.equal(y, old) for y, old in zip(added, before, strict=True))
    torch.testing.assert_close(found, plainly(convolutions.convolve, x, module, *added, rectify=rectify))


@torch.inference_mode()
def test_without_fused_convolutions_the_rest_does_it(plainly, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> torch.Tensor:
        calls.append(1)
        raise RuntimeError("GET was unable to find an engine")

    calls, refused = [], set()
    monkeypatch.setattr(torch, "cudnn_convolution_relu", refuse)
    monkeypatch.setattr(convolutions, "_unfused", refused)
    monkeypatch.setattr(convolutions, "may_fuse", lambda x: (x.device, x.dtype) not in refused)
    module, x = layer(nn.Conv2d, 6, 10, 3, padding=1), random(2, 6, 5, 7)
    for _ in range(2):
        found = convolutions.convolve(x, module, rectify=True)
        torch.testing.assert_close(found, plainly(convolutions.convolve, x, module, rectify=True))
    assert calls == [1] and refused == {(x.device, x.dtype)}


@torch.inference_mode()
def test_three_more_maps_are_refused() -> None:
    module, x = layer(nn.Conv2d, 4, 4, 1), random(1, 4, 2, 2)
    with pytest.raises(ValueError, match="At most two"):
        convolutions.convolve(x, module, x, x, x)


@pytest.mark.parametrize("size", [(9, 14), (5, 7), (3, 2), (1, 1), (10, 1)])
@pytest.mark.parametrize("channels", [4, 10, 64])
@pytest.mark.parametrize("placed", [True, False])
@torch.inference_mode()
def test_resampling(plainly, size: tuple[int, int], channels: int, placed: bool) -> None:
    module, x = layer(nn.Conv2d, 6, channels, 1), random(2, 6, 5, 7)
    position = (random(channels // 2, size[1]), random(channels // 2, size[0])) if placed else None
    found = convolutions.convolve_resample(x, module, size, position)
    torch.testing.assert_close(found, plainly(convolutions.convolve_resample, x, module, size, position))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("outputs", [2, 4])
@torch.inference_mode()
def test_last_layer_is_as_exact_as_its_weights(plainly, dtype: torch.dtype, outputs: int) -> None:
    module, x = layer(nn.Conv2d, 12, outputs, 1), random(3, 12, 5, 7, dtype=dtype)
    found = convolutions.last_layer(x, module)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plainly(convolutions.last_layer, x, module))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@torch.inference_mode()
def test_whole_head(plainly, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    head = DenseHead(24, 3, DenseHeadConfig(features=16, channels=(8, 12, 16, 20), hidden=4), 14).to(DEVICE).eval()
    kept = [random(2, 12, 24) + number for number in range(4)]
    expected = plainly(head, kept, (42, 56))
    maps = [head.project(number, x, (42, 56)).to(dtype) for number, x in enumerate(kept)]
    found = head.predict(maps, (42, 56))
    assert found.dtype == torch.float32 and found.is_contiguous()
    tolerance = {} if dtype == torch.float32 else {"rtol": 1e-2, "atol": 1e-2}
    torch.testing.assert_close(found, expected, **tolerance)


def test_gradients_take_the_plain_formulas() -> None:
    module, x = nn.Conv2d(6, 4, 1).to(DEVICE), random(2, 6, 5, 7)
    assert not convolutions.in_few_passes(x, module)
    convolutions.convolve(x, module, rectify=True).sum().backward()
    assert module.weight.grad is not None
