"""Files of weights, opened without reading the tensors yet: safetensors, PyTorch, or arrays in memory.

A file may be anybody's: what it says about itself is compared with its size before anything is made of it.
"""

import math
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..texts.memory import is_out_of_memory
from ..texts.shown import shortened

FLOAT = "floating-point numbers"
FLOATS = {
    "F16",
    "BF16",
    "F32",
    "F64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
}  # of safetensors, of torch and numpy
NESTED = "a nested tensor"  # which has no shape
MOST_HEADER_BYTES = 16 << 20  # names, shapes and notes; those of a model of a billion parameters take a fifth of 1 MiB
MOST_TENSORS = 50_000
WRAPPERS = ("module.", "model.", "_orig_mod.")  # what DataParallel, trainers and torch.compile put before every name
LISTED = 5  # names in an error message


@dataclass(frozen=True)
class Weights:
    """Tensors that can be had one at a time; `take` may let a tensor go, so each is asked for once."""

    label: str  # for messages
    shapes: Mapping[str, tuple[int, ...]]
    kinds: Mapping[str, str]  # what a tensor holds: FLOAT, or the name of something that is no weight
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
    wrong = [name for name, array in own.items() if not isinstance(name, str) or not hasattr(array, "dtype")]
    if wrong:
        raise ValueError(f"{label} is no plain state_dict: {shortened(repr(wrong[0]))} is no name of an array.")
    kinds = {name: _kind(array) for name, array in own.items()}
    shapes = {name: () if kinds[name] == NESTED else tuple(array.shape) for name, array in own.items()}
    return _without_wrapper(Weights(label, shapes, kinds, lambda name: _tensor(get(name)), {}))


def open_safetensors(path: Path) -> Weights:
    """The tensors stay in the file, which is mapped into memory, until they are converted."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as opened:
        header = int.from_bytes(opened.read(8), "little")
    if MOST_HEADER_BYTES < header < path.stat().st_size:
        raise ValueError(
            f"{path} has a header of {header:,} bytes; files of weights have at most {MOST_HEADER_BYTES:,}."
        )
    try:
        file = safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        reason = shortened(str(error), 200)
        raise ValueError(
            f"{path} is not a readable safetensors file ({reason}); it may be an interrupted download: fetch it again."
        ) from error
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    shapes = {name: tuple(each.get_shape()) for name, each in slices.items()}
    kinds = {name: FLOAT if (kind := each.get_dtype()) in FLOATS else kind for name, each in slices.items()}
    return Weights(str(path), shapes, kinds, file.get_tensor, file.metadata() or {})


def open_torch(path: Path) -> Weights:
    """A state_dict saved by torch.save, alone or under "model" or "state_dict"."""
    mapped = zipfile.is_zipfile(path)  # files from before torch 1.6 cannot be mapped into memory
    if mapped:
        check_archive(path)
    content = _unpickled(path, mapped)
    for wrapper in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise ValueError(f"{path} does not hold a plain state_dict of tensors; save one with torch.save.")
    said = sum(_bytes_of(tensor) for tensor in content.values())
    if said > path.stat().st_size:
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes, but its tensors would fill {said:,}; save them with torch.save "
            "as they are, each with memory of its own."
        )
    return weights_from_arrays(iter(content.items()), str(path))


def check_archive(path: Path) -> None:
    """ValueError for a zip file that torch.save did not write, such as one that would unpack to far more than it is."""
    damaged = f"{path} is not a readable PyTorch file"
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"{damaged} ({shortened(str(error))}); it may be an interrupted download: fetch it again."
        ) from error
    if len(entries) > MOST_TENSORS:
        raise ValueError(f"{damaged}: it holds {len(entries):,} entries, and {MOST_TENSORS:,} are allowed.")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError(f"{damaged}: torch.save compresses nothing, and this is compressed; save it with torch.save.")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ValueError(f"{damaged}: its entries would fill more than it has; fetch it again.")
    pickled = sum(entry.file_size for entry in entries if entry.filename.endswith(".pkl"))
    if pickled > MOST_HEADER_BYTES:
        raise ValueError(f"{damaged}: names and shapes take {pickled:,} bytes, and {MOST_HEADER_BYTES:,} are allowed.")


def _unpickled(path: Path, mapped: bool) -> Any:
    """What torch.save wrote, if it is tensors in dicts and lists; ValueError for anything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
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
        if is_out_of_memory(error):
            raise ValueError(f"{path} does not fit into memory; it is damaged, or larger than what is free.") from error
        reason = shortened((str(error).splitlines() or ["damaged"])[0], 200)
        raise ValueError(
            f"{path} is not a readable PyTorch file ({reason}); it may be an interrupted download: fetch it again."
        ) from error


def with_names(weights: Weights, renamed: Mapping[str, str]) -> Weights:
    """The same with other beginnings of names, where the file does not have the new name as well."""
    names = {}  # ours -> the file's
    for name in weights.shapes:
        start = next((start for start in renamed if name.startswith(start)), None)
        new = name if start is None else renamed[start] + name.removeprefix(start)
        names[name if new in weights.shapes else new] = name
    shapes = {new: weights.shapes[name] for new, name in names.items()}
    kinds = {new: weights.kinds[name] for new, name in names.items()}
    return replace(weights, shapes=shapes, kinds=kinds, take=lambda new: weights.take(names[new]))


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
    return ", ".join(shortened(name, 160) for name in names[:LISTED]) + more


def _without_wrapper(weights: Weights) -> Weights:
    """The same under the names that the network knows."""
    for prefix in WRAPPERS:
        if weights.shapes and all(name.startswith(prefix) for name in weights.shapes):
            shapes = {name.removeprefix(prefix): shape for name, shape in weights.shapes.items()}
            kinds = {name.removeprefix(prefix): kind for name, kind in weights.kinds.items()}
            return Weights(weights.label, shapes, kinds, lambda name: weights.take(prefix + name), weights.metadata)  # noqa: B023
    return weights


def _kind(array: Any) -> str:
    """What an array or tensor holds, FLOAT if its numbers can be weights as they are."""
    if not isinstance(array, Tensor):
        return FLOAT if (name := str(array.dtype)) in FLOATS else name
    if array.is_nested:
        return NESTED
    if array.is_quantized or array.layout != torch.strided:
        return "quantised numbers" if array.is_quantized else "a sparse tensor"
    if array.is_meta:
        return "no numbers"
    name = str(array.dtype).removeprefix("torch.")
    return FLOAT if name in FLOATS else name


def _bytes_of(tensor: Tensor) -> int:
    """What a tensor takes when its numbers lie side by side, as they do once it is converted."""
    return 0 if tensor.is_nested else math.prod(tensor.shape) * tensor.element_size()


def _tensor(array: Any) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach()
    return torch.from_numpy(array if array.flags.writeable else array.copy())  # numpy; shares the memory
