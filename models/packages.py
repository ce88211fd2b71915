"""Optional packages with kernels of other people: whether they can be used here, and without their noise."""

import functools
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

FLASH4 = "flash_attn.cute.interface"


@torch.compiler.assume_constant_result
@functools.cache
def missing(module: str) -> str | None:
    """Why a module cannot be imported, None if it can."""
    try:
        with quiet():
            importlib.import_module(module)
    except Exception as error:  # a compiled extension may fail in any way: the reason is reported, another path taken
        return first_line(error)
    return None


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


@contextmanager
def quiet() -> Iterator[None]:
    """Without what flash-attn-4 and its compiler warn of: parts and arguments of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", message="Argument aux_data", category=UserWarning)
        yield
