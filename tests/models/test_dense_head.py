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


def test_residual_skip_is_rectified():
    unit = ResidualUnit(2)
    for parameter in unit.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(unit(x), x.relu())


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
