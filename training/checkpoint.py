"""Where a training run stands, as one file, so that a run that was stopped goes on as if it had not been."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import distributed

from ..scene.export.atomic import new_file

if TYPE_CHECKING:
    from .trainer import Trainer

NUMBERS = ("step", "progress", "next_evaluation", "next_checkpoint")


def checkpoint_path(out: Path) -> Path:
    """The file of a run's folder that is there while the run is not finished."""
    return out / "checkpoint.pt"


def write_checkpoint(trainer: Trainer) -> None:
    """Replace the checkpoint: weights, averages, optimizers, random numbers of all devices, step, time, plan.

    All devices call it at the same step.
    """
    generators = [_random_state(trainer)]
    if trainer.place.world > 1:
        generators = [None] * trainer.place.world
        distributed.all_gather_object(generators, _random_state(trainer))
    if trainer.place.rank:
        return
    state = {
        "plan": _plan(trainer),
        "module": trainer.module.state_dict(),
        "average": trainer.average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "choices": trainer.choices.get_state(),
        "generators": generators,
        "seconds": time.monotonic() - trainer.started,
        **{name: getattr(trainer, name) for name in NUMBERS},
    }
    with new_file(checkpoint_path(trainer.out), overwrite=True) as partial:
        torch.save(state, partial)


def resume(trainer: Trainer) -> bool:
    """Bring the trainer to the checkpoint of its folder; False if there is none. ValueError for one of another plan."""
    path = checkpoint_path(trainer.out)
    if not path.exists():
        return False
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch have errors of many kinds for a damaged file
        raise ValueError(f"{path} cannot be read ({type(error).__name__}): delete it to start anew.") from error
    if state["plan"] != _plan(trainer):
        raise ValueError(f"{path} belongs to a run with other options: give the same, or another --out folder.")
    trainer.module.load_state_dict(state["module"])
    trainer.average.load_state_dict(state["average"])
    for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    trainer.choices.set_state(state["choices"])
    own, general = state["generators"][trainer.place.rank]
    trainer.generator.set_state(own)
    torch.set_rng_state(general)
    for name in NUMBERS:
        setattr(trainer, name, state[name])
    trainer.started = time.monotonic() - state["seconds"]
    return True


def remove_checkpoint(trainer: Trainer) -> None:
    """A finished run has none."""
    if trainer.place.rank == 0:
        checkpoint_path(trainer.out).unlink(missing_ok=True)


def _random_state(trainer: Trainer) -> tuple[torch.Tensor, torch.Tensor]:
    return trainer.generator.get_state(), torch.get_rng_state()


def _plan(trainer: Trainer) -> str:
    """What makes two runs the same, as text."""
    config = trainer._header()["config"]
    plan = {name: value for name, value in asdict(trainer.plan).items() if name != "compile"}
    return json.dumps({"plan": plan, "config": config, "devices": trainer.place.world}, sort_keys=True, default=str)
