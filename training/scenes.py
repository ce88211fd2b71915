"""Random scenes made of boxes, ellipsoids and cylinders in a room or on open ground, as batched tensors.

The scene frame has z up and the floor at z = 0; lengths are metres. Every drawn number comes from the generator passed
in, so (seed, count) names a scene exactly; numbers drawn on the CPU are the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .textures import PATTERNS

BOXES, WALL_BOXES, ELLIPSOIDS, CYLINDERS = 8, 4, 4, 3
SHAPES = BOXES + WALL_BOXES + ELLIPSOIDS + CYLINDERS
KIND_GROUPS = (  # first and last + 1 index of boxes, ellipsoids, cylinders
    (0, BOXES + WALL_BOXES),
    (BOXES + WALL_BOXES, BOXES + WALL_BOXES + ELLIPSOIDS),
    (BOXES + WALL_BOXES + ELLIPSOIDS, SHAPES),
)
ROOM_FACES = 6  # -x +x -y +y -z(floor) +z(ceiling)
MATERIALS = SHAPES + ROOM_FACES
FAR_AWAY_M = 500.0  # where shapes go that a scene does not have


@dataclass
class Scenes:
    """S scenes. Shapes are unit shapes moved by center, rotation (columns = axes) and half size."""

    centers: Tensor  # (S, SHAPES, 3)
    rotations: Tensor  # (S, SHAPES, 3, 3) object to scene
    half_sizes: Tensor  # (S, SHAPES, 3)
    room_low: Tensor  # (S, 3)
    room_high: Tensor  # (S, 3)
    open_air: Tensor  # (S,) bool: walls and ceiling are sky
    content_radius: Tensor  # (S,) where most shapes stand
    pattern: Tensor  # (S, MATERIALS) int32 index into textures.PATTERNS
    seeds: Tensor  # (S, MATERIALS) int32
    frequency: Tensor  # (S, MATERIALS) pattern periods a metre
    colors: Tensor  # (S, MATERIALS, 3 colors, 3)
    light: Tensor  # (S, 3) position of the light
    ambient: Tensor  # (S,) share of light that has no direction
    sky: Tensor  # (S, 2, 3) colors at the horizon and overhead

    @property
    def count(self) -> int:
        return self.centers.shape[0]

    def to(self, device: torch.device | str) -> Scenes:
        return Scenes(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @staticmethod
    def concatenate(parts: list[Scenes]) -> Scenes:
        return Scenes(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Scenes)})


class Draw:
    """Random tensors from one generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device)

    def integer(self, *shape: int, high: int) -> Tensor:
        return torch.randint(high, shape, generator=self.generator, device=self.device, dtype=torch.int32)

    def chance(self, *shape: int, share: float) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device) < share


def axis_angle_rotation(axis: Tensor, angle: Tensor) -> Tensor:
    """(..., 3) axes of any length and (...) radians -> (..., 3, 3), Rodrigues' formula."""
    x, y, z = torch.nn.functional.normalize(axis, dim=-1).unbind(-1)
    sine, cosine = angle.sin(), angle.cos()
    rest = 1.0 - cosine
    rows = [
        torch.stack([cosine + x * x * rest, x * y * rest - z * sine, x * z * rest + y * sine], -1),
        torch.stack([y * x * rest + z * sine, cosine + y * y * rest, y * z * rest - x * sine], -1),
        torch.stack([z * x * rest - y * sine, z * y * rest + x * sine, cosine + z * z * rest], -1),
    ]
    return torch.stack(rows, -2)


def sample_scenes(count: int, generator: torch.Generator) -> Scenes:
    """Draw `count` scenes; about half are rooms, half open ground with sky."""
    draw = Draw(generator)
    open_air = draw.chance(count, share=0.45)
    half_width = draw.uniform(count, 2, low=2.4, high=5.0)
    height = draw.uniform(count, low=2.4, high=4.2)
    reach = torch.where(open_air[:, None], 80.0, half_width)
    room_low = torch.cat([-reach, torch.zeros(count, 1, device=draw.device)], 1)
    room_high = torch.cat([reach, torch.where(open_air, 80.0, height)[:, None]], 1)
    radius = half_width.amin(1) * draw.uniform(count, low=0.45, high=0.7)
    centers, rotations, half_sizes = place_shapes(draw, count, radius, half_width, height, open_air)
    colors = draw.uniform(count, MATERIALS, 3, 3) * draw.uniform(count, MATERIALS, 1, 1, low=0.5, high=1.0)
    gray = colors.mean(-1, keepdim=True)
    colors = gray + (colors - gray) * draw.uniform(count, MATERIALS, 1, 1, low=0.2, high=1.0)
    frequency = torch.exp(draw.uniform(count, MATERIALS, low=0.0, high=1.8))  # 1 to 6 periods a metre
    frequency[:, SHAPES:] *= 0.6
    light = torch.cat([draw.uniform(count, 2, low=-0.7, high=0.7) * half_width, 0.92 * height[:, None]], 1)
    sun = torch.cat([draw.uniform(count, 2, low=-60, high=60), draw.uniform(count, 1, low=25, high=80)], 1)
    horizon = draw.uniform(count, 1, 1, low=0.6, high=1.0) * draw.uniform(count, 1, 3, low=0.85, high=1.0)
    overhead = horizon * draw.uniform(count, 1, 3, low=0.4, high=0.9)
    return Scenes(
        centers=centers,
        rotations=rotations,
        half_sizes=half_sizes,
        room_low=room_low,
        room_high=room_high,
        open_air=open_air,
        content_radius=radius,
        pattern=draw.integer(count, MATERIALS, high=len(PATTERNS)),
        seeds=draw.integer(count, MATERIALS, high=1 << 20),
        frequency=frequency,
        colors=colors,
        light=torch.where(open_air[:, None], sun, light),
        ambient=draw.uniform(count, low=0.35, high=0.7),
        sky=torch.cat([horizon, overhead], 1),
    )


