"""What every launch of a Triton kernel needs."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

LOG2_E = math.log2(math.e)  # kernels take powers of two


def on_device(x: Tensor) -> AbstractContextManager:
    """Triton launches on the current device; make that the tensor's."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
