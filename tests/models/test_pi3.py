import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from manyview.models.attention import TokenLayout, dense_attention
from manyview.models.dinov2 import EncoderConfig
from manyview.models.pi3 import (
    PI3,
    Pi3,
    Pi3Config,
    config_from_dict,
    local_points_from_raw,
    nearest_rotation,
    transform_points,
)

TINY = Pi3Config(
    encoder=EncoderConfig(width=32, depth=1, heads=2, image_size=42),
    depth=4,
    heads=2,
    head_width=24,
    head_heads=2,
    head_depth=1,
    camera_width=16,
)


@pytest.fixture
def model() -> Pi3:
    torch.manual_seed(0)
    return Pi3(TINY).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 3, 28, 42, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("manifests/manifest_pi3.json", PI3),
        (
            "golden/manifest_pi3_small.json",
            Pi3Config(encoder=EncoderConfig(width=384, depth=12, heads=6), depth=8, heads=6, head_depth=2),
        ),
    ],
)
def test_public_names(shared: Path, name: str, config: Pi3Config) -> None:
    manifest = json.loads((shared / name).read_text(encoding="utf-8"))
    expected = {entry["key"]: tuple(entry["shape"]) for entry in manifest["tensors"] if "image_" not in entry["key"]}
    with torch.device("meta"):
        model = Pi3(config)
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == expected
    assert sum(parameter.numel() for parameter in model.parameters()) == manifest["parameters"]


def test_outputs(model: Pi3, images: Tensor) -> None:
    with torch.inference_mode():
        found = model(images)
    assert found.points.shape == found.local_points.shape == (2, 3, 28, 42, 3)
    assert found.confidence_logits.shape == (2, 3, 28, 42)
    assert found.camera_to_world.shape == (2, 3, 4, 4)
    assert found.density is None
    assert (found.local_points[..., 2] > 0).all()
    rotation, translation = found.camera_to_world[..., :3, :3], found.camera_to_world[..., :3, 3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0)
    moved = torch.einsum("bnij,bnhwj->bnhwi", rotation, found.local_points) + translation[:, :, None, None]
    torch.testing.assert_close(found.points, moved, atol=1e-5, rtol=1e-5)


def test_batch_axis_may_be_left_out(model: Pi3, images: Tensor) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(model(images[0]).points, model(images[:1]).points)


def test_permuting_frames_permutes_results(model: Pi3, images: Tensor) -> None:
    order = [2, 0, 1]
    with torch.inference_mode():
        straight, permuted = model(images), model(images[:, order])
    torch.testing.assert_close(permuted.points, straight.points[:, order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(permuted.camera_to_world, straight.camera_to_world[:, order], atol=1e-5, rtol=1e-5)


def test_chunks_change_nothing(model: Pi3, images: Tensor) -> None:
    with torch.inference_mode():
        torch.testing.assert_close(model(images, frame_chunk=1).points, model(images).points, atol=1e-5, rtol=1e-5)


def test_frames_see_each_other_through_global_attention_only(images: Tensor) -> None:
    def each_frame_alone(query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int):
        def split(x: Tensor) -> Tensor:
            return x.unflatten(2, (layout.frames, -1)).transpose(1, 2).flatten(0, 1)

        out, _ = dense_attention(split(query), split(key), split(value), layout, layer)
        density = query.new_full(query.shape[:2], 1 / layout.frames)
        return out.unflatten(0, (-1, layout.frames)).transpose(1, 2).flatten(2, 3), density

    torch.manual_seed(0)
    model = Pi3(TINY, each_frame_alone).eval()
    with torch.inference_mode():
        together, alone = model(images), model(images[:, 1:2])
    torch.testing.assert_close(together.points[:, 1:2], alone.points, atol=1e-5, rtol=1e-5)
    assert together.density.shape == (TINY.depth // 2, 2, TINY.heads)
    assert alone.density.mean() == 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 2, 3, 28, 43), "multiples of 14"), ((3, 28, 28), "must be"), ((1, 0, 3, 28, 28), "At least one image")],
)
def test_bad_images(model: Pi3, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(shape))


def test_progress_and_cancel(model: Pi3, images: Tensor) -> None:
    stages = []
    with torch.inference_mode():
        model(images, frame_chunk=2, progress=lambda stage, done, total: stages.append((stage, done, total)))
    assert [call for call in stages if call[0] == "heads"] == [("heads", 0, 6), ("heads", 2, 6), ("heads", 4, 6)]
    assert [call for call in stages if call[0] == "decoder"] == [("decoder", block, 4) for block in range(4)]

    def cancel(stage: str, done: int, total: int) -> None:
        raise InterruptedError(stage)

    with pytest.raises(InterruptedError):
        model(images, progress=cancel)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpu_agrees_with_cpu(model: Pi3, images: Tensor) -> None:
    with torch.inference_mode():
        expected = model(images)
        found = model.cuda()(images.cuda())
    torch.testing.assert_close(found.points.cpu(), expected.points, atol=1e-3, rtol=1e-3)  # TF32 convolutions


def test_training_under_autocast(images: Tensor) -> None:
    torch.manual_seed(0)
    model = Pi3(TINY).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(images)
    assert found.camera_to_world.dtype == found.points.dtype == torch.float32
    (found.points.sum() + found.confidence_logits.float().sum()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_rotation_golden(shared: Path) -> None:
    with np.load(shared / "golden" / "geometry.npz") as file:
        numbers, expected = (torch.from_numpy(file[f"pi3_rotation/{name}"]) for name in ("in/r9", "out/mat"))
    torch.testing.assert_close(nearest_rotation(numbers.unflatten(-1, (3, 3))), expected, atol=2e-5, rtol=0)


def test_rotation_of_reflections() -> None:
    torch.manual_seed(0)
    found = nearest_rotation(torch.randn(50, 3, 3, dtype=torch.float64))
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(found @ found.mT, torch.eye(3, dtype=torch.float64).expand(50, 3, 3))
    torch.testing.assert_close(nearest_rotation(3 * found), found)  # a rotation of any scale stays itself


def test_local_points() -> None:
    raw = torch.tensor([0.5, -2.0, 1.0]).view(1, 3, 1, 1)
    z = torch.tensor(1.0).exp()
    torch.testing.assert_close(local_points_from_raw(raw).flatten(), torch.stack([0.5 * z, -2 * z, z]))


def test_transform_points_moves_camera_to_world() -> None:
    pose = torch.eye(4)[None].clone()
    pose[0, :3, 3] = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(transform_points(pose, torch.zeros(1, 1, 1, 3)).flatten(), pose[0, :3, 3])


def test_config_survives_json() -> None:
    config = Pi3Config(encoder=EncoderConfig(width=64, heads=4, stem_channels=(8, 16)), depth=6, heads=4)
    assert config_from_dict(json.loads(json.dumps(asdict(config)))) == config


def test_odd_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be even"):
        Pi3Config(depth=5)
