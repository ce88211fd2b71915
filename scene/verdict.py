"""How far a scene can be trusted: its confidence as a number, and a verdict in plain words.

Confidence comes from the network, and every network has a scale of its own; docs/confidence.md says on what evidence
the limits below were chosen. Where a model's scale was not measured there is no verdict, but for the lowest of all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from .reconstruction import Reconstruction

Level = Literal["good", "doubtful", "a guess", "not rated"]

LIMITS = {"mini": (0.22, 0.03)}
"""By model: the mean confidence from which on a scene is good, and below which it is a guess."""
NOTHING_KNOWN = 0.01  # where three quarters of the pixels have less, any of our networks says that it does not know
MEANING = {
    "good": "cameras and depth fit together as well as this model can make them",
    "doubtful": "parts of it may be wrong; compare it with the photos before you rely on it",
    "a guess": "the model does not recognise the scene; shapes and cameras are probably wrong",
    "not rated": "no scale of confidence was measured for this model; compare the result with the photos",
}
BETTER = "photos that overlap more, more of them, or a larger model such as da3-base or vggt-1b"


@dataclass(frozen=True)
class Verdict:
    """A plain judgement of a scene. Confidences are over the pixels that may be used, 0 (a guess) to 1 (sure)."""

    level: Level
    confidence: float  # on average
    low: float  # a quarter of the pixels has less
    high: float  # a quarter of the pixels has more
    meaning: str  # what the level says, without a full stop
    advice: str  # what to do, as a sentence; empty where nothing has to be done

    @property
    def numbers(self) -> str:
        """The confidence in words."""
        return (
            f"confidence {self.confidence:.2f} on average, {self.low:.2f} to {self.high:.2f} for the middle half of "
            "the pixels (0: a guess, 1: sure)"
        )

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)


def verdict(scene: Reconstruction) -> Verdict:
    """Whether the scene is good, doubtful or a guess, by the model's own confidence, and what to do about it."""
    values = np.concatenate([scene.confidence[frame][scene.usable(frame)] for frame in range(len(scene))])
    low, high = np.percentile(values, (25, 75)).tolist() if values.size else (0.0, 0.0)
    mean = float(values.mean(dtype=np.float64)) if values.size else 0.0
    level = _level(scene.model, mean, high)
    advice = f"What can help: {BETTER}." if level in ("doubtful", "a guess") else ""
    return Verdict(level, mean, low, high, MEANING[level], advice)


def confidence_of_views(scene: Reconstruction) -> list[float]:
    """The mean confidence of the usable pixels of each view; 0 where a view has none."""
    found = []
    for frame in range(len(scene)):
        values = scene.confidence[frame][scene.usable(frame)]
        found.append(float(values.mean(dtype=np.float64)) if values.size else 0.0)
    return found


def _level(model: str, mean: float, high: float) -> Level:
    if high < NOTHING_KNOWN:
        return "a guess"
    if model not in LIMITS:
        return "not rated"
    good, guess = LIMITS[model]
    return "good" if mean >= good else "doubtful" if mean >= guess else "a guess"
