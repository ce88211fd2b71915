"""Loading and saving of weights: strict, straight into place, with a report.

A model is built without memory (on the meta device) and each tensor of the file becomes a parameter as it is, or
converted one by one, so there is never a second copy of the weights.
"""

import json
import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..texts.plain_json import parse_json
from .attention import GlobalAttention, dense_attention
from .catalog import (
    CHECKPOINTS,
    Checkpoint,
    checkpoint_file,
    default_folder,
    find_checkpoint,
    missing_message,
)
from .dinov2 import IMAGE_MEAN, IMAGE_STD
from .families import Config, Family, family_named, family_of, family_of_model
from .networks import Network
from .progress import Progress
from .weights import FLOAT, Weights, listed, open_weights, weights_from_arrays, with_names

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "LoadReport",
    "LoadedModel",
    "checkpoint_file",
    "default_folder",
    "find_checkpoint",
    "load_model",
    "save_model",
]

logger = logging.getLogger(__name__)

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass(frozen=True)
class LoadReport:
    """What loading found. `missing`: heads that the file lacks, left out of the model; `ignored`: tensors not used."""

    missing: tuple[str, ...]
    ignored: tuple[str, ...]
    tensors: int
    parameters: int
    size_bytes: int
    dtype: torch.dtype
    precise: tuple[str, ...]  # parts that stay float32

    def __str__(self) -> str:
        lines = [
            f"{self.parameters / 1e6:.1f} million parameters in {self.tensors} tensors, "
            f"{self.size_bytes / 2**30:.2f} GiB, {str(self.dtype).removeprefix('torch.')}"
        ]
        if self.precise:
            lines.append(f"in float32: {', '.join(self.precise)}")
        if self.missing:
            lines.append(f"not in the file, left out: {', '.join(self.missing)}")
        if self.ignored:
            lines.append(f"in the file, not used: {listed(self.ignored)}")
        return "; ".join(lines)


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, and where it came from (checkpoint and path are None where they do not apply)."""

    model: nn.Module
    family: str
    checkpoint: Checkpoint | None
    path: Path | None
    report: LoadReport

    def __repr__(self) -> str:
        weight = next(self.model.parameters())
        millions = f"{self.report.parameters / 1e6:.1f} million parameters"
        where = f"{str(weight.dtype).removeprefix('torch.')} on {weight.device}"
        return f"LoadedModel({self.name!r}, {self.family}, {millions}, {where})"

    @cached_property
    def network(self) -> Network:
        """What everything outside models/ asks instead of the model's class."""
        return family_named(self.family).network(self.model)

    @property
    def name(self) -> str:
        """The checkpoint's name, else the file's, else the family's."""
        if self.checkpoint is not None:
            return self.checkpoint.name
        return self.path.name if self.path is not None else self.family


def load_model(
    source: str | os.PathLike | Mapping[str, Any] | Iterable[tuple[str, Any]],
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    config: Config | None = None,
    global_attention: GlobalAttention = dense_attention,
    download: bool = False,
    folder: str | os.PathLike | None = None,
    progress: Progress | None = None,
) -> LoadedModel:
    """Build a model and fill it.

    source: a name of CHECKPOINTS, a file (.safetensors, .pt), a folder with one, or the arrays themselves as a mapping
    or as (name, array) pairs. The configuration comes from `config`, else from the file, else it is the public one.
    `download` allows fetching a named checkpoint that is not on this computer; `folder` is looked into first.
    Every tensor must fit: ValueError lists what does not. Heads that a VGGT file lacks are left out and reported.
    """
    if dtype not in DTYPES:
        raise ValueError(f"Weights cannot be loaded as {dtype}; choose float32, bfloat16 or float16.")
    checkpoint, path = None, None
    if isinstance(source, str | os.PathLike):
        checkpoint, path = _locate(source, download, folder, progress)
        weights = open_weights(path)
    else:
        weights = weights_from_arrays(source)
    family = family_of(weights)
    weights = with_names(weights, family.renamed)
    config, missing = _choose_config(family, weights, config)
    _check_sizes(config, family, weights)
    with torch.device("meta"):
        model = family.model(config, global_attention)
    ignored = _check_fit(model, family, weights)
    _fill(model, family, weights, dtype, torch.device(device), progress)
    model.eval().requires_grad_(False)
    if checkpoint is not None and not checkpoint.commercial_use:
        logger.warning(checkpoint.notice)
    return LoadedModel(model, family.name, checkpoint, path, _report(model, family, missing, ignored, dtype))


