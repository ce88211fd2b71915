"""A batched analytic ray caster: images and exact depth of synthetic scenes, on any device.

All per-pixel work is elementwise on (frames, pixels) tensors, or on (frames, shapes, pixels) with a minimum over
shapes, so a GPU (or a CPU, slowly) runs it; there is no acceleration structure: a scene has less than twenty shapes.
Pixel (column u, row v) has the ray ((u - W/2) / f, (v - H/2) / f, 1) in OpenCV camera axes, the convention of VGGT's
unprojection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .cameras import Cameras
from .scenes import KIND_GROUPS, SHAPES, Scenes
from .textures import Coordinates, Noise, albedo, scaled, value_noise

NEAR_M = 1e-3
SKY_HORIZON_M = 25.0  # ground and buildings beyond this vanish in haze: no depth
INFINITE = 1e9

Renderer = Callable[["FrameTables", int, int], tuple[Tensor, Tensor, Tensor]]


@dataclass
class FrameTables:
    """What one frame's rays need, one row a frame (M frames in all)."""

    origin: Tensor  # (M, 3)
    rotation: Tensor  # (M, 3, 3) camera to scene
    focal_px: Tensor  # (M,)
    to_unit: Tensor  # (M, SHAPES, 3, 3) scene directions to unit-shape directions
    centers: Tensor  # (M, SHAPES, 3)
    half_sizes: Tensor  # (M, SHAPES, 3)
    room_low: Tensor  # (M, 3)
    room_high: Tensor  # (M, 3)
    open_air: Tensor  # (M,) bool
    pattern: Tensor  # (M, MATERIALS)
    seeds: Tensor  # (M, MATERIALS)
    frequency: Tensor  # (M, MATERIALS)
    colors: Tensor  # (M, MATERIALS, 9): three colors
    light: Tensor  # (M, 3)
    ambient: Tensor  # (M,)
    sky: Tensor  # (M, 2, 3)


def frame_tables(scenes: Scenes, cameras: Cameras, size: tuple[int, int]) -> FrameTables:
    """Repeat every scene's tables for its frames; (S, N) cameras give M = S N rows. `size` is (H, W) in pixels."""
    frames = cameras.position.shape[1]
    same = ("centers", "half_sizes", "room_low", "room_high", "open_air", "pattern", "seeds", "frequency", "light")
    per_scene = {name: getattr(scenes, name) for name in (*same, "ambient", "sky")}
    per_scene["to_unit"] = scenes.rotations.transpose(-1, -2) / scenes.half_sizes[..., None]
    per_scene["colors"] = scenes.colors.flatten(-2)
    return FrameTables(
        origin=cameras.position.flatten(0, 1),
        rotation=cameras.rotation.flatten(0, 1),
        focal_px=cameras.focal.flatten() * max(size),
        **{name: value.repeat_interleave(frames, 0) for name, value in per_scene.items()},
    )


def render(
    tables: FrameTables, height: int, width: int, first_hit: Callable | None = None, noise_at: Noise = value_noise
) -> tuple[Tensor, Tensor, Tensor]:
    """Linear-light images (M, 3, H, W) in [0, 1], depth along the camera's z (M, H, W) in metres, valid (M, H, W).

    `first_hit` and `noise_at` may be compiled versions of `nearest_shape` and `value_noise`.
    """
    first_hit = first_hit or nearest_shape
    rays = camera_rays(tables, height, width)  # three (M, X), X = H W pixels
    origin = tuple(o.expand_as(rays[0]).contiguous() for o in columns(tables.origin))
    depth, shape = first_hit(tables.to_unit, tables.centers, origin, rays)
    surface = locate(tables, origin, rays, depth, shape)
    towards = tuple(light - p for light, p in zip(columns(tables.light), surface.point, strict=True))
    start = tuple(p + 2e-3 * n for p, n in zip(surface.point, surface.normal, strict=True))
    blocked_at, _ = first_hit(tables.to_unit, tables.centers, start, towards)
    images = shade(tables, rays, surface, towards, blocked_at < 1.0, noise_at)  # (M, 3, X)
    return images.unflatten(2, (height, width)), *(
        m.unflatten(1, (height, width)) for m in (surface.depth, surface.solid)
    )


def compiled_render() -> Renderer:
    """The same function with its two costly parts compiled; the size may change from call to call."""
    first_hit, noise_at = torch.compile(nearest_shape, dynamic=True), torch.compile(value_noise, dynamic=True)
    return lambda tables, height, width: render(tables, height, width, first_hit, noise_at)


def columns(vectors: Tensor) -> Coordinates:
    """(M, 3) -> three (M, 1)."""
    return tuple(vectors[:, axis, None] for axis in range(3))


def camera_rays(tables: FrameTables, height: int, width: int) -> Coordinates:
    """Directions in the scene frame whose camera-z is 1, so that the ray parameter is the depth; three (M, X)."""
    device = tables.origin.device
    x = (torch.arange(width, device=device) - width / 2).repeat(height) / tables.focal_px[:, None]
    y = (torch.arange(height, device=device) - height / 2).repeat_interleave(width) / tables.focal_px[:, None]
    r = tables.rotation[..., None]
    return tuple(x * r[:, axis, 0] + y * r[:, axis, 1] + r[:, axis, 2] for axis in range(3))


