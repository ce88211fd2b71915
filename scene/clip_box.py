"""A box that cuts a scene: ranges along directions of the world, which need not be its axes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..texts.shown import shortened

MOST_SIDES = 100
EXAMPLE = "1 0 0 -2 2; 0 1 0 -inf 1.5"


@dataclass(frozen=True)
class Slab:
    """The places whose distance along a direction (3,), of any length but 0, is from `low` to `high`."""

    direction: tuple[float, float, float]
    low: float
    high: float


ClipBox = Sequence[Slab]


def parse_clip_box(text: str | None) -> list[Slab] | None:
    """The box of a text such as EXAMPLE: x, y, z of a direction, least, greatest; None for nothing."""
    if text is None or not text.strip():
        return None
    sides = [part for part in text.split(";") if part.strip()]
    if len(sides) > MOST_SIDES:
        raise ValueError(f"clip_box has {len(sides):,} sides; {MOST_SIDES} are allowed.")
    return [_slab(part, text) for part in sides]


def in_clip_box(points: np.ndarray, box: ClipBox) -> np.ndarray:
    """True (...) for the points (..., 3) inside, ends included; places that are no numbers are outside."""
    inside = np.isfinite(points).all(axis=-1)
    for slab in box:
        place = points.astype(np.float64) @ np.array(slab.direction)
        inside &= (place >= slab.low) & (place <= slab.high)
    return inside


def _slab(part: str, text: str) -> Slab:
    try:
        x, y, z, low, high = (float(number) for number in re.split(r"[\s,]+", part.strip()))
    except ValueError:
        raise ValueError(
            f"clip_box takes five numbers for each side, x y z of a direction, least and greatest place along it, with "
            f"; between the sides, such as {EXAMPLE}; got {shortened(text)!r}."
        ) from None
    if not np.isfinite([x, y, z]).all() or not (x or y or z):
        raise ValueError(f"clip_box needs directions of finite length, such as 1 0 0, got {shortened(part.strip())!r}.")
    if not low <= high:
        raise ValueError(f"clip_box has the range {low:g} to {high:g}, which ends before it begins; turn it round.")
    return Slab((x, y, z), low, high)
