"""Camera paths through worlds: around things near and far, along streets, on the spot, as loose collections."""

from __future__ import annotations

import torch
from torch import Tensor

from .cameras import Cameras, look_at, path_time
from .scenes import Draw, axis_angle_rotation
from .worlds import Worlds, by_kind


def sample_paths(worlds: Worlds, frames: int, generator: torch.Generator) -> Cameras:
    """Cameras for every world, not yet lifted onto the ground: arcs, walks, loose views, turning on the spot."""
    draw = Draw(generator)
    kind, radius = worlds.kind, worlds.radius
    count = len(kind)
    time = path_time(draw, count, frames)
    target = torch.cat(
        [
            draw.uniform(count, 2, low=-0.3, high=0.3) * radius[:, None],
            draw.uniform(count, 1, low=0.05, high=0.35) * radius[:, None],
        ],
        1,
    )
    orbit = orbit_positions(draw, worlds, time, target)
    walk = walk_positions(draw, worlds, time)
    loose = orbit_positions(draw, worlds, draw.uniform(count, frames), target, spread=0.4)
    spot = walk[:, :1] + 0.03 * radius[:, None, None] * draw.normal(count, frames, 3)
    share = torch.tensor([[0.3, 0.4, 0.2, 0.1], [0.65, 0.03, 0.3, 0.02], [0.2, 0.5, 0.2, 0.1], [0.45, 0.2, 0.3, 0.05]])
    which = torch.multinomial(share.to(draw.device)[kind], 1, generator=generator)[..., None]
    position = torch.where(which == 0, orbit, torch.where(which == 1, walk, torch.where(which == 2, loose, spot)))
    margin = 0.06 * radius[:, None, None]
    position = torch.minimum(
        torch.maximum(position, worlds.room_low[:, None] + margin), worlds.room_high[:, None] - margin
    )
    wander = draw.uniform(count, 1, 1, low=0.0, high=0.3) * radius[:, None, None]
    looked = target[:, None] + wander * draw.normal(count, frames, 3)
    ahead = walk_targets(draw, walk, time, radius)
    free = (which == 1) & draw.chance(count, 1, 1, share=0.7) | (which == 3)
    rotation = look_at(position, torch.where(free, ahead + position - walk, looked))
    roll = axis_angle_rotation(draw.normal(count, frames, 3), 0.05 * draw.normal(count, frames))
    low, high = by_kind((50.0, 25.0, 38.0, 35.0), kind), by_kind((125.0, 75.0, 110.0, 95.0), kind)
    view = (low * (high / low) ** draw.uniform(count))[:, None].deg2rad()
    zoom = torch.where(draw.chance(count, 1, share=0.2), draw.uniform(count, frames, low=0.8, high=1.25), 1.0)
    focal = zoom * 0.5 / (0.5 * view).tan()
    return Cameras(position.contiguous(), rotation @ roll, focal.expand(count, frames).contiguous())


def orbit_positions(draw: Draw, worlds: Worlds, time: Tensor, target: Tensor, spread: float = 0.07) -> Tensor:
    """Around the target: spans of 20 to 350 degrees, near and far, from the ground to steeply above."""
    count, frames = time.shape
    kind, radius = worlds.kind, worlds.radius
    near, far = by_kind((0.45, 1.0, 0.5, 0.7), kind), by_kind((1.1, 3.2, 1.5, 2.5), kind)
    distance = radius * (near + (far - near) * draw.uniform(count))
    span = draw.uniform(count, low=20.0, high=160.0)
    wide = draw.chance(count, share=0.25) & (frames >= 8)
    span = torch.where(wide, draw.uniform(count, low=160.0, high=350.0), span).deg2rad()[:, None]
    angle = draw.uniform(count, 1, high=6.2832) + span * time
    steep = by_kind((0.35, 1.1, 0.25, 0.8), kind) * draw.uniform(count) ** 1.3
    rise = (
        steep[:, None]
        + 0.08 * torch.sin(6.2832 * (time + draw.uniform(count, 1)))
        + 0.25 * spread * draw.normal(count, frames)
    )
    swing = distance[:, None] * (1.0 + spread * draw.normal(count, frames)).clamp(min=0.3)
    rise = rise.clamp(0.02, 1.3)
    offset = torch.stack([swing * rise.cos() * angle.cos(), swing * rise.cos() * angle.sin(), swing * rise.sin()], -1)
    eye = by_kind((0.35, 0.1, 0.15, 0.05), kind) * radius * draw.uniform(count)
    return target[:, None] + offset + torch.nn.functional.pad(eye[:, None, None], (2, 0))


def walk_positions(draw: Draw, worlds: Worlds, time: Tensor) -> Tensor:
    """A slightly bent way through the world, for streets along x; eye height about constant."""
    count, frames = time.shape
    radius = worlds.radius
    heading = torch.where(worlds.kind == 2, 0.15 * draw.normal(count), draw.uniform(count, high=6.2832))
    forward = torch.stack([heading.cos(), heading.sin()], -1)[:, None]
    side = torch.stack([-heading.sin(), heading.cos()], -1)[:, None]
    length = (radius * draw.uniform(count, low=0.15, high=1.6))[:, None, None]
    start = draw.uniform(count, 1, 2, low=-0.4, high=0.4) * radius[:, None, None]
    bend = (draw.uniform(count, low=-0.35, high=0.35))[:, None, None] * length
    t = time[..., None] - 0.5
    ground = start + forward * length * t + side * bend * (4 * t * t)
    height = radius[:, None] * draw.uniform(count, 1, low=0.1, high=0.45) + 0.01 * radius[:, None] * draw.normal(
        count, frames
    )
    height = torch.where((worlds.kind == 0)[:, None], draw.uniform(count, 1, low=0.8, high=1.8) + 0 * height, height)
    return torch.cat([ground, height[..., None]], -1)


def walk_targets(draw: Draw, walk: Tensor, time: Tensor, radius: Tensor) -> Tensor:
    """Where a walker looks: a direction that turns slowly, up to a whole turn on the way, and shakes a little."""
    count, frames = time.shape
    turn = draw.normal(count, 1) * 0.9
    angle = draw.uniform(count, 1, high=6.2832) + turn * 3.14 * (time - 0.5) + 0.08 * draw.normal(count, frames)
    pitch = 0.12 * draw.normal(count, 1) + 0.05 * draw.normal(count, frames)
    offset = torch.stack([angle.cos(), angle.sin(), pitch], -1)
    return walk + radius[:, None, None] * offset
