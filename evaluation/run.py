"""Benchmarks x scenes x methods: predict once, score what is stored, keep going when a scene fails.

Every scene is loaded once and given to all methods, so dense and sparse settings see the same bytes; the hash is kept.
Whatever is finished is on disk, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..models.progress import Progress
from .methods.method import Method
from .scene import Benchmark, EvaluationScene
from .scoring import score
from .store import RunFolder, read_json, read_prediction, write_json, write_pairs, write_prediction


@dataclass(frozen=True)
class RunOptions:
    """scenes: only those, by name; part: (i, k) takes every k-th scene from the i-th on, i from 1.

    keep_maps: depth, points and confidence stay on disk after scoring. workers: threads that score.
    """

    scenes: Sequence[str] | None = None
    part: tuple[int, int] = (1, 1)
    keep_maps: bool = True
    workers: int = 1
    warm_up: bool = True


def run_benchmark(
    benchmark: Benchmark,
    methods: Sequence[Method],
    folder: RunFolder,
    options: RunOptions = RunOptions(),
    progress: Progress | None = None,
) -> None:
    """Predict and score what is not there yet; results are the files of `folder`."""
    names = chosen_scenes(benchmark, options)
    warm: set[tuple[str, tuple[int, ...]]] | None = set() if options.warm_up else None
    with ThreadPoolExecutor(max_workers=max(1, options.workers)) as pool:
        for done, name in enumerate(names):
            if progress is not None:
                progress(benchmark.name, done, len(names))
            open_ = [m for m in methods if not is_done(folder.score_path(benchmark.name, name, m.name))]
            if not open_:
                continue
            scene = load_scene(benchmark, name, open_, folder)
            if scene is None:
                continue
            for method in open_:
                if not folder.prediction_path(benchmark.name, name, method.name).exists():
                    predict(benchmark, scene, method, folder, warm)
            # Only now, because scoring beside a pass would disturb its time.
            list(pool.map(partial(score_stored, benchmark, scene, folder=folder, keep_maps=options.keep_maps), open_))
    if progress is not None:
        progress(benchmark.name, len(names), len(names))


def chosen_scenes(benchmark: Benchmark, options: RunOptions) -> list[str]:
    """The scenes of this part, in the benchmark's order."""
    known = list(benchmark.scenes())
    if options.scenes is not None:
        unknown = [name for name in options.scenes if name not in known]
        if unknown:
            raise ValueError(
                f"{benchmark.name} has no scene {unknown[0]!r}; its first ones are {', '.join(known[:5])}."
            )
        known = [name for name in known if name in set(options.scenes)]
    part, parts = options.part
    return known[part - 1 :: parts]


def is_done(path: Path) -> bool:
    """True if this scene was scored; a scene that failed is tried again."""
    return path.exists() and read_json(path)["error"] is None


def load_scene(benchmark: Benchmark, name: str, methods: Sequence[Method], folder: RunFolder) -> EvaluationScene | None:
    """The scene, if it can be read; else a row for each method says why not."""
    try:
        scene = benchmark.load(name)
    except (OSError, ValueError) as error:
        for method in methods:
            write_row(benchmark, name, method, folder, {}, str(error))
        return None
    shape, frames = list(scene.images.shape), list(scene.frames)
    folder.check_input(benchmark.name, name, {"sha256": scene.input_sha256(), "shape": shape, "frames": frames})
    return scene


def predict(
    benchmark: Benchmark,
    scene: EvaluationScene,
    method: Method,
    folder: RunFolder,
    warm: set[tuple[str, tuple[int, ...]]] | None,
) -> None:
    """Store what a method finds; what goes wrong becomes a row."""
    key = (method.name, tuple(scene.images.shape))
    try:
        if warm is not None and key not in warm:
            method.predict(scene.images)  # compiles and allocates, so that the timed pass does not
            warm.add(key)
        prediction = method.predict(scene.images)
    except Exception as error:
        release_memory()
        write_row(benchmark, scene.name, method, folder, {}, f"{type(error).__name__}: {error}")
        return
    write_prediction(folder.prediction_path(benchmark.name, scene.name, method.name), prediction)


def score_stored(
    benchmark: Benchmark, scene: EvaluationScene, method: Method, folder: RunFolder, keep_maps: bool
) -> None:
    """Score a stored prediction, if there is one."""
    path = folder.prediction_path(benchmark.name, scene.name, method.name)
    if not path.exists():
        return
    prediction = read_prediction(path)
    row = {
        "frames": len(scene.frames),
        "seconds": finite(prediction.seconds),
        "peak_memory_bytes": prediction.peak_memory_bytes,
        "density": prediction.mean_density,
        "layer_density": None if prediction.density is None else prediction.density.mean(1).tolist(),
        "notes": prediction.notes,
    }
    try:
        found = score(scene, prediction, benchmark.rules)
    except Exception as error:
        write_row(benchmark, scene.name, method, folder, row, f"{type(error).__name__}: {error}", scene.group)
        return
    if found.pairs:
        write_pairs(folder.pairs_path(benchmark.name, scene.name, method.name), **found.pairs)
    row["pairs"] = len(found.pairs.get("rotation", ()))
    row["metrics"] = {metric: finite(value) for metric, value in found.numbers.items()}
    if not keep_maps:
        write_prediction(path, prediction, maps=False)
    write_row(benchmark, scene.name, method, folder, row, None, scene.group)


def write_row(
    benchmark: Benchmark,
    name: str,
    method: Method,
    folder: RunFolder,
    row: dict[str, Any],
    error: str | None,
    group: str = "",
) -> None:
    """The file that makes this scene a row of the results, whether it went well or not."""
    head = {"benchmark": benchmark.name, "scene": name, "method": method.name, "group": group}
    head["error"] = None if error is None else " ".join(error.split())[:500]
    write_json(folder.score_path(benchmark.name, name, method.name), head | row)


def finite(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def release_memory() -> None:
    """After running out of memory, give back what the failed pass held."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
