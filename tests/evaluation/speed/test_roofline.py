"""The roofline: hand counts, and what PyTorch counts while a small model runs."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from manyview.evaluation.speed.roofline import (
    PEAKS,
    Peak,
    Shape,
    Work,
    attention,
    convolution,
    dense_head,
    encode,
    linear,
    matrix,
    work_of,
)
from manyview.models.checkpoints import load_model
from manyview.models.da3 import DepthAnything3, DepthAnything3Config
from manyview.models.dense_head import DenseHeadConfig
from manyview.models.dinov2 import EncoderConfig, PatchEmbed
from manyview.models.pi3 import Pi3
from manyview.models.vggt import VGGT_1B


def test_hand_counts() -> None:
    # 10 tokens of width 8, MLP 4 times as wide: qkv 10 x 8 x 24, projection 10 x 8 x 8, MLP twice 10 x 8 x 32
    assert linear(10, 8, 4, 2).flop == 2 * (1920 + 640 + 2 * 2560)
    # norms read 2 x 4 C, stream 2 x 8 C; norm, qkv 1 + 3, projection 1, norm, MLP 1 + 4 and 4: 16; weights 12 C^2
    assert linear(10, 8, 4, 2).bytes == 10 * (24 * 8 + 2 * 8 * 16) + 2 * 12 * 64
    assert attention(3, 5, 8, 2) == Work(3 * 2 * (2 * 5 * 5 * 8), 3 * 5 * 8 * 4 * 2)
    assert matrix(7, 3, 5, 4) == Work(2 * 7 * 3 * 5, 4 * (7 * 8 + 15))
    assert convolution(9, 2, 3, 100, 25, 4) == Work(2 * 9 * 2 * 3 * 25, 4 * (200 + 75 + 54))


def test_dense_head_by_hand() -> None:
    # one frame of 2 x 2 patches of 14 pixels, 8 features, channels 1 2 3 4, tokens of width 10, 2 outputs
    config = DenseHeadConfig(features=8, channels=(1, 2, 3, 4), hidden=5)
    project = 4 * 10 * (1 + 2 + 3 + 4)
    resize = 64 * 1 + 16 * 4 + 9 * 16  # 8 x 8, 4 x 4 and 1 pixel
    reduce = 9 * 8 * (64 * 1 + 16 * 2 + 4 * 3 + 1 * 4)
    units = 9 * 64 * (4 * 64 + 4 * 16 + 4 * 4 + 2 * 1)
    out = 64 * (64 + 16 + 4 + 1)  # before resampling: 8 x 8, 4 x 4, 2 x 2 pixels, 1
    last = 9 * 8 * 4 * 256 + (9 * 4 * 5 + 5 * 2) * 28 * 28
    found = dense_head(config, 10, 2, Shape(1, 28, 28), 14)
    assert found.flop == 2 * (project + resize + reduce + units + out + last)
    assert dense_head(config, 10, 2, Shape(3, 28, 28), 14).flop == 3 * found.flop


def test_full_size() -> None:
    # shared formula of the published figures: a dense global layer is 4 T^2 1024
    tokens = 200 * 1374
    found = work_of(VGGT_1B, Shape(200, 518, 518), ("camera", "depth"), 0.25)
    assert found["attention"].flop == 24 * tokens**2 * 1024
    assert found["global"].flop == 24 * 2 * tokens * 12 * 1024**2
    assert set(found) == {"encoder", "frame", "attention", "global", "camera", "depth"}


def counted(work) -> float:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        work()
    return counter.get_total_flops()


def dense(query, key, value, *_):
    """Attention as two products, which PyTorch counts on every device."""
    return torch.softmax(query @ key.transpose(-1, -2), dim=-1) @ value, None


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("outputs", [("camera",), ("depth", "points"), ("camera", "depth", "points")])
def test_agrees_with_what_pytorch_counts(tiny_model, outputs) -> None:
    model = load_model(tiny_model).model
    images = torch.rand(3, 3, 42, 56)
    work = work_of(model.config, Shape(3, 42, 56), outputs)
    measured = counted(lambda: model(images, outputs=outputs, global_attention=dense))
    # fused attention on CPUs may not be counted: that of encoder, frame blocks and camera head is left open
    total = sum(part.flop for part in work.values())
    frame = 4 * attention(3, 17, 64, 4).flop + attention(3, 17, 64, 4).flop
    camera = 4 * attention(1, 3, 128, 4).flop * ("camera" in outputs)
    assert total - frame - camera <= measured * (1 + 1e-9) and measured <= total * (1 + 1e-9)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_stem_agrees_with_what_pytorch_counts() -> None:
    config = EncoderConfig(width=32, depth=1, heads=2, image_size=56, stem_channels=(4, 6))
    counted_flop = counted(lambda: PatchEmbed(config).eval()(torch.rand(2, 3, 28, 42)))
    without_blocks = SimpleNamespace(**vars(config) | {"depth": 0})
    assert encode(without_blocks, Shape(2, 28, 42), 6).flop == counted_flop > 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_da3_agrees_with_what_pytorch_counts() -> None:
    dense_head = DenseHeadConfig(features=16, channels=(8, 12, 16, 24))
    config = DepthAnything3Config(
        width=64, depth=6, heads=4, alternate_from=2, kept_layers=(2, 3, 4, 5), dense=dense_head, image_size=56
    )
    model = DepthAnything3(config).eval()
    total = sum(part.flop for part in work_of(config, Shape(2, 42, 56), ("camera", "depth")).values())
    measured = counted(lambda: model(torch.rand(2, 3, 42, 56), global_attention=dense))
    assert 0.95 * total < measured < 1.05 * total


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_pi3_agrees_with_what_pytorch_counts(tiny_pi3_config) -> None:
    model = Pi3(tiny_pi3_config).eval()
    work = work_of(tiny_pi3_config, Shape(2, 42, 56), ())
    measured = counted(lambda: model(torch.rand(2, 3, 42, 56), global_attention=dense))
    total = sum(part.flop for part in work.values())
    assert 0.9 * total < measured < 1.02 * total  # local points are moved into the world as well


def test_least_time() -> None:
    peak = Peak(100.0, 10.0)
    assert peak.seconds(Work(1000, 10)) == 10 and peak.seconds(Work(10, 1000)) == 100
    assert PEAKS["NVIDIA H200"].bytes_per_s > PEAKS["NVIDIA H100 80GB HBM3"].bytes_per_s
    assert "NVIDIA H100 PCIe" not in PEAKS
