"""The same command once for each GPU, as torchrun would start it, and all of them ended together.

The processes find each other by the environment (RANK, WORLD_SIZE ...), so what runs under torchrun runs here.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

POLL_S = 0.05
LAST_WORDS_S = 2.0  # how long the others may still say why they fail, when one has failed


def run_ranks(command: Sequence[str], ranks: int) -> int:
    """Run the command `ranks` times at once and wait; its exit code, or that of the first process that fails.

    Then all others are ended, as they are by Ctrl-C. The first process has the terminal; of the others the last line
    is shown if one of them was the one that failed.
    """
    with tempfile.TemporaryFile("w+") as said, ended_by_sigterm():
        processes = start(command, ranks, said)
        try:
            code = wait(processes)
        finally:
            stop(processes)
        lines = [] if not code or processes[0].returncode == code else last_words(said)
    for line in lines:
        print(line, file=sys.stderr)
    return code


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM, as batch systems send it, ends this process by an exception, so that it can end others."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def among_ranks() -> bool:
    """True in a process that `run_ranks` or torchrun has started together with others."""
    told = {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()
    return told and int(os.environ["WORLD_SIZE"]) > 1


def own_command(argv: Sequence[str]) -> list[str]:
    """The words that run a command of ours in another process."""
    return [sys.executable, str(Path(__file__).resolve().parents[1]), *argv]


def check_devices(gpus: int, device: str) -> None:
    """ValueError if there are not so many GPUs; on a processor any number works."""
    import torch

    from ..nodes.load_model import choose_device

    chosen = choose_device(device)
    if gpus < 1:
        raise ValueError(f"--gpus must be at least 1, got {gpus}.")
    if chosen.type == "mps" or chosen.index is not None:
        raise ValueError(f"--gpus {gpus} uses the first {gpus} CUDA GPUs, not {device!r}; leave --device out.")
    if chosen.type == "cuda" and gpus > torch.cuda.device_count():
        raise ValueError(f"--gpus {gpus} is more than the {torch.cuda.device_count()} GPUs that PyTorch sees here.")


def start(command: Sequence[str], ranks: int, said: IO[str]) -> list[subprocess.Popen]:
    """The processes; what all but the first one say goes into a file."""
    shared = {"WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    if sys.platform == "win32":
        shared["USE_LIBUV"] = 0  # PyTorch is built without it there
    shared["OMP_NUM_THREADS"] = max(1, (os.cpu_count() or 1) // ranks)
    processes = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is answered once, by the one that waits
    try:
        for rank in range(ranks):
            own = {name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
            silent = {"stdout": said, "stderr": said} if rank else {}
            processes.append(subprocess.Popen(command, env=os.environ | own, **silent))
    finally:
        signal.signal(signal.SIGINT, before)
    return processes


def wait(processes: list[subprocess.Popen]) -> int:
    """0 when all are done, or the exit code of the first that fails."""
    while None in (codes := [process.poll() for process in processes]):
        if failed := [code for code in codes if code]:
            until = time.monotonic() + LAST_WORDS_S
            while processes[0].poll() is None and time.monotonic() < until:
                time.sleep(POLL_S)
            return failed[0]
        time.sleep(POLL_S)
    return next((code for code in codes if code), 0)


def stop(processes: list[subprocess.Popen]) -> None:
    """End those that still run: they may wait for one that is gone."""
    for process in processes:
        if process.poll() is None:
            process.kill()
    for process in processes:
        process.wait()


def last_words(said: IO[str]) -> list[str]:
    """What a process said about its end: a sentence of ours, or else the last line."""
    said.seek(0)
    lines = [line.rstrip() for line in said if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return errors[:1] or lines[-1:] or ["error: a process ended without a word; run again with --debug"]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