def save_model(
    model: nn.Module,
    path: str | os.PathLike,
    metadata: Mapping[str, str] | None = None,
    *,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a safetensors file that `load_model` can read without being told the configuration.

    The file appears under its name only when it is complete. `dtype` converts the weights, but not the heads that stay
    float32. `metadata` (strings) goes into the file's header beside the configuration.
    """
    from safetensors.torch import save_file

    family = family_of_model(model)
    path = Path(path)
    state = {}
    for name, tensor in model.state_dict().items():
        kept = dtype is None or name.startswith(family.precise)
        state[name] = tensor.detach().to("cpu", None if kept else dtype).contiguous()
    header = {
        "format": "pt",
        **(metadata or {}),
        "manyview.family": family.name,
        "manyview.config": json.dumps(asdict(model.config)),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(state, temporary, metadata=header)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _locate(
    source: str | os.PathLike, download: bool, folder: str | os.PathLike | None, progress: Progress | None
) -> tuple[Checkpoint | None, Path]:
    checkpoint = CHECKPOINTS.get(source) if isinstance(source, str) else None
    if checkpoint is None:
        return None, checkpoint_file(source)
    path = find_checkpoint(checkpoint, folder)
    if path is None and download:
        from .download import download_checkpoint

        path = download_checkpoint(checkpoint, folder, progress)
    if path is None:
        reason = "they are not on this computer, and no download was asked for (--download, in Python download=True)"
        raise FileNotFoundError(missing_message(checkpoint, folder, reason))
    return checkpoint, path


def _choose_config(family: Family, weights: Weights, config: Config | None) -> tuple[Config, tuple[str, ...]]:
    """The configuration to build, without the heads that the file lacks, and the names of those heads."""
    if config is None and "manyview.config" in weights.metadata:
        config = _config_from_json(weights, family)
    config = config or family.config_for(weights.shapes)
    if not isinstance(config, family.config_type):
        raise ValueError(f"{weights.label} holds {family.name} weights; they do not go with a {type(config).__name__}.")
    missing = []
    for prefix, without in family.heads.items():
        wanted = any(getattr(config, field) != value for field, value in without.items())
        if wanted and not any(name.startswith(prefix) for name in weights.shapes):
            config = replace(config, **without)
            missing.append(prefix.rstrip("."))
    return config, tuple(missing)


def _config_from_json(weights: Weights, family: Family) -> Config:
    try:
        return family.config_from_dict(parse_json(weights.metadata["manyview.config"], "the configuration"))
    except ValueError as error:
        raise ValueError(
            f"{weights.label} carries a configuration that this version cannot use: {str(error).rstrip('.')}. Get an "
            "undamaged file, or update ManyView."
        ) from error


def _check_sizes(config: Config, family: Family, weights: Weights) -> None:
    """ValueError if the configuration counts other blocks than the file holds; nothing is built before."""
    problems = []
    for path, prefix in family.stacks.items():
        expected = _field(config, path)
        rest = (name.removeprefix(prefix) for name in weights.shapes if name.startswith(prefix))
        found = len({name.partition(".")[0] for name in rest})
        if expected is not None and found != expected:
            problems.append(f"{found} of {expected} blocks {prefix}*")
    if problems:
        raise ValueError(_misfit(weights, family, problems))


def _field(config: Config, path: str) -> Any:
    """A field of a configuration or of one inside it; None where there is none."""
    for name in path.split("."):
        config = getattr(config, name) if config is not None else None
    return config


def _check_fit(model: nn.Module, family: Family, weights: Weights) -> tuple[str, ...]:
    """Compare names and shapes: the names in the file that are not used, or ValueError if anything else differs."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    extra = [name for name in weights.shapes if name not in expected]
    unused = tuple(head for head in family.heads if not any(name.startswith(head) for name in expected))
    ignored = [name for name in extra if family.ignored.match(name) or name.startswith(unused)]
    missing = [name for name in expected if name not in weights.shapes]
    unexpected = [name for name in extra if name not in set(ignored)]
    shaped = [
        f"{name} is {weights.shapes[name]} instead of {shape}"
        for name, shape in expected.items()
        if name in weights.shapes and weights.shapes[name] != shape
    ]
    typed = [f"{name} holds {weights.kinds[name]}" for name in expected if weights.kinds.get(name, FLOAT) != FLOAT]
    problems = [
        f"{len(names)} {what} ({listed(names)})"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shaped),
            ("without plain floating-point numbers", typed),
        )
        if names
    ]
    if problems:
        raise ValueError(_misfit(weights, family, problems))
    _check_normalisation(weights, ignored)
    return tuple(ignored)


