"""Convolutions of the dense heads together with what follows each of them, in as few passes over the maps as possible.

On NVIDIA GPUs with Triton, without gradients, what follows a convolution is part of it (cuDNN) or one kernel
(`convolution_kernels.py`) over maps whose channels lie side by side; everywhere else the plain formula here.
"""

import logging

import torch
from torch import Tensor, nn
from torch.nn import functional

from .gpu_kernels import has_kernels
from .lean import may_overwrite

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MOST_NUMBERS = 2**31  # of a map, from which on cuDNN has no fused convolution

logger = logging.getLogger(__name__)
_unfused: set[tuple[torch.device, torch.dtype]] = set()  # where cuDNN turned out to have none at all


def convolve(x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d, *added: Tensor, rectify: bool = False) -> Tensor:
    """The layer's result for (M, C, h, w), plus what is added, then rectified if wanted."""
    if not in_few_passes(x, layer):
        out = layer(x)
        for other in added:
            out = out.add_(other) if may_overwrite() else out + other
        if not rectify:
            return out
        return functional.relu(out, inplace=may_overwrite())
    if rectify and not added and isinstance(layer, nn.Conv2d) and may_fuse(x):
        out = _rectified(x, layer)
        if out is not None:
            return out
    out = _without_bias(x, layer)
    if layer.bias is None and not added and not rectify:
        return out
    from .convolution_kernels import add_

    return add_(out, layer.bias, tuple(_channels_last(other) for other in added), rectify)


def convolve_resample(
    x: Tensor, layer: nn.Conv2d, size: tuple[int, int], position: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """The layer's result resampled bilinearly to `size`, corners on corners.

    position: what is added to the first half of the channels of every column, (C/2, w), and to the second half of
    every row, (C/2, h).
    """
    if in_few_passes(x, layer):
        from .convolution_kernels import resample

        x = _without_bias(x, layer)  # its own input may be freed now
        return resample(x, layer.bias, size, position)
    x = functional.interpolate(layer(x), size=size, mode="bilinear", align_corners=True)
    return x if position is None else add_position(x, position, overwrite=True)


def add_position(x: Tensor, position: tuple[Tensor, Tensor], *, overwrite: bool = False) -> Tensor:
    """Add what belongs to columns (C/2, w) and rows (C/2, h) to the halves of the channels of (M, C, h, w).

    `overwrite` allows doing it in place, which happens where no gradients are wanted.
    """
    columns, rows = position
    half = x.shape[1] // 2
    if overwrite and may_overwrite():
        x[:, :half].add_(columns[:, None, :])
        x[:, half:].add_(rows[:, :, None])
        return x
    return torch.cat([x[:, :half] + columns[:, None, :], x[:, half:] + rows[:, :, None]], dim=1)


def last_layer(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """A 1 x 1 convolution of few outputs in the format of its weights, (M, C, h, w) -> (M, outputs, h, w)."""
    if in_few_passes(x, layer):
        from .convolution_kernels import mix

        return mix(_channels_last(x), layer.weight, layer.bias)
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(layer.weight.dtype))


def in_few_passes(x: Tensor, layer: nn.Module) -> bool:
    """Whether the kernels take this map; layers that somebody put in the place of a convolution are called."""
    plain = type(layer) in (nn.Conv2d, nn.ConvTranspose2d)
    return plain and may_overwrite() and x.dtype in DTYPES and x.numel() < MOST_NUMBERS and on_gpu(x)


def on_gpu(x: Tensor) -> bool:
    """Whether the kernels run where this map is."""
    return run_on(x.device)


def run_on(device: torch.device) -> bool:
    """Whether a device has the kernels."""
    return device.type == "cuda" and torch.backends.cudnn.enabled and has_kernels(device)


def may_fuse(x: Tensor) -> bool:
    """Whether cuDNN may be asked for bias and ReLU with the convolution."""
    return x.is_cuda and (x.device, x.dtype) not in _unfused


def weight_for(x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """A layer's weight in the number format and order of a map."""
    return layer.weight.to(x.dtype, memory_format=torch.channels_last)


def _rectified(x: Tensor, layer: nn.Conv2d) -> Tensor | None:
    """Convolution, bias and ReLU at once; None where this cuDNN cannot do it on this GPU."""
    weight, bias = weight_for(x, layer), None if layer.bias is None else layer.bias.to(x.dtype)
    options = (layer.stride, layer.padding, layer.dilation, layer.groups)
    try:
        return torch.cudnn_convolution_relu(_channels_last(x), weight, bias, *options)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        logger.info("no fused convolution for %s on %s: %s", x.dtype, x.device, str(error).partition("\n")[0])
        _unfused.add((x.device, x.dtype))
        return None


def _without_bias(x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    weight, x = weight_for(x, layer), _channels_last(x)
    if isinstance(layer, nn.ConvTranspose2d):
        out = functional.conv_transpose2d(x, weight, None, layer.stride, layer.padding, layer.output_padding)
    else:
        out = functional.conv2d(x, weight, None, layer.stride, layer.padding)
    return _channels_last(out)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
