"""Images as networks take them."""

import numpy as np
import torch
from torch import Tensor


def to_pixels(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [0, 1] on the device; 8-bit until it is there."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(torch.float32) / 255
