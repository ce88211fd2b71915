"""Meshes of solids, organic and thin things, and the tools they are made with; see `shapes.py` for their form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Mesh = tuple[np.ndarray, np.ndarray, np.ndarray]


def join(parts: list[Mesh]) -> Mesh:
    start, vertices, faces, slots = 0, [], [], []
    for v, f, s in parts:
        vertices.append(v)
        faces.append(f + start)
        slots.append(s)
        start += len(v)
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(slots)


def moved(mesh: Mesh, scale=1.0, shift=0.0, turn: np.ndarray | None = None, slot: int | None = None) -> Mesh:
    vertices, faces, slots = mesh
    vertices = vertices * scale
    if turn is not None:
        vertices = vertices @ turn.T
    return vertices + shift, faces, slots if slot is None else np.full_like(slots, slot)


def random_turn(random: np.random.Generator) -> np.ndarray:
    turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return turn * np.sign(np.linalg.det(turn))


def noise_field(random: np.random.Generator, octaves: int = 4, base: float = 1.5, fall: float = 0.55) -> Callable:
    """A smooth random function of points (..., 3), about unit size: waves of random direction."""
    waves = []
    for octave in range(octaves):
        for _ in range(5):
            direction = random.normal(size=3)
            direction *= base * 2.0**octave * random.uniform(0.7, 1.4) / np.linalg.norm(direction)
            waves.append((direction, random.uniform(0, 6.28), fall**octave * 0.6))
    return lambda points: sum(size * np.sin(points @ wave + phase) for wave, phase, size in waves)


def grid(rows: int, columns: int, close_u: bool = False, close_v: bool = False) -> np.ndarray:
    """Triangles of a rows x columns sheet of vertices, columns fastest, joined at the ends where asked."""
    u = np.arange(rows if close_u else rows - 1)
    v = np.arange(columns if close_v else columns - 1)
    u, v = (m.ravel() for m in np.meshgrid(u, v, indexing="ij"))
    u1, v1 = (u + 1) % rows, (v + 1) % columns
    a, b, c, d = u * columns + v, u1 * columns + v, u1 * columns + v1, u * columns + v1
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def sheet(points: np.ndarray, close_u: bool = False, close_v: bool = False, slot: int = 0) -> Mesh:
    """Points (R, C, 3) as a surface."""
    faces = grid(*points.shape[:2], close_u, close_v)
    return points.reshape(-1, 3), faces, np.full(len(faces), slot)


def box(random: np.random.Generator | None = None) -> Mesh:
    corners = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    slots = np.zeros(12, int)
    if random is not None:
        slots = np.repeat(random.integers(0, 3, 6), 2)
        corners = corners * random.uniform(0.15, 1.0, 3)
        if random.random() < 0.3:  # a wedge or frustum
            corners[corners[:, 2] > 0, :2] *= random.uniform(0.1, 0.9, 2)
    return corners, faces, slots


def sphere(random: np.random.Generator | None = None, rings: int = 16) -> Mesh:
    theta = np.linspace(0.02, np.pi - 0.02, rings)[:, None]
    phi = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)[None]
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi], -1)
    if random is not None:
        power = random.uniform(0.35, 1.3)  # from near boxes to stars
        points = np.sign(points) * np.abs(points) ** power * random.uniform(0.35, 1.0, 3)
    return sheet(points, close_v=True)


def lathe(random: np.random.Generator) -> Mesh:
    """A turned thing: vases, bottles, lamps, columns, plates."""
    count = int(random.integers(4, 9))
    knots = np.abs(random.normal(0.5, 0.3, count)) + 0.05
    knots[random.random(count) < 0.15] *= 0.3
    t = np.linspace(0, count - 1, 22)
    smooth = np.interp(t, np.arange(count), knots)
    if random.random() < 0.7:
        smooth = np.convolve(np.pad(smooth, 2, mode="edge"), np.ones(5) / 5, "valid")
    radius = np.concatenate([[1e-3], smooth, [1e-3]])
    height = np.concatenate([[0], np.linspace(0, 1, 22), [1]]) * random.uniform(0.3, 3.0)
    sides = int(random.choice([4, 6, 8, 24, 24]))
    phi = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    flute = 1.0 + random.choice([0.0, 0.0, 0.12]) * np.sin(phi * sides / 2)
    points = np.stack(
        [radius[:, None] * np.cos(phi) * flute, radius[:, None] * np.sin(phi) * flute, height[:, None] + 0 * phi], -1
    )
    mesh = sheet(points, close_v=True)
    slots = (mesh[0][mesh[1][:, 0], 2] > height.max() * random.uniform(0.2, 0.9)).astype(int)
    return mesh[0], mesh[1], slots


def extrusion(random: np.random.Generator) -> Mesh:
    """A star-shaped outline pulled up, perhaps twisted and tapered."""
    sides = int(random.integers(3, 14))
    phi = np.sort(random.uniform(0, 2 * np.pi, sides))
    radius = random.uniform(0.35, 1.0, sides)
    outline = np.stack([radius * np.cos(phi), radius * np.sin(phi)], 1)
    levels = np.linspace(0, 1, 8)
    twist, taper = random.choice([0, 0, 1]) * random.uniform(-1.5, 1.5), random.uniform(0.3, 1.1)
    rows = []
    for level in levels:
        c, s = np.cos(twist * level), np.sin(twist * level)
        flat = outline @ np.array([[c, s], [-s, c]]) * (1 + (taper - 1) * level)
        rows.append(np.concatenate([flat, np.full((sides, 1), level * 2)], 1))
    side = sheet(np.stack(rows), close_v=True)
    top = np.concatenate([rows[-1], rows[-1].mean(0, keepdims=True)])
    fan = np.stack([np.arange(sides), (np.arange(sides) + 1) % sides, np.full(sides, sides)], 1)
    return join([side, (top, fan, np.ones(sides, int))])


def blob(random: np.random.Generator) -> Mesh:
    """An organic solid: a sphere pushed in and out by noise; stones, fruit, animals without legs."""
    vertices, faces, _ = sphere(rings=26)
    noise = noise_field(random, int(random.integers(2, 5)), random.uniform(0.8, 2.2))
    bump = np.tanh(noise(vertices)) * random.uniform(0.1, 0.5)
    if random.random() < 0.35:
        bump = np.round(bump * 6) / 6  # terraces
    vertices = vertices * (1 + bump)[:, None] * random.uniform(0.4, 1.0, 3)
    patch = noise_field(random, 2, 2.0)(vertices[faces[:, 0]])
    return vertices, faces, (patch > 0.7).astype(int)


def boolean(random: np.random.Generator) -> Mesh:
    """Union of solids with holes: a field of boxes and balls on a grid, its surface in small squares."""
    size = 22
    axis = (np.arange(size) - size / 2 + 0.5) / (size / 2)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    inside = np.zeros((size,) * 3, bool)
    for step in range(int(random.integers(3, 8))):
        centre, half = random.uniform(-0.55, 0.55, 3), random.uniform(0.15, 0.6, 3)
        turned = (points - centre) @ (random_turn(random) if random.random() < 0.4 else np.eye(3))
        kind = random.random()
        if kind < 0.5:
            part = (np.abs(turned) < half).all(-1)
        elif kind < 0.8:
            part = ((turned / half) ** 2).sum(-1) < 1
        else:
            part = ((turned[..., :2] / half[:2]) ** 2).sum(-1) < 1
        inside = inside & ~part if step > 1 and random.random() < 0.45 else inside | part
    if not inside.any():
        return blob(random)
    return voxel_surface(inside, smooth=bool(random.random() < 0.6))


def voxel_surface(inside: np.ndarray, smooth: bool) -> Mesh:
    """The faces between filled and empty cells; `smooth` moves every vertex to the middle of its neighbours."""
    padded = np.pad(inside, 1)
    vertices, faces = [], []
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    for axis in range(3):
        for sign in (0, 1):
            empty = np.roll(padded, 1 if sign == 0 else -1, axis)
            cells = np.argwhere(padded & ~empty)
            others = [a for a in range(3) if a != axis]
            quad = np.repeat(cells[:, None], 4, 1)
            quad[:, :, axis] += sign
            quad[:, :, others[0]] += corners[:, 0]
            quad[:, :, others[1]] += corners[:, 1]
            first = 4 * np.arange(len(cells))[:, None] + sum(map(len, vertices))
            vertices.append(quad.reshape(-1, 3))
            faces.append(np.concatenate([first + [0, 1, 2], first + [0, 2, 3]]))
    points, index = np.unique(np.concatenate(vertices), axis=0, return_inverse=True)
    triangles = index.reshape(-1)[np.concatenate(faces)]
    points = points.astype(float)
    for _ in range(3 if smooth else 0):
        total, count = np.zeros_like(points), np.zeros((len(points), 1))
        for a, b in ((0, 1), (1, 2), (2, 0)):
            np.add.at(total, triangles[:, a], points[triangles[:, b]])
            np.add.at(count, triangles[:, a], 1)
        points = 0.5 * points + 0.5 * total / np.maximum(count, 1)
    return points, triangles, np.zeros(len(triangles), int)


def tube(path: np.ndarray, radius: np.ndarray | float, sides: int = 6, slot: int = 0) -> Mesh:
    """A round bar along points (K, 3)."""
    along = np.gradient(path, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    helper = np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0, 1]], [[1.0, 0, 0]])
    right = np.cross(along, helper)
    right /= np.linalg.norm(right, axis=1, keepdims=True) + 1e-9
    up = np.cross(right, along)
    phi = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    size = np.broadcast_to(radius, len(path))[:, None, None]
    ring = right[:, None] * np.cos(phi)[None, :, None] + up[:, None] * np.sin(phi)[None, :, None]
    return sheet(path[:, None] + size * ring, close_v=True, slot=slot)


def wire(random: np.random.Generator) -> Mesh:
    """Bent bars: cables, pipes, railings, sculptures."""
    parts = []
    for part in range(int(random.integers(1, 6))):
        knots = random.uniform(-1, 1, (int(random.integers(3, 7)), 3))
        t = np.linspace(0, len(knots) - 1, 28)
        path = np.stack([np.interp(t, np.arange(len(knots)), knots[:, axis]) for axis in range(3)], 1)
        for _ in range(int(random.integers(0, 4))):
            path[1:-1] = (path[:-2] + path[1:-1] + path[2:]) / 3
        parts.append(tube(path, random.uniform(0.015, 0.12), int(random.choice([4, 6, 8])), part % 3))
    return join(parts)


def lattice(random: np.random.Generator) -> Mesh:
    """Bars in rows: fences, shelves, scaffolds, window grids, ladders."""
    across, up = int(random.integers(2, 14)), int(random.integers(1, 7))
    wide, tall, thick = random.uniform(0.6, 2.5), random.uniform(0.4, 2.0), random.uniform(0.01, 0.06)
    deep = random.choice([0.0, 0.0, random.uniform(0.1, 0.6)])
    parts = []
    for x in np.linspace(-wide, wide, across):
        for y in {-deep, deep}:
            parts.append(moved(box(), [thick, thick, tall], [x, y, 0.0], slot=0))
    for z in np.linspace(-tall, tall, up):
        parts.append(moved(box(), [wide, max(deep, thick), thick], [0.0, 0.0, z], slot=1))
    return join(parts)


def furniture(random: np.random.Generator) -> Mesh:
    """A top on legs, perhaps with a back and a lower board: tables, chairs, benches."""
    wide, deep, tall = random.uniform(0.3, 1.4), random.uniform(0.3, 0.8), random.uniform(0.3, 0.9)
    leg = random.uniform(0.02, 0.09)
    parts = [moved(box(), [wide, deep, random.uniform(0.02, 0.1)], [0, 0, tall], slot=0)]
    for x in (-1, 1):
        for y in (-1, 1):
            parts.append(moved(box(), [leg, leg, tall / 2], [x * (wide - leg), y * (deep - leg), tall / 2], slot=1))
    if random.random() < 0.5:
        back = random.uniform(0.2, 0.7)
        parts.append(moved(box(), [wide, leg, back], [0, deep - leg, tall + back], slot=2))
    if random.random() < 0.4:
        parts.append(moved(box(), [wide, deep, 0.03], [0, 0, tall * random.uniform(0.2, 0.6)], slot=0))
    return join(parts)


def pile(random: np.random.Generator) -> Mesh:
    """Many small things heaped up: boxes, books, stones, crates."""
    parts = []
    for _ in range(int(random.integers(6, 26))):
        part = box(random) if random.random() < 0.6 else sphere(random, rings=7)
        size = random.uniform(0.08, 0.4)
        turn = random_turn(random) if random.random() < 0.4 else None
        shift = random.normal(size=3) * [0.5, 0.5, 0.25]
        parts.append(moved(part, size, shift, turn, slot=int(random.integers(0, 4))))
    return join(parts)


def cloth(random: np.random.Generator) -> Mesh:
    """A bent sheet: curtains, blankets, banners, leaves, paper."""
    axis = np.linspace(-1, 1, 24)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    points = np.stack([x, y * random.uniform(0.3, 1.0), np.zeros_like(x)], -1)
    points[..., 2] = noise_field(random, 3, random.uniform(0.8, 3.0))(points) * random.uniform(0.03, 0.3)
    if random.random() < 0.6:
        points = points[..., [0, 2, 1]]  # hanging
    return sheet(points)
