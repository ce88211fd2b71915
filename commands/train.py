"""Train a small model on rendered scenes, from scratch or from the weights of an earlier run.

On one GPU (or, slowly, a CPU):    python . train --out runs/mini --minutes 40
On several GPUs of one machine:    torchrun --nproc-per-node 2 __main__.py train --out runs/mini --minutes 20
Going on after it was stopped:     python . train --out runs/mini --resume
With meshes and photographs:       python . train --fetch assets.zip; then --assets assets.zip (takes warp-lang)
In parts:                          --pause 30 keeps the checkpoint after 30 minutes; the same line with --resume goes on
Writes model.safetensors (loads with --model), helpers.safetensors (heads that only training needs) and log.jsonl with
losses and accuracy on scenes that training never sees.
"""

import argparse
import importlib.util
import json
import math
import os
import zipfile
from pathlib import Path
from typing import Any

MINUTES, SEED = 20.0, 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder for the model and the log")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, with its options, at its last checkpoint"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, metavar="N", help=f"how long to train (default: {MINUTES:g})")
    length.add_argument("--steps", type=int, metavar="N", help="train this many steps instead of minutes")
    parser.add_argument("--seed", type=int, metavar="N", help=f"of weights and scenes (default: {SEED})")
    parser.add_argument("--assets", type=Path, nargs="+", default=[], metavar="PACK", help="packs made with --fetch")
    parser.add_argument("--start", type=Path, metavar="FILE", help="begin with these weights instead of new ones")
    parser.add_argument("--pause", type=float, metavar="MINUTES", help="stop after these minutes, to be resumed")
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="photo scenes to measure along the way (as evaluate --data folder)"
    )
    parser.add_argument(
        "--fetch",
        type=Path,
        metavar="PACK",
        help="only fetch free assets and pack them into this file (Debian, Ubuntu)",
    )
    parser.add_argument("--no-compile", action="store_true", help="do not use torch.compile")


def run(arguments: argparse.Namespace) -> None:
    """Check, train, say where the model is."""
    if arguments.fetch is not None:
        return fetch(arguments.fetch)
    check_sources(arguments)
    import logging
    from dataclasses import replace

    from tqdm.contrib.logging import logging_redirect_tqdm

    from ..training.trainer import CONTINUED, Sources, TrainingPlan, train
    from ._progress_bars import ProgressBars

    options = stored_options(arguments) if arguments.resume else new_options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    base = TrainingPlan() if arguments.start is None else CONTINUED
    plan = replace(base, **options, compile=not arguments.no_compile)
    sources = Sources(tuple(arguments.assets), arguments.start, arguments.pause, arguments.photos)
    with ProgressBars() as progress, logging_redirect_tqdm():
        path = train(plan, arguments.out, progress=progress, sources=sources)
    print(f"Model written to {path}")


def check_sources(arguments: argparse.Namespace) -> None:
    """Say what is wrong with the files before anything is made."""
    if arguments.out is None:
        raise ValueError("Say with --out where the model goes.")
    if arguments.pause is not None and not (math.isfinite(arguments.pause) and arguments.pause > 0):
        raise ValueError(f"--pause must be a number above 0, got {arguments.pause:g}.")
    absent = next((file for file in (*arguments.assets, arguments.start) if file and not file.is_file()), None)
    if absent is not None:
        raise FileNotFoundError(f"{absent} is not there.")
    for pack in arguments.assets:
        if not zipfile.is_zipfile(pack):
            raise ValueError(f"{pack} is no pack of assets; make one with --fetch.")
    if arguments.assets and importlib.util.find_spec("warp") is None:
        raise ImportError("Training on meshes needs NVIDIA Warp: pip install warp-lang")
    if arguments.photos is not None:
        from ..evaluation.datasets.folder import Folder

        for line in Folder(arguments.photos).missing():
            raise FileNotFoundError(line)


def fetch(pack: Path) -> None:
    """Make a pack of assets."""
    if pack.exists():
        raise FileExistsError(f"{pack} exists; choose another file, or delete it first.")
    if not pack.absolute().parent.is_dir():
        raise FileNotFoundError(f"{pack.absolute().parent} is no folder.")
    from ..training.assets import build_pack
    from ._progress_bars import ProgressBars

    with ProgressBars() as progress:
        counts = build_pack(pack, pack.with_suffix(".packages"), progress=progress)
    print(f"{pack}: " + ", ".join(f"{count} of {kind}" for kind, count in counts.items()))


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
