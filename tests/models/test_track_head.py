import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from manyview.models import track_head
from manyview.models.track_head import TrackHead, TrackHeadConfig

TINY = TrackHeadConfig(
    features=8,
    channels=(4, 4, 8, 8),
    corr_levels=3,
    corr_radius=2,
    width=16,
    heads=2,
    depth=2,
    virtual_points=3,
    displacement_channels=8,
    passes=2,
)
IMAGE = (42, 70)
FRAMES = 3


@pytest.fixture
def head() -> TrackHead:
    torch.manual_seed(0)
    return TrackHead(12, TINY, patch_size=14).eval()


@pytest.fixture
def tokens() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, FRAMES, 15, 12, generator=generator) for _ in range(4)]


@pytest.fixture
def query() -> Tensor:
    return torch.tensor([[[10.0, 5.0], [69.0, 41.0]], [[0.0, 0.0], [33.3, 20.7]]])


def geometry(shared: Path, name: str) -> Tensor:
    with np.load(shared / "golden" / "geometry.npz") as file:
        return torch.from_numpy(file[name])


def test_sample_golden(shared: Path) -> None:
    maps = geometry(shared, "track_sample/in/fmap").permute(0, 2, 3, 1)
    found = track_head.sample_features(maps, geometry(shared, "track_sample/in/xy"))
    torch.testing.assert_close(found, geometry(shared, "track_sample/out/feat"), atol=1e-5, rtol=1e-5)


def test_correlation_golden(shared: Path) -> None:
    levels, radius = geometry(shared, "track_corr/in/levels_radius").tolist()
    maps = geometry(shared, "track_corr/in/fmaps").permute(0, 1, 3, 4, 2)
    pyramid = track_head.feature_pyramid(maps, levels)
    features, positions = geometry(shared, "track_corr/in/feats"), geometry(shared, "track_corr/in/xy")
    found = track_head.correlate(pyramid, features, positions, radius)
    torch.testing.assert_close(found, geometry(shared, "track_corr/out/corr"), atol=5e-5, rtol=1e-5)


def test_displacement_golden(shared: Path) -> None:
    found = track_head.embed_displacement(geometry(shared, "track_flow_embed/in/xy"), 64)
    torch.testing.assert_close(found, geometry(shared, "track_flow_embed/out/embed_c64"), atol=1e-6, rtol=0)


def test_place_golden(shared: Path) -> None:
    height, width, channels = geometry(shared, "track_grid_embed/in/h_w_c").tolist()
    grid = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"), dim=-1).float()
    found = track_head.embed_place(grid, (height, width), channels).permute(2, 0, 1)[None]
    torch.testing.assert_close(found, geometry(shared, "track_grid_embed/out/embed"), atol=1e-6, rtol=0)


@pytest.mark.parametrize("outside", [0.0, 30.0])
def test_correlation_equals_sampling_of_the_full_map(outside: float) -> None:
    torch.manual_seed(0)
    maps, features = torch.randn(2, 7, 9, 4), torch.randn(2, 5, 4)
    positions = torch.rand(2, 5, 2) * torch.tensor([8.0, 6.0]) + outside
    radius = 2
    found = track_head.correlate_window(maps, features, positions, radius)

    full = torch.einsum("mhwc,mqc->mqhw", maps, features) / math.sqrt(4)
    steps = torch.arange(-radius, radius + 1.0)
    window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)  # slow axis x, fast axis y
    places = (positions[:, :, None, None] + window).flatten(0, 1)
    grid = places / torch.tensor([8.0, 6.0]) * 2 - 1
    expected = functional.grid_sample(full.flatten(0, 1)[:, None], grid, align_corners=True).reshape(2, 5, -1)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_positions_outside_any_integer_range_are_harmless() -> None:
    positions = torch.tensor([[[math.nan, 0.0], [1e30, -1e30]]])
    maps, features = torch.ones(1, 4, 4, 2), torch.ones(1, 2, 2)
    assert track_head.correlate_window(maps, features, positions, 1).shape == (1, 2, 9)