def _misfit(weights: Weights, family: Family, problems: Sequence[str]) -> str:
    return (
        f"{weights.label} does not fit this {family.name} model: {'; '.join(problems)}. Get an undamaged file, or pass "
        "the configuration that the weights were made with (config=...)."
    )


def _check_normalisation(weights: Weights, ignored: Sequence[str]) -> None:
    """Pi3 files carry the constants that images are normalised with; ours are fixed, so others would be wrong."""
    for name, values in (("image_mean", IMAGE_MEAN), ("image_std", IMAGE_STD)):
        if name not in ignored:
            continue
        if weights.kinds[name] != FLOAT or math.prod(weights.shapes[name]) != 3:
            raise ValueError(f"{weights.label} has a damaged {name}; get an undamaged file.")
        found = weights.take(name).flatten().float()
        if found.numel() != 3 or not torch.allclose(found, torch.tensor(values), atol=1e-3):
            raise ValueError(
                f"{weights.label} is for images normalised with {name} {found.tolist()}; this model uses {values}."
            )


def _fill(
    model: nn.Module,
    family: Family,
    weights: Weights,
    dtype: torch.dtype,
    device: torch.device,
    progress: Progress | None,
) -> None:
    names = list(model.state_dict())
    state, finite = {}, {}
    for done, name in enumerate(names):
        if progress is not None:
            progress("load", done, len(names))
        taken = weights.take(name)
        state[name] = taken.to(device, _dtype_of(name, family, dtype))
        finite[name] = _extremes(state[name] if device.type in ("cpu", "cuda") else taken)
    _check_finite(weights, finite, dtype)
    model.load_state_dict(state, strict=True, assign=True)


def _extremes(tensor: Tensor) -> Tensor:
    """Smallest and largest number (2,), not finite if any is not.

    One pass without a copy: 5 GB take well under a second on a CPU, where isfinite().all() takes twenty times as long.
    Nothing waits for a GPU here.
    """
    if not tensor.numel():
        return torch.zeros(2, device=tensor.device)
    return torch.stack(tensor.aminmax()).float()


def _check_finite(weights: Weights, extremes: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    finite = torch.stack(list(extremes.values())).isfinite().all(dim=1).tolist()
    wrong = [name for name, good in zip(extremes, finite, strict=True) if not good]
    if wrong:
        advice = "get an undamaged file"
        if dtype == torch.float16:
            advice = "use bfloat16 or float32 (float16 ends at 65,504), or get an undamaged file"
        raise ValueError(f"{weights.label} has numbers that are not finite in {listed(wrong)}; {advice}.")


def _dtype_of(name: str, family: Family, dtype: torch.dtype) -> torch.dtype:
    if name.startswith(family.precise) and dtype != torch.float64:
        return torch.float32
    return dtype


def _report(
    model: nn.Module, family: Family, missing: tuple[str, ...], ignored: tuple[str, ...], dtype: torch.dtype
) -> LoadReport:
    state = model.state_dict()
    precise = ()
    if dtype not in (torch.float32, torch.float64):
        precise = tuple(p.rstrip(".") for p in family.precise if any(name.startswith(p) for name in state))
    return LoadReport(
        missing=missing,
        ignored=ignored,
        tensors=len(state),
        parameters=sum(tensor.numel() for tensor in state.values()),
        size_bytes=sum(tensor.numel() * tensor.element_size() for tensor in state.values()),
        dtype=dtype,
        precise=precise,
    )
