"""Procedural meshes: solids, organic and thin things, plants, buildings and terrain.

A shape is (vertices (V, 3) in [-1, 1], z up; triangles (F, 3); slots (F,), which of its four materials a face has).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import landscape, solids
from .solids import Mesh

GROUPS = ("solid", "organic", "thin", "plant", "building", "terrain", "prop")


@dataclass(frozen=True)
class Shape:
    group: str
    vertices: np.ndarray  # (V, 3) float32
    faces: np.ndarray  # (F, 3) int32
    slots: np.ndarray  # (F,) int32

    @classmethod
    def make(cls, group: str, mesh: Mesh, stretch: bool = False) -> Shape:
        """Centred and scaled into [-1, 1]; with `stretch` every axis by itself."""
        vertices, faces, slots = mesh
        low, high = vertices.min(0), vertices.max(0)
        size = np.maximum(high - low, 1e-4)
        scale = 2.0 / (size if stretch else size.max())
        vertices = (vertices - (low + high) / 2) * scale
        return cls(group, vertices.astype(np.float32), faces.astype(np.int32), slots.astype(np.int32))


def procedural_shapes(seed: int, share: float = 1.0) -> list[Shape]:
    """A library drawn from `seed`; `share` below 1 gives fewer of each kind."""
    random = np.random.default_rng(seed)
    return [
        Shape.make(group, maker(random), stretch=group == "terrain")
        for group, maker, count in MAKERS
        for _ in range(max(1, round(count * share)))
    ]


MAKERS: tuple[tuple[str, Callable[[np.random.Generator], Mesh], int], ...] = (
    ("solid", solids.box, 24),
    ("solid", solids.sphere, 24),
    ("solid", solids.extrusion, 28),
    ("solid", solids.boolean, 40),
    ("organic", solids.lathe, 40),
    ("organic", solids.blob, 56),
    ("organic", solids.cloth, 20),
    ("thin", solids.wire, 24),
    ("thin", solids.lattice, 28),
    ("prop", solids.furniture, 36),
    ("prop", solids.pile, 28),
    ("plant", landscape.tree, 36),
    ("plant", landscape.bush, 20),
    ("plant", landscape.tuft, 16),
    ("building", landscape.building, 56),
    ("building", landscape.arch, 10),
    ("terrain", landscape.terrain, 32),
)
