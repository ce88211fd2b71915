"""Files of weights, opened without reading the tensors yet: safetensors, PyTorch, or arrays in memory."""

import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

WRAPPERS = ("module.", "model.", "_orig_mod.")  # what DataParallel, trainers and torch.compile put before every name
LISTED = 5  # names in an error message


@dataclass(frozen=True)
class Weights:
    """Tensors that can be had one at a time; `take` may let a tensor go, so each is asked for once."""

    label: str  # for messages
    shapes: Mapping[str, tuple[int, ...]]
    take: Callable[[str], Tensor]
    metadata: Mapping[str, str]


def open_weights(path: Path) -> Weights:
    """The content of a file; ValueError if it is damaged, not a file of weights, or could run code."""
    path = Path(path)
    refuse_placeholder(path)
    return _without_wrapper(open_safetensors(path) if path.suffix == ".safetensors" else open_torch(path))


def weights_from_arrays(arrays: Mapping[str, Any] | Iterable[tuple[str, Any]], label: str = "the dict") -> Weights:
    """Arrays or tensors by name; of pairs, each is let go when it is taken."""
    if isinstance(arrays, Mapping):
        own, get = arrays, arrays.__getitem__
    else:
        own = dict(arrays)
        get = own.pop
    shapes = {name: tuple(array.shape) for name, array in own.items()}
    return _without_wrapper(Weights(label, shapes, lambda name: _tensor(get(name)), {}))


def open_safetensors(path: Path) -> Weights:
    """The tensors stay in the file, which is mapped into memory, until they are converted."""
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="pt", device="cpu")
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a readable safetensors file ({error}); it may be an interrupted download: fetch it again."
        ) from error
    shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
    return Weights(str(path), shapes, file.get_tensor, file.metadata() or {})


def open_torch(path: Path) -> Weights:
    """A state_dict saved by torch.save, alone or under "model" or "state_dict"."""
    mapped = zipfile.is_zipfile(path)  # files from before torch 1.6 cannot be mapped into memory
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except MemoryError:
        raise
    except Exception as error:  # garbage makes the unpickler fail in any way
        refused = type(error).__name__ == "UnpicklingError"  # by name: some scanners report any use of its module
        if refused and mapped:
            raise ValueError(
                f"{path} holds Python objects beside plain weights and is refused, because loading them could run "
                "anybody's code; get a .safetensors file, or save the bare state_dict with torch.save."
            ) from error
        if refused:
            raise ValueError(
                f"{path} is not a readable PyTorch file; fetch it again or give a .safetensors file."
            ) from error
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise ValueError(
            f"{path} is not a readable PyTorch file ({reason}); it may be an interrupted download: fetch it again."
        ) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} does not hold a plain state_dict of tensors; save one with torch.save.")
    return weights_from_arrays(iter(content.items()), str(path))


def refuse_placeholder(path: Path) -> None:
    """Things that people save by accident instead of the weights."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise ValueError(f"{path} is empty; download the file again.")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is only a Git LFS pointer, not the weights; run `git lfs pull` or download the file.")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ValueError(f"{path} is a web page, not weights; download the file itself.")


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _without_wrapper(weights: Weights) -> Weights:
    """The same under the names that the network knows."""
    for prefix in WRAPPERS:
        if weights.shapes and all(name.startswith(prefix) for name in weights.shapes):
            shapes = {name.removeprefix(prefix): shape for name, shape in weights.shapes.items()}
            return Weights(weights.label, shapes, lambda name: weights.take(prefix + name), weights.metadata)  # noqa: B023
    return weights


def _tensor(array: Any) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach()
    return torch.from_numpy(array if array.flags.writeable else array.copy())  # numpy; shares the memory
