"""The image encoder."""

import re

import pytest
import torch

from manyview.models.dinov2 import EncoderConfig, VisionTransformer, normalise, position_table

SMALL = EncoderConfig(width=32, depth=2, heads=2, image_size=70)


@pytest.mark.parametrize("case", ["dino_pos_37", "dino_pos_5"])
def test_position_table_golden(case, function_goldens):
    table = function_goldens.tensor(f"{case}/in/table")
    keys = [key for key in function_goldens.arrays if key.startswith(f"{case}/out/")]
    assert len(keys) >= 5
    for key in keys:
        height, width = map(int, re.search(r"h(\d+)_w(\d+)", key).groups())
        function_goldens.agree(key, position_table(table, height, width, 14))


def test_images_are_normalised_for_each_channel():
    images = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None].expand(2, 3, 14, 28).clone()
    torch.testing.assert_close(normalise(images), torch.zeros(2, 3, 14, 28))
    torch.testing.assert_close(normalise(images + 0.224)[:, 1], torch.ones(2, 14, 28))


def test_patches_are_row_by_row():
    torch.manual_seed(0)
    encoder = VisionTransformer(SMALL).eval()
    images = torch.rand(1, 3, 42, 56)
    changed = images.clone()
    changed[:, :, 14:28, 28:42] += 0.5  # row 1, column 2 of 3 x 4
    moved = (encoder.patch_embed(images) - encoder.patch_embed(changed)).abs().sum(-1)[0]
    assert moved.nonzero().flatten().tolist() == [1 * 4 + 2]


def test_chunks_of_frames_change_nothing():
    torch.manual_seed(0)
    encoder = VisionTransformer(SMALL).eval()
    images = torch.rand(5, 3, 42, 56)
    reported = []
    chunked = encoder(images, frame_chunk=2, progress=lambda *state: reported.append(state))
    torch.testing.assert_close(chunked, encoder(images), rtol=1e-5, atol=1e-5)
    assert chunked.shape == (5, 12, 32)
    assert reported == [("encoder", 0, 5), ("encoder", 2, 5), ("encoder", 4, 5)]


def test_convolutional_stem():
    config = EncoderConfig(width=32, depth=1, heads=2, image_size=70, stem_channels=(8, 16))
    encoder = VisionTransformer(config)
    names = [name for name, _ in encoder.patch_embed.named_parameters() if name.endswith("weight")]
    assert names == ["stem.0.weight", "stem.2.weight", "proj.weight"]
    assert encoder(torch.rand(2, 3, 28, 42)).shape == (2, 6, 32)


def test_stem_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="stem_channels must be 0 or 2 numbers"):
        VisionTransformer(EncoderConfig(width=32, depth=1, heads=2, stem_channels=(8,)))


def test_sixteen_bit_weights():
    torch.manual_seed(0)
    encoder = VisionTransformer(SMALL).eval()
    images = torch.rand(2, 3, 42, 56)
    exact = encoder(images)
    out = encoder.to(torch.bfloat16)(images)
    assert out.dtype == torch.bfloat16
    assert (out.float() - exact).norm() < 0.03 * exact.norm()
