"""The nodes that bring things in: images, a model, and how sparse its attention is."""

import logging
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from ...models.catalog import CHECKPOINTS, SUFFIXES, Checkpoint
from .. import parameters
from ..load_images import load_images
from ..load_model import choose_dtype, load_model
from ..report import notes_shown
from ..sparsity import sparsity
from .host import Host, Result, inside
from .packets import image_of, views_packet

logger = logging.getLogger(__name__)

SAMPLES = {"sample scene of ManyView": "", "sample video of ManyView": "walk.mp4"}  # in the folder sample/
NO_SCHEDULE = NO_MASKS = "none"


def image_sources(host: Host) -> list[str]:
    """What Load Images offers: the bundled samples, then folders and videos of the input folder."""
    return [*SAMPLES, *host.input_sources()]


def mask_folders(host: Host) -> list[str]:
    """What Load Images offers as masks: nothing, then folders of the input folder."""
    return [NO_MASKS, *(name for name in host.input_sources() if (host.input_folder / name).is_dir())]


def model_names(host: Host) -> list[str]:
    """What Load Model offers: the known models, then files of weights."""
    return [*parameters.MODEL_CHOICES, *(name for name in host.model_files() if name.endswith(SUFFIXES))]


def schedule_names(host: Host) -> list[str]:
    """What Sparsity Control offers as schedules: the JSON files among the models."""
    return [name for name in host.model_files() if name.endswith(".json")] or [NO_SCHEDULE]


def run_load_images(
    host: Host, *, source: str, model: dict | None = None, masks: str | None = None, **options: Any
) -> Result:
    """(views, images, masks, names): a folder or a video as the views of one scene."""
    loaded = model["loaded"] if model else None
    folder = mask_folder(host, masks)
    path = source_path(host, source)
    views = load_images(path, model=loaded, masks=folder, **given(options), progress=host.progress)
    for note in views.notes:
        logger.warning(note)
    use = torch.ones(views.images.shape[:3]) if views.masks is None else torch.from_numpy(views.masks).float()
    ui = {"text": ["\n".join([f"{len(views)} views", *notes_shown(views.notes)])]}
    return Result((views_packet(views), image_of(views.images), use, "\n".join(views.names)), ui)


def fingerprint_images(host: Host, *, source: str, masks: str | None = None, **options: Any) -> str:
    """Changes when a file of the source, or a mask, is added, removed, renamed or written."""
    path, use = source_path(host, source), mask_folder(host, masks)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if use is not None:  # masks may lie in folders named like those of the images
        files += sorted(Path(use).rglob("*"))
    return repr([(file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file()])


def mask_folder(host: Host, masks: str | None) -> str | None:
    """The folder of a name that Load Images offered as masks; None for none."""
    return None if masks in (None, NO_MASKS) else str(inside(host.input_folder, masks))


def source_path(host: Host, source: str) -> Path:
    """The folder or file of a name that Load Images offered."""
    if source in SAMPLES:
        return Path(__file__).resolve().parents[2] / "sample" / SAMPLES[source]
    return inside(host.input_folder, source)


def run_load_model(host: Host, *, model: str, precision: str) -> Result:
    """(model,): a known model or a file of weights, under the host's memory management."""
    named = model in CHECKPOINTS
    loaded = load_model(
        model if named else str(host.model_path(model)),
        precision=str(choose_dtype(precision, host.device)).removeprefix("torch."),
        device=str(host.storage_device),
        folder=host.model_folder,
        progress=host.progress,
    )
    known = known_checkpoint(model)
    notice = known.notice if known else f"{loaded.name}: its licence is its owner's."
    return Result((host.hold(loaded),), {"text": [f"{notice}\n{loaded.report}"]})


def known_checkpoint(model: str) -> Checkpoint | None:
    """The checkpoint that a name or a file means: pi3, pi3.safetensors and pi3/model.safetensors are one."""
    path = PurePosixPath(model)
    return next((CHECKPOINTS[name] for name in (model, path.stem, path.parent.name) if name in CHECKPOINTS), None)


def fingerprint_model(host: Host, *, model: str, **options: Any) -> str:
    """Changes when the file does."""
    if model in CHECKPOINTS:
        return model
    state = host.model_path(model).stat()
    return repr((model, state.st_mtime_ns, state.st_size))


def run_sparsity(host: Host, *, method: dict[str, Any]) -> Result:
    """(sparsity,): how much of global attention is computed, as plain data."""
    options = given(method)
    if (schedule := options.pop("schedule", None)) is not None:
        if schedule == NO_SCHEDULE:
            raise ValueError(
                f"There is no schedule in {host.model_folder}; put a JSON file of the calibrate command there and "
                "refresh, or choose another method."
            )
        options["schedule"] = host.model_path(schedule)
    return Result((sparsity(**options).to_dict(),))


def fingerprint_sparsity(host: Host, *, method: dict[str, Any] | None = None, **flat: Any) -> str:
    """Changes when the schedule's file does."""
    schedule = (method or {}).get("schedule", flat.get("method.schedule"))
    if schedule in (None, NO_SCHEDULE):
        return ""
    state = host.model_path(schedule).stat()
    return repr((schedule, state.st_mtime_ns, state.st_size))


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options as our functions want them: what an input shows as unset (0, empty) becomes None."""
    return {name: None if name in parameters.UNSET and not value else value for name, value in options.items()}
