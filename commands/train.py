"""Train a small model from scratch on rendered scenes.

On one GPU (or, slowly, a CPU):    python . train --out runs/mini --minutes 40
On several GPUs of one machine:    torchrun --nproc-per-node 2 __main__.py train --out runs/mini --minutes 20
Writes model.safetensors (loads with --model) and log.jsonl with losses and accuracy on scenes that training never sees.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="a new folder for the model and the log")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=20.0, help="how long to train (default: 20)")
    length.add_argument("--steps", type=int, help="train this many steps instead of minutes")
    parser.add_argument("--seed", type=int, default=0, help="of weights and scenes (default: 0)")
    parser.add_argument("--no-compile", action="store_true", help="do not use torch.compile")


def run(arguments: argparse.Namespace) -> None:
    import logging

    from ..training.trainer import TrainingPlan, train

    if (arguments.out / "log.jsonl").exists():
        raise FileExistsError(f"{arguments.out} holds an earlier run; choose another --out folder.")
    if arguments.steps is None and arguments.minutes <= 0:
        raise ValueError(f"--minutes must be above 0, got {arguments.minutes}.")
    if arguments.steps is not None and arguments.steps < 1:
        raise ValueError(f"--steps must be at least 1, got {arguments.steps}.")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    plan = TrainingPlan(
        minutes=None if arguments.steps else arguments.minutes,
        steps=arguments.steps,
        seed=arguments.seed,
        compile=not arguments.no_compile,
    )
    path = train(plan, arguments.out)
    print(f"Model written to {path}")
