"""Depth Anything 3: what must hold whatever the weights are. Agreement with published outputs is in test_golden.py."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from manyview.models.checkpoints import LoadedModel, load_model, save_model
from manyview.models.da3 import (
    OUTPUTS,
    SIZES,
    DepthAnything3,
    DepthAnything3Config,
    config_for,
    config_from_dict,
    position_table,
)
from manyview.models.da3_cameras import decode_camera_to_world, encode_camera_to_world, normalised_cameras
from manyview.models.dense_head import DenseHeadConfig
from manyview.models.networks import Workload
from manyview.models.reference_frame import REFERENCES
from manyview.models.sparse import BlockSparse, SparsityConfig
from manyview.nodes.load_images import load_images
from manyview.nodes.reconstruct import reconstruct

TINY = DepthAnything3Config(
    width=64,
    depth=8,
    heads=4,
    alternate_from=4,
    kept_layers=(4, 5, 6, 7),
    dense=DenseHeadConfig(features=16, channels=(8, 12, 16, 24)),
    image_size=70,
    trained_size=70,
)


@pytest.fixture(scope="module")
def model() -> DepthAnything3:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DepthAnything3(TINY).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def loaded(model: DepthAnything3, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(save_model(model, tmp_path_factory.mktemp("da3") / "tiny.safetensors"))


def images(frames: int = 4, height: int = 42, width: int = 56, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, frames, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_frames_come_back_in_the_order_of_the_input(model: DepthAnything3) -> None:
    """With its class token's reference the network does not know an order of frames."""
    order = torch.tensor([2, 0, 3, 1])
    pictures = images()
    with torch.inference_mode():
        straight, mixed = model(pictures, outputs=OUTPUTS), model(pictures[:, order], outputs=OUTPUTS)
    assert straight.reference.sum() == 1
    for name in ("reference", "depth", "rays", "pose_encoding"):
        expected, found = getattr(straight, name)[:, order], getattr(mixed, name)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_chunks_of_frames_change_nothing(model: DepthAnything3) -> None:
    pictures = images(5)
    with torch.inference_mode():
        whole = model(pictures, outputs=OUTPUTS, frame_chunk=5, maps="cpu", results="cpu")
        parts = model(pictures, outputs=OUTPUTS, frame_chunk=2)
    for name in ("depth", "depth_confidence", "rays", "ray_confidence", "pose_encoding"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-5)


def test_only_what_is_asked_for_comes_out(model: DepthAnything3) -> None:
    with torch.inference_mode():
        rays = model(images(2), outputs=("rays",))
        cameras = model(images(2), outputs=("camera",))
    assert rays.depth is None and rays.pose_encoding is None and rays.rays.shape == (1, 2, 24, 32, 6)
    assert cameras.depth is None and cameras.pose_encoding.shape == (1, 2, 9)
    assert not cameras.reference[0, 1] and cameras.reference[0, 0]  # of two frames the first


def test_full_budget_is_dense_and_special_tokens_stay(model: DepthAnything3) -> None:
    config = SparsityConfig(rho=0.0, query_block=8, key_block=8)
    with torch.inference_mode():
        dense = model(images())
        sparse = model(images(), global_attention=BlockSparse(config))
        less = model(images(), global_attention=BlockSparse(replace(config, rho=0.7)))
    torch.testing.assert_close(sparse.depth, dense.depth, rtol=1e-4, atol=1e-5)
    assert less.density.shape == (2, 1, 4) and less.density.mean() < 1


def test_known_cameras_take_the_place_of_a_reference(model: DepthAnything3) -> None:
    poses = torch.rand(1, 4, 9, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        plain, known = model(images()), model(images(), poses=poses)
    assert known.reference is None and not torch.allclose(plain.depth, known.depth)
    with pytest.raises(ValueError, match=r"Known poses must be \(B, N, 9\)"):
        model(images(), poses=poses[:, :3])


def test_wrong_options_are_named(model: DepthAnything3) -> None:
    with pytest.raises(ValueError, match="Unknown output 'tracks'"):
        model(images(), outputs=("tracks",))
    with pytest.raises(ValueError, match="choose from saddle_balanced"):
        model(images(), reference="last")
    with pytest.raises(ValueError, match="below depth 8"):
        replace(TINY, kept_layers=(4, 5, 6, 8))
    with pytest.raises(ValueError, match="alternate_from"):
        replace(TINY, alternate_from=8)


def test_configuration_survives_a_file(model: DepthAnything3, loaded: LoadedModel) -> None:
    assert loaded.family == "da3" and loaded.model.config == TINY == config_from_dict(asdict(TINY))
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(images()).depth, model(images()).depth)


