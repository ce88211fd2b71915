"""8-bit images as networks take them."""

import numpy as np
import torch

from manyview.scene.pixels import to_pixels


def test_channels_first_and_from_0_to_1() -> None:
    images = np.array([[[[0, 51, 255], [1, 2, 3]]]], np.uint8)  # one image, 1 high, 2 wide
    found = to_pixels(images)
    assert found.shape == (1, 3, 1, 2) and found.dtype == torch.float32
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([0.0, 0.2, 1.0]))
    assert torch.equal(found[0, :, 0, 1], torch.tensor([1.0, 2.0, 3.0]) / 255)
