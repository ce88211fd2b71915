"""Stopping a pass wherever it is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.models.attention import TokenLayout, dense_attention
from manyview.models.checkpoints import load_model
from manyview.models.sparse import PRESETS, BlockSparse, SparsityConfig
from manyview.nodes import interrupt
from manyview.nodes.interrupt import by_heads, interruptible
from manyview.nodes.load_images import load_images
from manyview.nodes.reconstruct import reconstruct, settings_by_head


@pytest.fixture(scope="module")
def model(tiny_model: Path):
    return load_model(tiny_model)


class Stop(BaseException):
    """As ComfyUI's: not an Exception, so that nobody swallows it."""


def test_stops_at_any_layer_and_leaves_no_trace(model, photos: Path) -> None:
    images = load_images(photos, model=model)
    calls = []
    expected = reconstruct(model, images, check=lambda: calls.append(1))
    assert len(calls) > 100
    for last in (1, len(calls) // 3, len(calls) - 1):
        left = last

        def check() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Stop

        with pytest.raises(Stop):
            reconstruct(model, images, check=check)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.model.modules())
    assert (reconstruct(model, images).depth == expected.depth).all()


@pytest.mark.parametrize("attend", [dense_attention, BlockSparse(PRESETS["paper-s50"])])
def test_by_heads_changes_nothing_but_the_order_of_work(attend) -> None:
    layout = TokenLayout(frames=2, special=3, height=5, width=7)
    query, key, value = torch.randn(3, 1, 4, 2 * layout.tokens_per_frame, 8, generator=torch.Generator().manual_seed(0))
    calls = []
    out, density = by_heads(attend, lambda: calls.append(1))(query, key, value, layout, 3)
    expected, expected_density = attend(query, key, value, layout, 3)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    assert len(calls) == 4 and (density is None) == (expected_density is None)
    if density is not None:
        np.testing.assert_allclose(density, expected_density)


def test_settings_of_single_heads_keep_the_heads_together() -> None:
    assert not settings_by_head(None) and not settings_by_head(SparsityConfig(rho=0.5, method="manyview"))
    assert not settings_by_head(SparsityConfig(method="manyview", rho=0.5, layer_rho={1: 0.2}))
    assert settings_by_head(SparsityConfig(method="manyview", rho=0.5, layer_tau={1: (0.5, 0.9)}))


def test_program_waits_for_the_gpu_before_it_is_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    class Event:
        def record(self) -> None:
            pass

        def synchronize(self) -> None:
            waited.append(self)

    monkeypatch.setattr(interrupt.torch.cuda, "Event", Event)
    pace = interrupt.Pace()
    for _ in range(5):
        pace.step()
    assert len(waited) == 5 - interrupt.AHEAD and len(set(waited)) == len(waited)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu(tiny_model: Path, photos: Path) -> None:
    model = load_model(tiny_model, device="cuda")
    images = load_images(photos, model=model)
    found = reconstruct(model, images, check=lambda: None).depth
    np.testing.assert_allclose(found, reconstruct(model, images).depth, rtol=1e-4)


def test_without_progress_nothing_is_watched(model) -> None:
    with interruptible(model.model, lambda: None):
        assert any(module._forward_pre_hooks for module in model.model.modules())
    assert not any(module._forward_pre_hooks for module in model.model.modules())