def place_shapes(
    draw: Draw, count: int, radius: Tensor, half_width: Tensor, height: Tensor, open_air: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Centers (S, SHAPES, 3), rotations (S, SHAPES, 3, 3), half sizes (S, SHAPES, 3)."""
    half = torch.exp(draw.uniform(count, SHAPES, 3, low=-1.9, high=-0.35)) * (radius / 1.8)[:, None, None]
    angle = draw.uniform(count, SHAPES, high=6.2832)
    distance = radius[:, None] * draw.uniform(count, SHAPES).sqrt()
    floating = draw.chance(count, SHAPES, share=0.2)
    lift = torch.where(floating, draw.uniform(count, SHAPES, low=0.3, high=1.5), 0.0)
    centers = torch.stack([distance * angle.cos(), distance * angle.sin(), half[..., 2] + lift], -1)
    up = torch.tensor([0.0, 0.0, 1.0], device=draw.device).expand(count, SHAPES, 3)
    rotations = axis_angle_rotation(up, draw.uniform(count, SHAPES, high=6.2832))
    tilted = draw.chance(count, SHAPES, share=0.25)[..., None, None]
    tilt = axis_angle_rotation(draw.normal(count, SHAPES, 3), draw.uniform(count, SHAPES, high=1.2))
    rotations = torch.where(tilted, rotations @ tilt, rotations)
    walls = slice(BOXES, BOXES + WALL_BOXES)
    centers[:, walls], half[:, walls] = place_wall_boxes(draw, count, half_width, height, open_air)
    rotations[:, walls] = torch.eye(3, device=draw.device)
    present = draw.chance(count, SHAPES, share=0.8)
    centers = torch.where(present[..., None], centers, torch.full_like(centers, FAR_AWAY_M))
    return centers, rotations, half


def place_wall_boxes(
    draw: Draw, count: int, half_width: Tensor, height: Tensor, open_air: Tensor
) -> tuple[Tensor, Tensor]:
    """Furniture and pictures along the walls of a room; buildings around open ground. One box a side."""
    side = torch.arange(WALL_BOXES, device=draw.device) % 4
    on_x = (side < 2)[None]  # (1, WALL_BOXES)
    sign = torch.where(side % 2 == 0, -1.0, 1.0)[None]
    depth = draw.uniform(count, WALL_BOXES, low=0.02, high=0.35)
    width = draw.uniform(count, WALL_BOXES, low=0.3, high=1.2)
    tall = draw.uniform(count, WALL_BOXES, low=0.25, high=0.45) * height[:, None]
    outside = open_air[:, None]
    depth = torch.where(outside, draw.uniform(count, WALL_BOXES, low=0.5, high=2.0), depth)
    width = torch.where(outside, draw.uniform(count, WALL_BOXES, low=1.0, high=3.5), width)
    tall = torch.where(outside, draw.uniform(count, WALL_BOXES, low=0.8, high=2.5), tall)
    reach = torch.where(on_x, half_width[:, :1], half_width[:, 1:])
    reach = torch.where(outside, reach * draw.uniform(count, WALL_BOXES, low=1.6, high=3.0), reach)
    across = torch.where(on_x, half_width[:, 1:], half_width[:, :1]) * draw.uniform(
        count, WALL_BOXES, low=-0.8, high=0.8
    )
    into = sign * (reach - depth * torch.where(outside, -1.0, 1.0))
    raised = torch.where(
        outside, 0.0, draw.uniform(count, WALL_BOXES, low=0.0, high=0.5) * (height[:, None] - 2 * tall)
    )
    centers = torch.stack([torch.where(on_x, into, across), torch.where(on_x, across, into), tall + raised], -1)
    half = torch.stack([torch.where(on_x, depth, width), torch.where(on_x, width, depth), tall], -1)
    return centers, half
