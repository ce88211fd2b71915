"""Procedural solid textures: the colour of a surface as a function of a 3-D position.

Everything is elementwise on coordinate tensors of one shape, so that torch.compile turns a whole texture into a few
kernels and the same code runs on a CPU. Integer hashing makes every pattern a pure function of (position, seed).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Coordinates = tuple[Tensor, Tensor, Tensor]
Noise = Callable[[Coordinates, Tensor], Tensor]

PATTERNS = ("marble", "blobs", "checker", "mosaic", "stripes", "brick")


def lattice_hash(x: Tensor, y: Tensor, z: Tensor, seed: Tensor) -> Tensor:
    """A number in [0, 1) for every integer lattice point (int32 tensors of one shape)."""
    value = (x * 374761393) ^ (y * 668265263) ^ (z * 1274126177) ^ (seed * 974634721)
    value = (value ^ ((value >> 13) & 0x7FFFF)) * 1103515245
    value = (value ^ ((value >> 16) & 0xFFFF)) * 668265263
    return ((value >> 8) & 0xFFFF).float() / 65536.0


def value_noise(point: Coordinates, seed: Tensor) -> Tensor:
    """Smooth noise in [0, 1): random numbers on the integer lattice, blended with a cubic."""
    cells = [coordinate.floor() for coordinate in point]
    fractions = [coordinate - cell for coordinate, cell in zip(point, cells, strict=True)]
    u, v, w = (f * f * (3.0 - 2.0 * f) for f in fractions)
    x, y, z = (cell.to(torch.int32) for cell in cells)

    def edge(dy: int, dz: int) -> Tensor:
        first, second = lattice_hash(x, y + dy, z + dz, seed), lattice_hash(x + 1, y + dy, z + dz, seed)
        return first + u * (second - first)

    low, high = (near + v * (far - near) for near, far in ((edge(0, dz), edge(1, dz)) for dz in (0, 1)))
    return low + w * (high - low)


def scaled(point: Coordinates, factor: Tensor | float) -> Coordinates:
    return tuple(coordinate * factor for coordinate in point)


def octave_weight(frequency: Tensor | float, footprint: Tensor) -> Tensor:
    """1 where a pixel is much smaller than the detail, 0 where the detail would only alias."""
    return (1.6 - 2.0 * frequency * footprint).clamp(0.0, 1.0)


def pattern_value(kind: Tensor, point: Coordinates, seed: Tensor, footprint: Tensor, noise_at: Noise) -> Tensor:
    """The pattern's mixing value in [0, 1]; `kind` indexes PATTERNS, `point` is in pattern periods."""
    x, y, z = point
    base = noise_at(point, seed)
    detail = noise_at(scaled(point, 2.3), seed + 1)
    noise = base * 0.65 + detail * 0.35
    cells = [coordinate.floor().to(torch.int32) for coordinate in point]
    checker = ((cells[0] + cells[1] + cells[2]) & 1).float()
    mosaic = lattice_hash(*cells, seed + 2)
    stripes = 0.5 + 0.5 * torch.sin(6.2832 * (x + 0.6 * y + 1.3 * z + 1.2 * noise))
    row = (z * 2.0).floor()
    along = x + y + 0.5 * (row.to(torch.int32) & 1).float()
    brick = (((along - along.floor()) > 0.08) & ((z * 2.0 - row) > 0.14)).float()
    blobs = ((noise - 0.5) * 12.0 + 0.5).clamp(0.0, 1.0)
    value = noise
    for index, other in enumerate((blobs, checker, mosaic, stripes, brick), start=1):  # order of PATTERNS
        value = torch.where(kind == index, other, value)
    return 0.5 + (value - 0.5) * octave_weight(1.0, footprint)


def albedo(
    kind: Tensor,
    colors: tuple[Tensor, Tensor, Tensor],
    frequency: Tensor,
    seed: Tensor,
    point: Coordinates,
    size: Tensor,
    noise_at: Noise = value_noise,
) -> list[Tensor]:
    """Red, green and blue reflectance of a surface point.

    kind, seed: int32; colors: three (..., 3) tensors; frequency: pattern periods a metre; point: metres, in the
    object's own frame; size: metres that a pixel covers there (detail finer than that fades out);
    noise_at: value_noise or a compiled version of it.
    """
    footprint = size * frequency
    local = scaled(point, frequency)
    mix = pattern_value(kind, local, seed, footprint, noise_at)
    speckle = noise_at(scaled(local, 3.1), seed + 5)
    third = ((speckle - 0.68) * 10.0).clamp(0.0, 1.0) * octave_weight(3.1, footprint)
    grain = (noise_at(scaled(local, 7.7), seed + 9) - 0.5) * octave_weight(7.7, footprint)
    first, second, accent = colors
    result = []
    for channel in range(3):
        color = first[..., channel] + mix * (second[..., channel] - first[..., channel])
        color = color + third * (accent[..., channel] - color)
        result.append((color * (1.0 + 0.5 * grain)).clamp(0.0, 1.0))
    return result
