"""Whether Triton's kernels can run here and are right, for all that has kernels beside a plain formula."""

import functools
import importlib.util
import logging
from collections.abc import Callable

import torch
from torch import Tensor

from .packages import first_line

logger = logging.getLogger(__name__)

OLDEST_GPU = (8, 0)  # Ampere: bfloat16 products and asynchronous copies
TOLERANCE = 0.02  # relative; 16-bit weights and outputs are off by less than half a percent

_allowed = True
_faults: dict[tuple, str | None] = {}


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

    The first answer for a GPU compiles and runs a tiny kernel: Triton may be installed and yet lack a C compiler or
    know nothing of the GPU. Then the log says once what to do, and plain PyTorch does the work.
    """
    if not _allowed:
        return "kernels are switched off"
    return obstacle(device) if device.type == "cuda" else f"no Triton kernel for {device.type}"


@functools.cache
def obstacle(device: torch.device) -> str | None:
    """What keeps kernels from running on a GPU; None: nothing does."""
    if torch.version.hip is not None:
        return "the Triton kernels are for NVIDIA GPUs"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if torch.cuda.get_device_capability(device) < OLDEST_GPU:
        return "the Triton kernels need a GPU of compute capability 8.0 or later"
    if torch.cuda.is_current_stream_capturing():
        return None  # nothing can be tried now; a graph is captured after warm-up passes, which have asked
    reason = failure(device)
    if reason is None:
        return None
    logger.warning(
        "Triton is installed but cannot run here, so plain PyTorch does its work, more slowly: %s. It needs a C "
        "compiler and the headers of this Python (Debian: sudo apt install gcc python3-dev).",
        reason,
    )
    return f"Triton cannot run here ({reason})"


def failure(device: torch.device) -> str | None:
    """How a tiny kernel fails on a device; None if it does not."""
    try:
        from .probe_kernel import doubles

        return None if doubles(device) else "it computes wrong numbers"
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of a compiler, a linker or a driver
        return first_line(error)


def known_fault(kernel: str, variant: tuple) -> str | None:
    """What `fault` found, as a sentence; None before it was asked, and if it found nothing."""
    found = _faults.get((kernel, *variant))
    return None if found is None else f"the {kernel} kernel fails its check: {found}"


def fault(kernel: str, variant: tuple, trial: Callable[[], tuple[Tensor, Tensor]]) -> str | None:
    """Why a variant of a kernel must not be used, None if it is right.

    kernel: its name in the log. trial: gives the kernel's output for some small problem and the exact one; called once
    in a process.
    """
    key = (kernel, *variant)
    if key not in _faults:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return "it was not tried before this graph was captured"
        try:
            with torch.no_grad():
                found, exact = (x.float() for x in trial())
                error = float((found - exact).norm() / exact.norm())
            _faults[key] = None if error < TOLERANCE else f"it is off by {error:.1%}"
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of a compiler or driver that does not know all of this; others do the work
            _faults[key] = first_line(error)
        if _faults[key] is not None:
            logger.warning("The %s kernel fails its check, others do its work: %s", kernel, _faults[key])
    return _faults[key]