def test_shapes_and_query_frame(head: TrackHead, tokens: list[Tensor], query: Tensor) -> None:
    with torch.inference_mode():
        tracks = head(tokens, IMAGE, query)
    assert tracks.positions.shape == (2, 2, FRAMES, 2, 2)
    assert tracks.visibility.shape == tracks.confidence.shape == (2, FRAMES, 2)
    torch.testing.assert_close(tracks.positions[:, :, 0], query.expand(2, -1, -1, -1))  # in its own frame, unmoved
    assert (tracks.positions[:, :, 1:] != query[:, None]).any()
    assert ((tracks.visibility > 0) & (tracks.visibility < 1)).all()


def test_one_frame(head: TrackHead, tokens: list[Tensor], query: Tensor) -> None:
    with torch.inference_mode():
        tracks = head([layer[:, :1] for layer in tokens], IMAGE, query)
    torch.testing.assert_close(tracks.positions[-1], query[:, None])


def test_chunks_change_nothing(
    head: TrackHead, tokens: list[Tensor], query: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.inference_mode():
        whole = head(tokens, IMAGE, query, frame_chunk=6)
        monkeypatch.setattr(track_head, "GATHER_LIMIT", 1)
        pieces = head(tokens, IMAGE, query, frame_chunk=1)
    torch.testing.assert_close(pieces.positions, whole.positions, atol=1e-2, rtol=1e-4)  # passes amplify rounding
    torch.testing.assert_close(pieces.positions[0], whole.positions[0], atol=1e-4, rtol=1e-5)


def test_other_frames_may_be_permuted(head: TrackHead, tokens: list[Tensor], query: Tensor) -> None:
    order = [0, 2, 1]
    with torch.inference_mode():
        straight = head(tokens, IMAGE, query)
        permuted = head([layer[:, order] for layer in tokens], IMAGE, query)
    torch.testing.assert_close(permuted.positions[0], straight.positions[0][:, order], atol=1e-3, rtol=1e-4)


def test_device_follows_the_input(head: TrackHead, tokens: list[Tensor], query: Tensor) -> None:
    """Meta tensors cannot be mixed with others, so a constant left on the CPU would raise."""
    tracks = head.to("meta")([layer.to("meta") for layer in tokens], IMAGE, query.to("meta"))
    assert tracks.positions.shape == (2, 2, FRAMES, 2, 2)
    assert {output.device.type for output in tracks} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpu_agrees_with_cpu(head: TrackHead, tokens: list[Tensor], query: Tensor) -> None:
    with torch.inference_mode():
        expected = head(tokens, IMAGE, query)
        found = head.cuda()([layer.cuda() for layer in tokens], IMAGE, query.cuda())
    torch.testing.assert_close(found.positions[0].cpu(), expected.positions[0], atol=5e-2, rtol=1e-2)


def test_too_small_images(head: TrackHead, tokens: list[Tensor], query: Tensor) -> None:
    with pytest.raises(ValueError, match="3 correlation levels needs at least 8 pixels"):
        head(tokens, (42, 7), query)
    assert TrackHead(12, TINY, patch_size=14).feature_size((8, 9)) == (4, 4)


def test_gradients_reach_every_parameter(head: TrackHead, tokens: list[Tensor], query: Tensor) -> None:
    tracks = head.train()(tokens, IMAGE, query)
    (tracks.positions.sum() + tracks.visibility.sum() + tracks.confidence.sum()).backward()
    assert [name for name, parameter in head.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["manifests/manifest_vggt_1b.json", "golden/manifest_vggt_small.json"])
def test_public_names(shared: Path, name: str) -> None:
    manifest = json.loads((shared / name).read_text(encoding="utf-8"))
    expected = {
        entry["key"].removeprefix("track_head."): tuple(entry["shape"])
        for entry in manifest["tensors"]
        if entry["key"].startswith("track_head.")
    }
    width = expected["feature_extractor.norm.weight"][0]
    with torch.device("meta"):
        head = TrackHead(width, TrackHeadConfig(corr_levels=7 if width == 2048 else 4), patch_size=14)
    assert {key: tuple(value.shape) for key, value in head.state_dict().items()} == expected
