"""The dense heads."""

import re

import pytest
import torch

from manyview.models import dense_head
from manyview.models.dense_head import DenseHead, DenseHeadConfig, ResidualUnit, add_position_map

CONFIG = DenseHeadConfig(features=16, channels=(8, 12, 16, 20), hidden=4)


def tokens(frames: int, patches: int, width: int = 24) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(frames, patches, width) for _ in range(4)]


def test_position_map_golden(function_goldens):
    keys = [key for key in function_goldens.arrays if re.match(r"dpt_pos_.*/out/embed", key)]
    assert len(keys) == 4
    for key in keys:
        name = key.split("/")[0]
        width, height, channels = map(int, re.search(r"w(\d+)_h(\d+)_c(\d+)", name).groups())
        aspect = float(function_goldens.arrays[f"{name}/in/aspect_w_over_h"])
        added = add_position_map(torch.zeros(1, channels, height, width), aspect)[0].permute(1, 2, 0)
        function_goldens.agree(key, added / dense_head.POSITION_STRENGTH)


def test_activations_golden(function_goldens):
    raw = function_goldens.tensor("activate/in/x")
    points, confidence = dense_head.points_from_raw(raw)
    function_goldens.agree("activate/out/inv_log__expp1__value", points)
    function_goldens.agree("activate/out/inv_log__expp1__conf", confidence)
    for channel in range(3):
        depth, confidence = dense_head.depth_from_raw(raw[:, [channel, 3]])
        expected = function_goldens.tensor("activate/out/exp__expp1__value")[..., channel]
        torch.testing.assert_close(depth, expected)
        function_goldens.agree("activate/out/exp__expp1__conf", confidence)


def by_the_published_order(head: DenseHead, kept: list[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """The head as it is described: ReLUs at the start of units, 1 x 1 convolutions after resampling."""

    def unit(x: torch.Tensor, module: ResidualUnit) -> torch.Tensor:
        rectified = x.relu()
        return rectified + module.conv2(module.conv1(rectified).relu())

    def resampled(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return torch.nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=True)

    aspect, scratch = size[1] / size[0], head.scratch
    maps = [head.project(number, x, size) for number, x in enumerate(kept)]
    maps = [resize(add_position_map(x, aspect)) for x, resize in zip(maps, head.resize_layers, strict=True)]
    maps = [getattr(scratch, f"layer{number + 1}_rn")(x) for number, x in enumerate(maps)]
    sizes = [(2 * maps[0].shape[-2], 2 * maps[0].shape[-1]), *(x.shape[-2:] for x in maps[:3])]
    x = None
    for number in (3, 2, 1, 0):
        step = getattr(scratch, f"refinenet{number + 1}")
        x = maps[number] if x is None else x + unit(maps[number], step.resConfUnit1)
        x = step.out_conv(resampled(unit(x, step.resConfUnit2), sizes[number]))
    x = add_position_map(resampled(scratch.output_conv1(x), size), aspect)
    return scratch.output_conv2(x)


@pytest.mark.parametrize("no_gradients", [True, False])
def test_order_of_steps_does_not_matter(no_gradients):
    torch.manual_seed(0)
    head, kept = DenseHead(24, 3, CONFIG, 14).eval().double(), [x.double() for x in tokens(2, 12)]
    expected = by_the_published_order(head, kept, (42, 56))
    with torch.inference_mode(no_gradients):
        torch.testing.assert_close(head(kept, (42, 56)), expected)


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (1, 1), (5, 2)])
def test_output_has_the_size_of_the_image(rows, columns):
    head = DenseHead(24, 3, CONFIG, 14).eval()
    raw = head(tokens(2, rows * columns), (14 * rows, 14 * columns))
    assert raw.shape == (2, 3, 14 * rows, 14 * columns)


def test_feature_extractor_without_outputs():
    extractor = DenseHead(24, None, CONFIG, 14)
    assert not any("output_conv2" in name for name in extractor.state_dict())
    assert extractor(tokens(2, 12), (42, 56), (21, 28)).shape == (2, 16, 21, 28)


def test_frames_are_independent():
    torch.manual_seed(0)
    head = DenseHead(24, 2, CONFIG, 14).eval()
    kept = tokens(3, 12)
    together = head(kept, (42, 56))
    alone = torch.cat([head([layer[i : i + 1] for layer in kept], (42, 56)) for i in range(3)])
    torch.testing.assert_close(together, alone)
