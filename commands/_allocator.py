"""How PyTorch's allocator of GPU memory starts, which must be said before PyTorch is imported."""

import platform
import re
import sys
from collections.abc import MutableMapping
from importlib.metadata import PackageNotFoundError, version

GROW = "expandable_segments:True"
NAMES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
RENAMED = (2, 9)  # PyTorch that knows the first name and warns of the second


def let_segments_grow(environment: MutableMapping[str, str]) -> None:
    """Ask for memory that grows in place, so that gaps between tensors can be used again: more frames fit.

    Only where that is known to work: CUDA on Linux, not under Windows (WSL), whose drivers refuse it, and not on
    ZeroGPU, which has an allocator of its own. Whoever sets one of PyTorch's variables decides alone.
    """
    linux = sys.platform == "linux" and "microsoft" not in platform.release().lower()
    if not linux or "SPACES_ZERO_GPU" in environment or any(name in environment for name in NAMES):
        return
    try:
        torch = version("torch")
    except PackageNotFoundError:  # the command will say so
        return
    numbers = re.match(r"(\d+)\.(\d+)", torch)
    if numbers is None or "rocm" in torch:
        return
    environment[NAMES[0] if tuple(map(int, numbers.groups())) >= RENAMED else NAMES[1]] = GROW
