"""Camera paths through a batch of scenes: arcs around the content, straight and curved walks, photo collections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .scenes import FAR_AWAY_M, Draw, Scenes, axis_angle_rotation


@dataclass
class Cameras:
    """N cameras for each of S scenes; OpenCV axes (x right, y down, z forward) in the scene's z-up frame."""

    position: Tensor  # (S, N, 3) metres
    rotation: Tensor  # (S, N, 3, 3) camera to scene
    focal: Tensor  # (S, N) focal length over the longer image side

    def to(self, device: torch.device | str) -> Cameras:
        return Cameras(self.position.to(device), self.rotation.to(device), self.focal.to(device))

    @staticmethod
    def concatenate(parts: list[Cameras]) -> Cameras:
        return Cameras(*(torch.cat([getattr(p, name) for p in parts]) for name in ("position", "rotation", "focal")))


def sample_cameras(scenes: Scenes, frames: int, generator: torch.Generator) -> Cameras:
    """A path of `frames` cameras in every scene; removes shapes that a camera would stand in (changes `scenes`)."""
    draw = Draw(generator)
    count = scenes.count
    target = torch.cat(
        [
            draw.uniform(count, 2, low=-0.3, high=0.3) * scenes.content_radius[:, None],
            draw.uniform(count, 1, low=0.3, high=1.1),
        ],
        1,
    )
    time = path_time(draw, count, frames)
    arc = arc_positions(draw, scenes, time)
    walk = walk_positions(draw, scenes, time, target)
    collection = arc_positions(draw, scenes, draw.uniform(count, frames), radius_spread=0.35)
    kind = draw.integer(count, high=10)[:, None, None]  # 40 % arcs, 30 % walks, 30 % collections
    position = torch.where(kind < 4, arc, torch.where(kind < 7, walk, collection))
    position = keep_inside(position, scenes)
    remove_blocking_shapes(scenes, position)
    wander = draw.uniform(count, 1, 1, low=0.0, high=0.35) * scenes.content_radius[:, None, None]
    rotation = look_at(position, target[:, None] + wander * draw.normal(count, frames, 3))
    shake = axis_angle_rotation(draw.normal(count, frames, 3), 0.06 * draw.normal(count, frames))
    field_of_view = draw.uniform(count, 1, low=45.0, high=85.0).deg2rad()
    zoom = torch.where(draw.chance(count, 1, share=0.2), draw.uniform(count, frames, low=0.85, high=1.15), 1.0)
    focal = zoom * 0.5 / (0.5 * field_of_view).tan()
    return Cameras(position, rotation @ shake, focal.expand(count, frames).contiguous())


def path_time(draw: Draw, count: int, frames: int) -> Tensor:
    """(S, N) places along the path in [0, 1]: jittered steps, in path order for half of the scenes, else shuffled."""
    steps = (torch.arange(frames, device=draw.device) + draw.uniform(count, frames)) / frames
    shuffled = draw.uniform(count, frames).argsort(1)
    return torch.where(draw.chance(count, 1, share=0.5), steps, steps.gather(1, shuffled))


def arc_positions(draw: Draw, scenes: Scenes, time: Tensor, radius_spread: float = 0.08) -> Tensor:
    count, frames = time.shape
    room = scenes.room_high[:, :2].amin(1).clamp(max=5.0)
    radius = room * draw.uniform(count, low=0.6, high=0.92)
    span = draw.uniform(count, low=35.0, high=150.0)
    wide = draw.chance(count, share=0.25) & (frames >= 12)
    span = torch.where(wide, draw.uniform(count, low=150.0, high=340.0), span).deg2rad()
    angle = draw.uniform(count, 1, high=6.2832) + span[:, None] * time
    swing = radius[:, None] * (1.0 + radius_spread * draw.normal(count, frames))
    base = draw.uniform(count, 1, low=0.8, high=1.9)
    height = base + 0.25 * torch.sin(6.2832 * (time + draw.uniform(count, 1))) + 0.08 * draw.normal(count, frames)
    return torch.stack([swing * angle.cos(), swing * angle.sin(), height], -1)


def walk_positions(draw: Draw, scenes: Scenes, time: Tensor, target: Tensor) -> Tensor:
    count, frames = time.shape
    room = scenes.room_high[:, :2].amin(1).clamp(max=5.0)
    heading = draw.uniform(count, high=6.2832)
    away = torch.stack([heading.cos(), heading.sin()], -1)  # (S, 2) from the target to the path's middle
    side = torch.stack([-away[:, 1], away[:, 0]], -1)
    slant = draw.uniform(count, 1, low=-1.0, high=1.0)
    direction = torch.nn.functional.normalize(side + slant * away, dim=1)
    length = room[:, None] * draw.uniform(count, 1, low=0.5, high=1.2)
    middle = target[:, :2] + away * (room * draw.uniform(count, low=0.55, high=0.85))[:, None]
    sway = 0.15 * torch.sin(9.0 * time + draw.uniform(count, 1, high=6.2832))
    ground = middle[:, None] + direction[:, None] * (length * (time - 0.5))[..., None] + away[:, None] * sway[..., None]
    height = draw.uniform(count, 1, low=0.9, high=1.8) + 0.06 * draw.normal(count, frames)
    return torch.cat([ground, height[..., None]], -1)


def keep_inside(position: Tensor, scenes: Scenes, margin_m: float = 0.25) -> Tensor:
    low, high = scenes.room_low[:, None] + margin_m, scenes.room_high[:, None] - margin_m
    return torch.minimum(torch.maximum(position, low), high)


def remove_blocking_shapes(scenes: Scenes, position: Tensor, margin_m: float = 0.45) -> None:
    """Send shapes far away that a camera stands in or almost touches."""
    offset = position[:, :, None] - scenes.centers[:, None]  # (S, N, SHAPES, 3)
    local = torch.einsum("snkd,skde->snke", offset, scenes.rotations)
    outside = (local.abs() - scenes.half_sizes[:, None]).clamp(min=0.0).norm(dim=-1)
    blocked = (outside < margin_m).any(1)
    scenes.centers = torch.where(blocked[..., None], torch.full_like(scenes.centers, FAR_AWAY_M), scenes.centers)


def look_at(position: Tensor, target: Tensor) -> Tensor:
    """Camera-to-scene rotations (..., 3, 3) that look from position to target with the image upright."""
    forward = torch.nn.functional.normalize(target - position, dim=-1)
    up = torch.zeros_like(forward)
    up[..., 2] = 1.0
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    return torch.stack([right, down, forward], -1)
