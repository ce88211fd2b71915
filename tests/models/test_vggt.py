"""The whole VGGT: outputs, options, what it refuses."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from manyview.models.camera_head import CameraHeadConfig
from manyview.models.dense_head import DenseHeadConfig
from manyview.models.dinov2 import EncoderConfig
from manyview.models.track_head import TrackHeadConfig
from manyview.models.vggt import VGGT, VGGT_1B, VGGTConfig, config_from_dict, config_to_dict

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
TINY = VGGTConfig(
    encoder=EncoderConfig(width=32, depth=1, heads=2, image_size=70, stem_channels=(8, 8)),
    depth=4,
    heads=2,
    kept_layers=(0, 1, 2, 3),
    special_token_std=0.02,
    camera=CameraHeadConfig(trunk_depth=1, heads=2),
    dense=DenseHeadConfig(features=16, channels=(8, 8, 16, 16), hidden=8),
    track=TrackHeadConfig(
        features=16,
        channels=(8, 8, 8, 8),
        corr_levels=2,
        width=32,
        heads=2,
        depth=1,
        virtual_points=4,
    ),
)
IMAGES = torch.rand(2, 3, 3, 28, 42, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model() -> VGGT:
    torch.manual_seed(0)
    return VGGT(TINY).eval()


@torch.inference_mode()
def test_all_outputs(model):
    points = torch.tensor([[3.0, 4.0], [20.0, 11.5], [41.0, 27.0], [0.0, 0.0]])
    output = model(IMAGES, outputs=("camera", "depth", "points", "tracks"), query_points=points)
    assert output.pose_passes.shape == (4, 2, 3, 9)
    assert output.depth.shape == output.depth_confidence.shape == (2, 3, 28, 42)
    assert output.world_points.shape == (2, 3, 28, 42, 3)
    assert output.world_points_confidence.shape == (2, 3, 28, 42)
    assert output.tracks.shape == (4, 2, 3, 4, 2)
    assert output.track_visibility.shape == output.track_confidence.shape == (2, 3, 4)
    assert output.density is None
    assert (output.depth > 0).all() and (output.depth_confidence > 1).all()
    torch.testing.assert_close(output.tracks[-1, 0, 0], points)  # frame 0 is the query itself


@torch.inference_mode()
def test_only_what_is_asked_for(model):
    camera = model(IMAGES, outputs=("camera",))
    assert camera.depth is None and camera.world_points is None and camera.tracks is None
    depth = model(IMAGES, outputs=("depth",))
    assert depth.pose_passes is None
    both = model(IMAGES)
    assert torch.equal(both.pose_passes, camera.pose_passes) and torch.equal(both.depth, depth.depth)


@torch.inference_mode()
def test_frame_chunk_changes_nothing_and_one_scene_needs_no_batch_axis(model):
    whole = model(IMAGES, outputs=("camera", "depth", "points"))
    chunked = model(IMAGES[0], outputs=("camera", "depth", "points"), frame_chunk=2)
    for name in ("depth", "depth_confidence", "world_points"):
        torch.testing.assert_close(getattr(chunked, name)[0], getattr(whole, name)[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(chunked.pose_passes[:, 0], whole.pose_passes[:, 0], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_maps_may_wait_elsewhere(model, device: str) -> None:
    model, images = copy.deepcopy(model).to(device), torch.cat([IMAGES, IMAGES.flip(1)]).to(device)  # two scenes
    options = {"outputs": ("camera", "depth", "points"), "frame_chunk": 2}
    expected, found = model(images, **options), model(images, **options, maps="cpu", results="cpu")
    assert found.depth.device.type == "cpu"
    for name in ("pose_passes", "depth", "world_points", "world_points_confidence"):
        assert torch.equal(getattr(found, name).cpu(), getattr(expected, name).cpu())


@torch.inference_mode()
def test_progress_goes_through_all_stages(model):
    stages = []
    model(IMAGES, outputs=("camera", "depth", "points"), progress=lambda stage, done, total: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["encoder", "aggregator", "camera", "depth", "points"]


@torch.inference_mode()
def test_sixteen_bit_aggregator_with_float32_heads(model):
    exact = model(IMAGES)
    torch.manual_seed(0)
    half = VGGT(TINY).eval()
    half.load_state_dict(model.state_dict())
    half.aggregator.to(torch.bfloat16)
    output = half(IMAGES)
    assert output.depth.dtype == output.pose_passes.dtype == torch.float32
    assert (output.depth - exact.depth).norm() < 0.03 * exact.depth.norm()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(IMAGES).depth.dtype == torch.float32


def test_training_step_reaches_every_parameter():
    torch.manual_seed(0)
    model = VGGT(replace(TINY, track=None)).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(IMAGES, outputs=("camera", "depth", "points"))
    assert output.pose_passes.dtype == output.depth.dtype == output.world_points.dtype == torch.float32
    loss = output.pose_passes.square().sum() + (output.depth * output.depth_confidence).mean()
    (loss + (output.world_points.square().sum(-1) * output.world_points_confidence).mean()).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_attention_is_exchanged_without_touching_weights(model):
    def first_frame_only(query, key, value, layout, layer):
        count = layout.tokens_per_frame
        out = nn.functional.scaled_dot_product_attention(query, key[:, :, :count], value[:, :, :count])
        return out, torch.full(query.shape[:2], 1 / layout.frames)

    sparse = VGGT(TINY, first_frame_only).eval()
    sparse.load_state_dict(model.state_dict(), strict=True)
    with torch.inference_mode():
        density = sparse(IMAGES).density
    assert density.shape == (4, 2, 2)
    torch.testing.assert_close(density, torch.full((4, 2, 2), 1 / 3))


@pytest.mark.parametrize("config", [VGGT_1B, TINY, replace(TINY, track=None, camera=None, point_head=False)])
def test_config_survives_json(config):
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_public_size():
    with torch.device("meta"):
        model = VGGT()
    mask_token = 1024  # in the public file, never used
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_256_537_516 - mask_token


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (torch.rand(2, 3, 28, 41), {}, "multiples of 14, got 28 x 41"),
        (torch.rand(2, 4, 28, 42), {}, r"\(2, 4, 28, 42\)|\(1, 2, 4, 28, 42\)"),
        (torch.rand(3, 28, 42), {}, r"must be \(B, N, 3, H, W\)"),
        (torch.rand(0, 3, 28, 42), {}, "At least one image"),
        (torch.zeros(2, 3, 28, 42, dtype=torch.uint8), {}, "divide 8-bit images by 255"),
        (torch.rand(2, 3, 28, 42), {"outputs": ("colour",)}, "Unknown output 'colour'"),
        (torch.rand(2, 3, 28, 42), {"frame_chunk": 0}, "at least 1, got 0"),
        (torch.rand(2, 3, 28, 42), {"outputs": ("tracks",)}, "needs query_points"),
        (
            torch.rand(2, 3, 28, 42),
            {"outputs": ("tracks",), "query_points": torch.rand(5, 3)},
            r"query_points must be \(B, Q, 2\)",
        ),
    ],
)
def test_wrong_input_is_refused(model, images, options, message):
    with pytest.raises(ValueError, match=message):
        model(images, **options)


def test_missing_head_is_refused():
    model = VGGT(replace(TINY, point_head=False, track=None))
    assert not any(name.startswith(("point_head", "track_head")) for name in model.state_dict())
    with pytest.raises(ValueError, match="no head for 'points'"):
        model(IMAGES, outputs=("points",))


def test_kept_layers_must_exist():
    with pytest.raises(ValueError, match="four layers below depth 3"):
        replace(TINY, depth=3)
