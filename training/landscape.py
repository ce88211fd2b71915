"""Meshes of plants, buildings and terrain; see `shapes.py` for their form."""

from __future__ import annotations

import numpy as np

from .solids import Mesh, box, join, moved, noise_field, sheet, sphere, tube


def leaves(random: np.random.Generator, at: np.ndarray, size: float, slot: int = 1) -> Mesh:
    """A small kite at every point (K, 3), turned at random."""
    count = len(at)
    along, across = random.normal(size=(2, count, 3))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across -= (across * along).sum(1, keepdims=True) * along
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    length = size * random.uniform(0.6, 1.4, (count, 1))
    corners = np.stack(
        [
            at,
            at + along * length * 0.5 + across * length * 0.3,
            at + along * length,
            at + along * length * 0.5 - across * length * 0.3,
        ],
        1,
    )
    first = 4 * np.arange(count)[:, None]
    faces = np.concatenate([first + [0, 1, 2], first + [0, 2, 3]])
    return corners.reshape(-1, 3), faces, slot + (np.tile(np.arange(count), 2) % 3 == 0).astype(int)


def tree(random: np.random.Generator) -> Mesh:
    """A trunk with branches and leaves; some are bare, some conifers."""
    tall, spread = random.uniform(1.2, 3.0), random.uniform(0.5, 1.4)
    lean = random.normal(size=2) * 0.15
    t = np.linspace(0, 1, 9)
    trunk = np.stack([lean[0] * t**2, lean[1] * t**2, tall * t], 1)
    thick = random.uniform(0.04, 0.14)
    parts = [tube(trunk, thick * (1 - 0.7 * t), 7)]
    conifer, tips = random.random() < 0.3, []
    for _ in range(int(random.integers(8, 26))):
        start = random.uniform(0.25 if not conifer else 0.1, 0.98)
        base = np.array([np.interp(start, t, trunk[:, axis]) for axis in range(3)])
        angle, rise = random.uniform(0, 6.28), random.uniform(-0.3, 0.1) if conifer else random.uniform(0.1, 0.9)
        reach = spread * random.uniform(0.4, 1.0) * ((1.05 - start) if conifer else 1.0)
        end = base + reach * np.array([np.cos(angle), np.sin(angle), rise])
        middle = (base + end) / 2 + random.normal(size=3) * 0.1 * reach
        path = np.stack([base, middle, end])
        parts.append(tube(path, thick * 0.4 * np.array([1, 0.6, 0.2]), 4))
        tips.append(
            base + (end - base) * random.uniform(0.3, 1.05, (60, 1)) + random.normal(size=(60, 3)) * 0.16 * reach
        )
    if random.random() < 0.88:
        cloud = np.concatenate(tips)
        parts.append(leaves(random, cloud[: int(random.integers(300, 1300))], random.uniform(0.05, 0.16)))
    return join(parts)


def bush(random: np.random.Generator) -> Mesh:
    """Leaves in and around a lumpy ball."""
    count = int(random.integers(300, 1200))
    direction = random.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    lump = 1 + 0.35 * noise_field(random, 2, 1.5)(direction)
    at = direction * (lump * random.uniform(0.3, 1.0, count) ** 0.5)[:, None] * random.uniform(0.5, 1.0, 3)
    return leaves(random, at, random.uniform(0.08, 0.25), slot=0)


def tuft(random: np.random.Generator) -> Mesh:
    """Grass, reed, potted blades: bent strips from one foot."""
    parts = []
    for _ in range(int(random.integers(20, 90))):
        angle, bend, tall = random.uniform(0, 6.28), random.uniform(0.1, 1.2), random.uniform(0.5, 1.2)
        t = np.linspace(0, 1, 6)[:, None]
        away = np.array([np.cos(angle), np.sin(angle), 0.0])
        side = np.array([-np.sin(angle), np.cos(angle), 0.0]) * random.uniform(0.015, 0.06)
        foot = np.append(random.normal(size=2) * random.uniform(0.05, 0.4), 0.0)
        middle = foot + away * bend * t**2 * tall + np.array([0, 0, 1.0]) * tall * t * (1 - 0.25 * bend * t)
        parts.append(
            sheet(np.stack([middle - side * (1 - t), middle + side * (1 - t)], 1), slot=int(random.integers(0, 2)))
        )
    return join(parts)


