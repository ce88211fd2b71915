"""Train a small model from scratch on rendered scenes.

On one GPU (or, slowly, a CPU):    python . train --out runs/mini --minutes 40
On several GPUs of one machine:    torchrun --nproc-per-node 2 __main__.py train --out runs/mini --minutes 20
Going on after it was stopped:     python . train --out runs/mini --resume
Writes model.safetensors (loads with --model) and log.jsonl with losses and accuracy on scenes that training never sees.
"""

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

MINUTES, SEED = 20.0, 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the model and the log")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, with its options, at its last checkpoint"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, metavar="N", help=f"how long to train (default: {MINUTES:g})")
    length.add_argument("--steps", type=int, metavar="N", help="train this many steps instead of minutes")
    parser.add_argument("--seed", type=int, metavar="N", help=f"of weights and scenes (default: {SEED})")
    parser.add_argument("--no-compile", action="store_true", help="do not use torch.compile")


def run(arguments: argparse.Namespace) -> None:
    """Check, train, say where the model is."""
    import logging

    from tqdm.contrib.logging import logging_redirect_tqdm

    from ..training.trainer import TrainingPlan, train
    from ._progress_bars import ProgressBars

    options = stored_options(arguments) if arguments.resume else new_options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    plan = TrainingPlan(**options, compile=not arguments.no_compile)
    with ProgressBars() as progress, logging_redirect_tqdm():
        path = train(plan, arguments.out, progress=progress)
    print(f"Model written to {path}")


def new_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """minutes, steps and seed of a new run; its folder must be new too."""
    minutes, steps = arguments.minutes, arguments.steps
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise ValueError(f"--minutes must be a number above 0, got {minutes:g}.")
    if steps is not None and steps < 1:
        raise ValueError(f"--steps must be at least 1, got {steps}.")
    if is_first_process():
        refuse_used(arguments.out)
    seed = SEED if arguments.seed is None else arguments.seed
    return {"minutes": None if steps else minutes or MINUTES, "steps": steps, "seed": seed}


def stored_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """minutes, steps and seed of the run in --out; ValueError for a finished one, or where others are asked for."""
    from ..training.trainer import FINISHED, LOG

    path = arguments.out / LOG
    if not path.exists():
        raise FileNotFoundError(f"{arguments.out} holds no run to go on with; leave --resume out to begin one.")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    if not lines:
        raise ValueError(f"{path} is empty, so nothing was trained: delete the folder and begin anew.")
    if FINISHED in json.loads(lines[-1]):
        raise ValueError(f"The run in {arguments.out} is finished; choose another --out folder for a new one.")
    plan = json.loads(lines[0])["plan"]
    options = {name: plan[name] for name in ("minutes", "steps", "seed")}
    for name, value in options.items():
        asked = getattr(arguments, name)
        if asked is not None and asked != value:
            raise ValueError(f"The run in {arguments.out} has {name} {value}, not {asked}; leave --{name} out.")
    return options


def refuse_used(out: Path) -> None:
    """FileExistsError for a file, and for a folder with anything in it."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; choose another --out folder.")
    if (out / "log.jsonl").exists():
        raise FileExistsError(f"{out} holds an earlier run; add --resume to go on with it, or choose another --out.")
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; choose another --out folder.")


def is_first_process() -> bool:
    """Of those that torchrun starts, which find the folder that the first one has made."""
    return int(os.environ.get("RANK", 0)) == 0
