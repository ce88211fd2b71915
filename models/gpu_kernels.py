"""Whether Triton's kernels can run here: one question for everything that has such kernels beside a plain formula."""

import functools
import importlib.util
import logging

import torch

logger = logging.getLogger(__name__)

OLDEST_GPU = (8, 0)  # Ampere: bfloat16 products and asynchronous copies

_allowed = True


def allow_kernels(allowed: bool) -> None:
    """Say whether this process may use them. Without them nothing is compiled, and all but short inputs take longer."""
    global _allowed
    _allowed = allowed


def has_kernels(device: torch.device) -> bool:
    """Whether Triton's kernels can run on a device."""
    return why_no_kernels(device) is None


@torch.compiler.assume_constant_result
def why_no_kernels(device: torch.device) -> str | None:
    """Why Triton's kernels cannot run on a device, in a few words, or None if they can.

    The first answer for a device compiles and runs a tiny kernel: Triton may be installed and yet lack a C compiler or
    know nothing of the GPU. Then the log says once what to do, and plain PyTorch does the work.
    """
    if not _allowed:
        return "kernels are switched off"
    if device.type != "cuda":
        return f"no Triton kernel for {device.type}"
    if torch.version.hip is not None:
        return "the Triton kernels are for NVIDIA GPUs"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if torch.cuda.get_device_capability(device) < OLDEST_GPU:
        return "the Triton kernels need a GPU of compute capability 8.0 or later"
    if torch.cuda.is_current_stream_capturing():
        return None  # a graph is captured after warm-up passes, which have asked
    return obstacle(device)


@functools.cache
def obstacle(device: torch.device) -> str | None:
    """What keeps a tiny kernel from running on a device; None: nothing does."""
    try:
        from .probe_kernel import doubles

        reason = None if doubles(device) else "it computes wrong numbers"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of a compiler, a linker or a driver
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    if reason is None:
        return None
    logger.warning(
        "Triton is installed but cannot run here, so plain PyTorch does its work, more slowly: %s. It needs a C "
        "compiler and the headers of this Python (Debian: sudo apt install gcc python3-dev).",
        reason,
    )
    return f"Triton cannot run here ({reason})"