def test_published_files_have_one_name_for_the_shared_norm(model: DepthAnything3) -> None:
    names = {name.replace("conv2_aux.3.2.", "conv2_aux.0.2."): value for name, value in model.state_dict().items()}
    names["head.scratch.output_conv1_aux.0.0.weight"] = torch.zeros(1)  # published, not used
    wrapped = {f"model.{name}": value for name, value in names.items()}
    found = load_model(wrapped, config=TINY)
    assert found.report.ignored == ("head.scratch.output_conv1_aux.0.0.weight",)
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize("size", list(SIZES))
def test_published_sizes_are_told_by_their_width(size: str) -> None:
    shapes = {"backbone.pretrained.camera_token": (1, 2, SIZES[size].width)}
    assert config_for(shapes) == SIZES[size]
    with pytest.raises(ValueError, match="of width 1536"):
        config_for({"backbone.pretrained.camera_token": (1, 2, 1536)})


def test_the_adapter_tells_architecture_and_memory(loaded: LoadedModel) -> None:
    network = loaded.network
    assert (network.special_tokens, network.global_layers, network.patch_size, network.image_size) == (1, 2, 14, 70)
    assert network.tokens(Workload(3, 42, 56)) == 3 * (3 * 4 + 1)
    small, large = (network.activation_bytes(Workload(frames, 42, 56)) for frames in (2, 20))
    assert 0 < small < large
    with pytest.raises(ValueError, match="no 'points'"):
        network.check_point_source("points")


def test_reconstruction_from_photos(loaded: LoadedModel, photos: Path) -> None:
    shown: list[np.ndarray] = []
    views = load_images(photos, model=loaded)
    scene = reconstruct(loaded, views, show=shown.append, sparsity=SparsityConfig(rho=0.5, min_tokens=0))
    assert scene.depth.shape == (3, *views.images.shape[1:3]) and max(scene.depth.shape[1:]) == 70
    assert np.isfinite(scene.world_to_camera).all() and scene.world_points is None
    assert (scene.confidence > 0).all() and (scene.confidence < 1).all() and scene.pixel_center == 0
    assert shown and scene.density.shape == (2, 4)


def test_cameras_round_trip() -> None:
    generator = torch.Generator().manual_seed(0)
    pose = torch.rand(5, 9, generator=generator, dtype=torch.float64) + 0.1
    world_to_camera, intrinsics = decode_camera_to_world(pose, (60, 80))
    again = encode_camera_to_world(world_to_camera, intrinsics, (60, 80))
    unit = pose[:, 3:7] / pose[:, 3:7].norm(dim=1, keepdim=True)
    torch.testing.assert_close(again, torch.cat([pose[:, :3], unit, pose[:, 7:]], 1))


def function_case(shared: Path, case: str) -> dict[str, torch.Tensor]:
    with np.load(shared / "golden" / "da3_functions.npz") as file:
        return {
            key.removeprefix(f"{case}/"): torch.from_numpy(file[key])
            for key in file.files
            if key.startswith(f"{case}/")
        }


def test_position_tables_agree_with_published_ones(shared: Path) -> None:
    found = function_case(shared, "pos_table")
    for key, expected in found.items():
        if key.startswith("out/"):
            height, width = (int(part[1:]) for part in key.removeprefix("out/").split("_"))
            torch.testing.assert_close(
                position_table(found["in/table"], height, width, 14), expected, rtol=0, atol=1e-4
            )


def test_cameras_agree_with_published_ones(shared: Path) -> None:
    case = function_case(shared, "pose_decode")
    decoded = decode_camera_to_world(case["in/pose_enc"], tuple(case["in/image_hw"].tolist()))
    torch.testing.assert_close(decoded[0], case["out/extrinsics"])
    torch.testing.assert_close(decoded[1], case["out/intrinsics"])
    case = function_case(shared, "pose_encode")
    encoded = encode_camera_to_world(case["in/extrinsics"], case["in/intrinsics"], tuple(case["in/image_hw"].tolist()))
    torch.testing.assert_close(encoded, case["out/pose_enc"])
    for name in ("1", "2", "3", "4", "6", "small"):
        case = function_case(shared, f"normalize_extrinsics_{name}")
        torch.testing.assert_close(
            normalised_cameras(case["in/extrinsics"]), case["out/extrinsics"], rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("case", ["random", "positive", "one", "duplicate", "many"])
@pytest.mark.parametrize("strategy", list(REFERENCES))
def test_reference_frames_agree_with_published_choices(shared: Path, case: str, strategy: str) -> None:
    found = function_case(shared, f"ref_view_{case}")
    if found["in/tokens"].shape[1] < 3:  # the network does not choose of one or two
        return
    chosen = REFERENCES[strategy](found["in/tokens"][:, :, 0])
    good = found.get(f"out/{strategy}_candidates")
    if good is None:
        assert torch.equal(chosen, found[f"out/{strategy}"])
    else:
        assert good.gather(1, chosen[:, None]).all()
