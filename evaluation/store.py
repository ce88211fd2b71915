"""The folder of one run: plan, inputs, predictions and scores, each file complete or absent, so that a run goes on."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..scene.array_archive import DamagedFile, read_arrays
from ..scene.export.atomic import PARTIAL, new_file
from ..scene.export.names import portable_part
from ..texts.plain_json import parse_json
from .scene import Prediction

ARRAYS = ("world_to_camera", "intrinsics", "depth", "points", "confidence", "density")
MAPS = ("depth", "points", "confidence")


class InputChanged(ValueError):
    """A scene's images are not those that the run began with."""


class RunFolder:
    """Paths and files of a run."""

    def __init__(self, folder: Path, predictions: Path | None = None) -> None:
        self.folder = folder
        self.predictions = predictions or folder / "predictions"

    def begin(self, plan: dict[str, Any]) -> None:
        """Note what is asked for; a folder of the same plan is gone on with, of another one is FileExistsError."""
        path = self.folder / "plan.json"
        self.refuse_foreign()
        if path.exists():
            if read_json(path) != json.loads(json.dumps(plan)):
                raise FileExistsError(
                    f"{self.folder} holds a run with other options; choose another --out, or the same options to go on."
                )
            return
        write_json(path, plan)

    def refuse_foreign(self) -> None:
        """FileExistsError for a file, and for a folder that holds something but no run."""
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(f"{self.folder} is a file; choose a folder for --out.")
        if not self.folder.exists() or (self.folder / "plan.json").exists():
            return
        if any(not PARTIAL.fullmatch(path.name) for path in self.folder.iterdir()):  # a killed run may leave some
            raise FileExistsError(f"{self.folder} is not empty and holds no run; choose another folder for --out.")

    def input_path(self, benchmark: str, scene: str) -> Path:
        return self.folder / "inputs" / benchmark / f"{plain(scene)}.json"

    def prediction_path(self, benchmark: str, scene: str, method: str) -> Path:
        return self.predictions / benchmark / plain(scene) / f"{plain(method)}.npz"

    def score_path(self, benchmark: str, scene: str, method: str) -> Path:
        return self.folder / "scores" / benchmark / plain(scene) / f"{plain(method)}.json"

    def pairs_path(self, benchmark: str, scene: str, method: str) -> Path:
        return self.score_path(benchmark, scene, method).with_suffix(".npz")

    def check_input(self, benchmark: str, scene: str, input_: dict[str, Any]) -> None:
        """Note the hash and names of a scene's images, or InputChanged if the run had other images before."""
        path = self.input_path(benchmark, scene)
        if not path.exists():
            write_json(path, input_)
        elif (before := read_json(path)) != input_:
            raise InputChanged(
                f"The images of {scene} are not those that this run began with (SHA-256 {before['sha256'][:12]}, now "
                f"{input_['sha256'][:12]}), so settings would not be comparable; start anew in another --out."
            )


def plain(name: str) -> str:
    """A name as one part of a path."""
    return portable_part(name.replace("/", "~"))


def write_json(path: Path, content: Any) -> None:
    """Write or replace a JSON file."""
    with new_file(path, overwrite=True) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False, default=number) + "\n", encoding="utf-8")


def number(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    return value.item()


def read_json(path: Path) -> Any:
    return parse_json(path.read_bytes(), str(path), constants=True)


def write_prediction(path: Path, prediction: Prediction, maps: bool = True) -> None:
    """Write or replace a prediction; without `maps` only cameras, times and density."""
    arrays = {name: getattr(prediction, name) for name in ARRAYS if maps or name not in MAPS}
    arrays = {name: value for name, value in arrays.items() if value is not None}
    rest = {one.name: getattr(prediction, one.name) for one in fields(prediction) if one.name not in ARRAYS}
    with new_file(path, overwrite=True) as partial, partial.open("wb") as file:
        np.savez(file, rest=np.frombuffer(json.dumps(rest).encode(), np.uint8), **arrays)


def read_prediction(path: Path) -> Prediction:
    """The inverse of `write_prediction`."""
    arrays = read_arrays(path)
    rest = arrays.pop("rest", None)
    if rest is None or not set(arrays) <= set(ARRAYS):
        raise DamagedFile(f"{path} is no prediction of a run; remove it, and it is made again.")
    values = parse_json(rest.tobytes(), str(path), constants=True)
    known = {one.name for one in fields(Prediction)} - set(ARRAYS)
    if not isinstance(values, dict) or not set(values) <= known:
        raise DamagedFile(f"{path} is no prediction of a run; remove it, and it is made again.")
    return Prediction(**arrays, **values)


def write_pairs(path: Path, **errors: np.ndarray) -> None:
    """Errors of all pairs of one scene."""
    with new_file(path, overwrite=True) as partial, partial.open("wb") as file:
        np.savez(file, **errors)