def building(random: np.random.Generator) -> Mesh:
    """Walls with recessed windows, sills, a door, cornices, perhaps a pitched roof, towers or balconies."""
    wide, deep = random.uniform(0.8, 2.6), random.uniform(0.6, 1.6)
    floors, columns = int(random.integers(1, 7)), int(random.integers(2, 10))
    level = random.uniform(0.5, 0.8)
    tall = floors * level
    fill, inset = random.uniform(0.35, 0.7), random.uniform(0.02, 0.12)
    parts = [moved(box(), [wide - inset, deep - inset, tall / 2], [0, 0, tall / 2], slot=2)]  # glass lies inside
    cell = 2 * wide / columns
    rows = max(2, round(2 * deep / cell))
    high = random.uniform(0.35, 0.7)
    for span, other, count, turned in ((wide, deep, columns, False), (deep, wide, rows, True)):
        for sign in (-1, 1):
            strips = [([span, inset / 2, (1 - high) * level / 2], [0, (f + 0.0) * level]) for f in range(floors + 1)]
            edges = np.linspace(-span, span, count + 1)
            posts = [([cell * (1 - fill) / 2, inset / 2, tall / 2], [x, tall / 2]) for x in edges]
            for half, (x, z) in strips + posts:
                part = moved(box(), half, [x, sign * (other - inset / 2), z], slot=0)
                if turned:
                    part = part[0][:, [1, 0, 2]], part[1], part[2]
                parts.append(part)
    if random.random() < 0.6:
        parts += [
            moved(box(), [wide * 1.04, deep * 1.04, 0.04], [0, 0, z], slot=3)
            for z in (tall, level, random.uniform(0, tall))
        ]
    if random.random() < 0.5:
        roof = box()
        peak = np.where(roof[0][:, 2] > 0, random.choice([0.02, 0.5]), 1.0)
        points = roof[0] * [wide * 1.08, deep * 1.08, random.uniform(0.15, 0.6)]
        points[:, 1] *= np.where(roof[0][:, 2] > 0, 0.02, 1.0)
        points[:, 0] *= peak
        parts.append((points + [0, 0, tall + points[:, 2].max()], roof[1], np.full(12, 3)))
    if random.random() < 0.3:
        tower = moved(sphere(rings=8), [0.35, 0.35, 0.5], 0.0, slot=3)
        for x in random.uniform(-wide, wide, int(random.integers(1, 4))):
            body = tube(np.array([[x, deep, 0], [x, deep, tall * 0.6], [x, deep, tall * 1.2]]), 0.3, 10)
            parts += [body, moved(tower, 1.0, [x, deep, tall * 1.2])]
    for _ in range(int(random.integers(0, 5))):  # balconies, signs, awnings
        x, z = random.uniform(-wide, wide), random.uniform(0.2, tall)
        half = [random.uniform(0.1, 0.4), random.uniform(0.05, 0.2), random.uniform(0.02, 0.15)]
        parts.append(moved(box(), half, [x, random.choice([-1, 1]) * deep, z], slot=int(random.integers(1, 4))))
    return join(parts)


def terrain(random: np.random.Generator) -> Mesh:
    """A square of hills, ridges or dunes; flat enough in the middle to walk there. Every axis fills [-1, 1]."""
    side = 72
    axis = np.linspace(-1, 1, side)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    points = np.stack([x, y, np.zeros_like(x)], -1)
    height = noise_field(random, 5, random.uniform(1.2, 3.0), random.uniform(0.42, 0.6))(points)
    if random.random() < 0.4:
        height = 1 - np.abs(height)  # ridges
    if random.random() < 0.5:
        height = height * np.clip((x**2 + y**2) * random.uniform(1.0, 3.0), 0.1, 1.5)  # a valley
    points[..., 2] = height
    mesh = sheet(points)
    steep = height.reshape(-1)[mesh[1][:, 0]]
    return mesh[0], mesh[1], (steep > np.quantile(steep, random.uniform(0.4, 0.9))).astype(int)


def arch(random: np.random.Generator) -> Mesh:
    """A wall with a round opening, or an arcade of them."""
    count = int(random.integers(1, 5))
    parts, thick = [], random.uniform(0.1, 0.5)
    radius, foot, top = random.uniform(0.4, 0.8), random.uniform(0.3, 1.5), random.uniform(1.1, 1.6)
    for index in range(count):
        phi = np.linspace(np.pi, 0, 15)
        inner = np.stack([radius * np.cos(phi), foot + radius * np.sin(phi)], 1)
        inner = np.concatenate([[[-radius, 0.0]], inner, [[radius, 0.0]]])
        outer = np.stack(
            [np.sign(inner[:, 0]) * 1.0, np.where(np.abs(inner[:, 0]) < radius * 0.97, foot + top, inner[:, 1])], 1
        )
        outer[1:-1, 0] = np.clip(inner[1:-1, 0] * 1.6, -1, 1)
        rows = [
            np.stack([p[:, 0] + 2 * index, np.full(len(p), y), p[:, 1]], 1)
            for p, y in ((outer, -thick), (inner, -thick), (inner, thick), (outer, thick))
        ]
        parts.append(sheet(np.stack(rows), close_u=True, slot=index % 2))
    return join(parts)
