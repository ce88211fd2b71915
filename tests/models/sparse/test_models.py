"""Sparse attention inside VGGT, Pi3 and the bundled model: by constructor argument, with the same weights."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from manyview.models.camera_head import CameraHeadConfig
from manyview.models.checkpoints import load_model
from manyview.models.dense_head import DenseHeadConfig
from manyview.models.dinov2 import EncoderConfig
from manyview.models.pi3 import Pi3, Pi3Config
from manyview.models.sparse import BlockSparse, SparsityConfig
from manyview.models.vggt import VGGT, VGGTConfig

ENCODER = EncoderConfig(width=32, depth=1, heads=2, image_size=70, stem_channels=(8, 8))
SMALL_VGGT = VGGTConfig(
    encoder=ENCODER,
    depth=4,
    heads=2,
    kept_layers=(0, 1, 2, 3),
    special_token_std=0.02,
    camera=CameraHeadConfig(trunk_depth=1, heads=2),
    dense=DenseHeadConfig(features=16, channels=(8, 8, 16, 16), hidden=8),
    track=None,
)
SMALL_PI3 = Pi3Config(
    encoder=replace(ENCODER, stem_channels=()),
    depth=4,
    heads=2,
    head_width=24,
    head_heads=2,
    head_depth=1,
    camera_width=16,
)
SPARSE = SparsityConfig(
    method="manyview", rho=0.75, query_block=4, key_block=2, score_block=2, centroid_block=4, dense_layers="1"
)
IMAGES = torch.rand(1, 5, 3, 42, 56, generator=torch.Generator().manual_seed(0))


def vggt(config: SparsityConfig | None) -> VGGT:
    torch.manual_seed(0)
    return awake(VGGT(SMALL_VGGT) if config is None else VGGT(SMALL_VGGT, BlockSparse(config)))


def pi3(config: SparsityConfig | None) -> Pi3:
    torch.manual_seed(0)
    return awake(Pi3(SMALL_PI3) if config is None else Pi3(SMALL_PI3, BlockSparse(config)))


def awake(model: nn.Module) -> nn.Module:
    """Fresh blocks hardly change anything; let attention matter."""
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            nn.init.ones_(parameter)
        elif name.endswith("qkv.weight"):
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


def results(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Everything the model says, each (B, N, ...), but for the density."""
    with torch.inference_mode():
        if isinstance(model, VGGT):
            output = model(images, outputs=("camera", "depth", "points"))
            return [output.pose_passes[-1], output.depth, output.depth_confidence, output.world_points]
        output = model(images)
        return [output.local_points, output.confidence_logits, output.camera_to_world, output.points]


@pytest.mark.parametrize("build", [vggt, pi3])
def test_same_weights(build):
    dense, sparse = build(None), build(SPARSE)
    assert list(dense.state_dict()) == list(sparse.state_dict())
    sparse.load_state_dict(dense.state_dict(), strict=True)


@pytest.mark.parametrize("build", [vggt, pi3])
def test_nothing_dropped_is_dense(build):
    keeps_all = SparsityConfig(method="manyview", rho=0.5, layer_rho=dict.fromkeys(range(4), 1e-9))
    for sparse, dense in zip(results(build(keeps_all), IMAGES), results(build(None), IMAGES), strict=True):
        torch.testing.assert_close(sparse, dense, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("build", [vggt, pi3])
def test_dropping_changes_results_and_is_counted(build):
    model = build(SPARSE)
    with torch.inference_mode():
        density = model(IMAGES).density
    layers = len(density)
    assert density.shape == (layers, 1, 2)
    assert density[1].unique().tolist() == [1.0]
    assert 0.5 < density[0].mean() < 0.9  # much of it special tokens
    assert (results(model, IMAGES)[0] - results(build(None), IMAGES)[0]).abs().max() > 1e-4


@pytest.mark.parametrize(("build", "order"), [(vggt, [0, 3, 1, 4, 2]), (pi3, [2, 3, 1, 4, 0])])
def test_permuting_frames_permutes_results(build, order):
    model = build(SPARSE)
    for moved, plain in zip(results(model, IMAGES[:, order]), results(model, IMAGES), strict=True):
        torch.testing.assert_close(moved, plain[:, order], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("build", [vggt, pi3])
def test_scenes_of_a_batch_are_independent(build):
    model = build(SparsityConfig(rho=0.75, tau=0.3, query_block=4, key_block=2))
    both = torch.cat([IMAGES.flip(1), IMAGES])
    for pair, alone in zip(results(model, both), results(model, IMAGES), strict=True):
        torch.testing.assert_close(pair[1:], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("build", [vggt, pi3])
def test_training_reaches_queries_and_keys(build):
    model = build(SPARSE).train()
    output = model(IMAGES)
    (output.depth if isinstance(model, VGGT) else output.points).sum().backward()
    blocks = model.aggregator.global_blocks if isinstance(model, VGGT) else model.decoder[1::2]
    assert all(block.attn.qkv.weight.grad[: 2 * 32].abs().sum() > 0 for block in blocks)


def test_bundled_model_with_many_frames():
    images = torch.rand(24, 3, 56, 84, generator=torch.Generator().manual_seed(2))
    config = SparsityConfig(method="manyview", rho=0.9, query_block=16, key_block=8)
    with torch.inference_mode():
        dense = load_model("mini").model(images)
        close, exact = (
            load_model("mini", global_attention=BlockSparse(one)).model(images)
            for one in (config, replace(config, rho=1e-9))
        )
    assert exact.density.unique().tolist() == [1.0] and 0.2 < close.density.mean() < 0.5
    torch.testing.assert_close(exact.depth, dense.depth, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(exact.pose_passes, dense.pose_passes, rtol=1e-3, atol=1e-4)
    assert 1e-4 < (close.depth - dense.depth).abs().mean() < 0.1 * dense.depth.mean()