def nearest_shape(to_unit: Tensor, centers: Tensor, origin: Coordinates, rays: Coordinates) -> tuple[Tensor, Tensor]:
    """Ray parameter (M, X) at which every ray enters the first shape (INFINITE: none) and that shape's index."""
    best, which = None, None
    for kind, (first, last) in enumerate(KIND_GROUPS):
        matrix, center = to_unit[:, first:last, :, :, None], centers[:, first:last, :, None]  # (M, K, 3, 3, 1)
        offset = [origin[axis][:, None] - center[:, :, axis] for axis in range(3)]  # (M, K, X or 1)
        o = [sum(matrix[:, :, row, axis] * offset[axis] for axis in range(3)) for row in range(3)]
        d = [sum(matrix[:, :, row, axis] * rays[axis][:, None] for axis in range(3)) for row in range(3)]
        enter, leave = interval(kind, o, d)
        entry = torch.where((enter < leave) & (enter > NEAR_M), enter, INFINITE)
        nearest, index = entry.min(1)  # (M, X)
        nearer = None if best is None else nearest < best
        best = nearest if nearer is None else torch.where(nearer, nearest, best)
        which = index if nearer is None else torch.where(nearer, index + first, which)
    return best, which


def interval(kind: int, o: list[Tensor], d: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Ray parameters at which a ray enters and leaves the unit box, sphere or cylinder (enter > leave: a miss)."""
    if kind == 0:
        return slabs(o, d)
    if kind == 1:
        return quadric(o, d)
    side, ends = quadric(o[:2], d[:2]), slabs(o[2:], d[2:])
    return torch.maximum(side[0], ends[0]), torch.minimum(side[1], ends[1])


def slabs(o: list[Tensor], d: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Interval inside -1 <= x <= 1 on every axis given."""
    enter, leave = None, None
    for origin, direction in zip(o, d, strict=True):
        inverse = 1.0 / torch.where(direction.abs() < 1e-9, 1e-9, direction)
        first, second = (-1.0 - origin) * inverse, (1.0 - origin) * inverse
        low, high = torch.minimum(first, second), torch.maximum(first, second)
        enter = low if enter is None else torch.maximum(enter, low)
        leave = high if leave is None else torch.minimum(leave, high)
    return enter, leave


def quadric(o: list[Tensor], d: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Interval inside the unit sphere (three coordinates) or the endless unit cylinder (two)."""
    a = sum(direction * direction for direction in d).clamp(min=1e-12)
    b = sum(origin * direction for origin, direction in zip(o, d, strict=True))
    c = sum(origin * origin for origin in o) - 1.0
    discriminant = b * b - a * c
    root = discriminant.clamp(min=0.0).sqrt()
    miss = discriminant < 0
    return torch.where(miss, INFINITE, (-b - root) / a), torch.where(miss, -INFINITE, (-b + root) / a)


@dataclass
class Surface:
    """What every ray sees first; tensors (M, X)."""

    depth: Tensor
    point: Coordinates  # scene frame
    normal: Coordinates  # scene frame, unit length
    local: Coordinates  # metres in the object's own frame, where textures live
    material: Tensor
    solid: Tensor  # False: sky


def locate(tables: FrameTables, origin: Coordinates, rays: Coordinates, shape_depth: Tensor, shape: Tensor) -> Surface:
    """The visible point of every ray: on a shape or, behind all shapes, on the room."""
    room_depth, face = room_exit(tables, origin, rays)
    is_shape = shape_depth < room_depth
    depth = torch.where(is_shape, shape_depth, room_depth)
    point = tuple(o + depth * d for o, d in zip(origin, rays, strict=True))
    local, shape_normal = shape_surface(tables, point, shape)
    normal = tuple(torch.where(is_shape, a, b) for a, b in zip(shape_normal, face_normal(face), strict=True))
    local = tuple(torch.where(is_shape, a, b) for a, b in zip(local, point, strict=True))
    material = torch.where(is_shape, shape, face + SHAPES)
    ground = face == 4  # low side of z
    solid = ~tables.open_air[:, None] | ((is_shape | ground) & (depth < SKY_HORIZON_M))
    return Surface(depth, point, normal, local, material, solid)


def room_exit(tables: FrameTables, origin: Coordinates, rays: Coordinates) -> tuple[Tensor, Tensor]:
    """Where a ray from inside meets the room: depth and face index (2 * axis, + 1 on the high side)."""
    steps, faces = [], []
    for axis, (low, high) in enumerate(zip(columns(tables.room_low), columns(tables.room_high), strict=True)):
        upward = rays[axis] > 0
        wall = torch.where(upward, high, low)
        step = (wall - origin[axis]) / torch.where(rays[axis].abs() < 1e-9, 1e-9, rays[axis])
        steps.append(torch.where(step < 0, INFINITE, step))
        faces.append(2 * axis + upward.to(torch.int64))
    depth, axis = torch.stack(steps).min(0)
    return depth, torch.stack(faces).gather(0, axis[None])[0]


def face_normal(face: Tensor) -> Coordinates:
    """Inward normals of room faces."""
    sign = 1.0 - 2.0 * (face & 1).float()
    return tuple(torch.where(face // 2 == axis, sign, 0.0) for axis in range(3))


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """Look up rows of (M, K, ...) by (M, X) indices: (M, X, ...)."""
    frame = torch.arange(table.shape[0], device=table.device)[:, None]
    return table.flatten(0, 1)[frame * table.shape[1] + index]


def shape_surface(tables: FrameTables, point: Coordinates, index: Tensor) -> tuple[Coordinates, Coordinates]:
    """The point in the object's own frame in metres, and the outward normal in the scene frame."""
    matrix, center = rows_of(tables.to_unit, index), rows_of(tables.centers, index)
    offset = [point[axis] - center[..., axis] for axis in range(3)]
    unit = [sum(matrix[..., row, axis] * offset[axis] for axis in range(3)) for row in range(3)]
    size = rows_of(tables.half_sizes, index)
    local = tuple(unit[axis] * size[..., axis] for axis in range(3))
    x, y, z = (u.abs() for u in unit)
    is_box, is_ellipsoid = index < KIND_GROUPS[0][1], index < KIND_GROUPS[1][1]
    on_end = z > (x * x + y * y).sqrt()
    largest = ((x >= y) & (x >= z), (y > x) & (y >= z), (z > x) & (z > y))
    normals = []
    for axis in range(3):
        cylinder = torch.where(on_end, unit[2].sign() if axis == 2 else 0.0, 0.0 if axis == 2 else unit[axis])
        box = torch.where(largest[axis], unit[axis].sign(), 0.0)
        normals.append(torch.where(is_box, box, torch.where(is_ellipsoid, unit[axis], cylinder)))
    world = [sum(matrix[..., row, axis] * normals[row] for row in range(3)) for axis in range(3)]
    inverse = torch.rsqrt((world[0] ** 2 + world[1] ** 2 + world[2] ** 2).clamp(min=1e-12))
    return local, scaled(tuple(world), inverse)


def shade(
    tables: FrameTables, rays: Coordinates, surface: Surface, towards: Coordinates, shadow: Tensor, noise_at: Noise
) -> Tensor:
    """Colors (M, 3, X): texture times light, or sky."""
    length = (rays[0] ** 2 + rays[1] ** 2 + rays[2] ** 2).sqrt()
    pixel_m = surface.depth * length / tables.focal_px[:, None]
    light = lighting(tables, surface.normal, towards, shadow)
    sky = sky_colors(tables, rays, length, noise_at)
    colors = surface_colors(tables, surface, pixel_m, noise_at)
    shaded = [torch.where(surface.solid, c * light, s) for c, s in zip(colors, sky, strict=True)]
    return torch.stack(shaded, 1).clamp(0.0, 1.0)


def surface_colors(tables: FrameTables, surface: Surface, pixel_m: Tensor, noise_at: Noise) -> list[Tensor]:
    colors = rows_of(tables.colors, surface.material)  # (M, X, 9)
    seed = rows_of(tables.seeds, surface.material)
    shift = (seed & 1023).float() * 0.37 + 0.123  # keeps lattice planes off flat faces
    moved = tuple(coordinate + shift for coordinate in surface.local)
    pattern, frequency = rows_of(tables.pattern, surface.material), rows_of(tables.frequency, surface.material)
    three = (colors[..., :3], colors[..., 3:6], colors[..., 6:])
    return albedo(pattern, three, frequency, seed, moved, pixel_m, noise_at)


def lighting(tables: FrameTables, normal: Coordinates, towards: Coordinates, shadow: Tensor) -> Tensor:
    """Ambient light plus a point light with hard shadows, (M, X)."""
    distance = (towards[0] ** 2 + towards[1] ** 2 + towards[2] ** 2).sqrt().clamp(min=1e-6)
    facing = sum(n * t for n, t in zip(normal, towards, strict=True)) / distance
    direct = torch.where(shadow, 0.0, facing.clamp(min=0.0))
    ambient = tables.ambient[:, None]
    return ambient * (0.85 + 0.15 * normal[2]) + (1.0 - ambient) * 1.3 * direct


def sky_colors(tables: FrameTables, rays: Coordinates, length: Tensor, noise_at: Noise) -> list[Tensor]:
    direction = tuple(ray / length for ray in rays)
    height = direction[2].clamp(0.0, 1.0)
    flat = tuple(4.0 * d / (direction[2].abs() + 0.35) for d in direction)
    cloud = noise_at(flat, tables.seeds[:, :1].expand_as(height).contiguous())
    cloud = ((cloud - 0.5) * 3.0).clamp(0.0, 1.0) * height.sqrt()
    sky = tables.sky[..., None]  # (M, 2, 3, 1)
    mixed = [sky[:, 0, c] + height * (sky[:, 1, c] - sky[:, 0, c]) for c in range(3)]
    return [m * (1.0 - 0.5 * cloud) + 0.5 * cloud for m in mixed]
