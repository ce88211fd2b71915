"""Which frames and scenes a protocol takes, and at what size: the published rules as plain functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def seeded_draws(counts: Mapping[str, int], draw: int, seed: int) -> dict[str, list[int]]:
    """`draw` different frames of each sequence, one draw after another from NumPy's legacy generator.

    The order of sequences and their numbers of frames decide the draws of all that follow, so both come from the
    shipped list and never from the disk. Frames stay in the order drawn.
    """
    generator = np.random.RandomState(seed)
    return {name: generator.choice(count, draw, replace=False).tolist() for name, count in counts.items()}


def every(count: int, stride: int) -> list[int]:
    """Frames 0, stride, 2 stride ... below count."""
    return list(range(0, count, stride))


def evenly_spaced(count: int, wanted: int) -> list[int]:
    """round(linspace(0, count - 1, wanted)); all frames where there are fewer."""
    if count <= wanted:
        return list(range(count))
    return np.round(np.linspace(0, count - 1, wanted)).astype(int).tolist()


def fastvggt_frames(count: int, wanted: int) -> list[int]:
    """FastVGGT's rule: the first, then every step-th of the rest, step = (count - 1) // (wanted - 1).

    It does not reach the end of the sequence in general: 1200 frames give the first 1000.
    """
    if count <= wanted:
        return list(range(count))
    if wanted == 1:
        return [0]
    step = max(1, (count - 1) // (wanted - 1))
    return [0, *range(1, count, step)[: wanted - 1]]


def every_nth_scene(names: Sequence[str], wanted: int) -> list[str]:
    """FastVGGT's choice of scenes: sorted, every (count // wanted)-th, the first `wanted`."""
    ordered = sorted(names)
    return ordered[:: max(1, len(ordered) // wanted)][:wanted]


def size_at_width(source: tuple[int, int], width: int, multiple: int = 14) -> tuple[int, int]:
    """(width, height) of a picture (width, height) brought to `width`, the height rounded to a multiple of 14.

    Halves are rounded to even, as Python does.
    """
    return width, round(source[1] * width / source[0] / multiple) * multiple


def floor_to_multiple(size: tuple[int, int], multiple: int = 14) -> tuple[int, int]:
    """(width, height), each brought down to a multiple."""
    return size[0] // multiple * multiple, size[1] // multiple * multiple
