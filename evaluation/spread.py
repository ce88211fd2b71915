"""One run on several GPUs or machines: Ray starts the same command once for each part of the scenes.

A part is a process of its own that loads the model and writes into the run's folder, which all machines must see. So a
spread run computes exactly what a plain one does, and either can go on with the other.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import torch

from ..models.progress import Progress


def spread(
    command: Sequence[str], parts: int | None, address: str, gpus: float, progress: Progress | None = None
) -> None:
    """Run `command` + ["--part", "i/parts"] for every part and wait; RuntimeError with what a failed part said.

    address: of a Ray cluster, or "local" to start one here. gpus: of each part. parts: None takes what fits at once.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError("--ray needs Ray: pip install ray") from error
    ray.init(address=None if address == "local" else address, log_to_driver=False, include_dashboard=False)
    try:
        parts = parts or parts_at_once(ray.cluster_resources(), gpus)
        # A function of the standard library: workers need nothing of ours on their path. Ray would set one thread for a
        # task of one processor, and another number of threads gives other last digits.
        same_threads = {"env_vars": {"OMP_NUM_THREADS": str(torch.get_num_threads())}}
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0, runtime_env=same_threads)(subprocess.run)
        waiting = [
            task.remote([*command, "--part", f"{part}/{parts}"], capture_output=True, text=True)
            for part in range(1, parts + 1)
        ]
        while waiting:
            if progress is not None:
                progress("parts", parts - len(waiting), parts)
            done, waiting = ray.wait(waiting, num_returns=1)
            finished = ray.get(done[0])
            if finished.returncode:
                said = (finished.stderr or finished.stdout).strip().splitlines()
                raise RuntimeError(f"A part of the run failed: {said[-1] if said else 'it said nothing'}")
    finally:
        ray.shutdown()


def parts_at_once(resources: dict[str, float], gpus: float) -> int:
    """As many parts as there are GPUs for; without GPUs half the processors, since torch uses several."""
    if gpus:
        return max(1, int(resources.get("GPU", 0) // gpus))
    return max(1, int(resources.get("CPU", 1) // 2))
