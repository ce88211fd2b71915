"""Training batches of photographed worlds, in the same form as those of the simpler scenes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from .batches import Batch, intrinsic_matrices, mean_distance
from .cameras import Cameras
from .library import Library
from .raycast import ground_height, render_worlds
from .scenes import Draw
from .world_paths import sample_paths
from .worlds import Worlds, sample_worlds


def draw_worlds(count: int, frames: int, library: Library, generator: torch.Generator) -> tuple[Worlds, Cameras]:
    """Worlds with everything standing on the ground and no camera inside a thing."""
    worlds = sample_worlds(count, library, generator)
    cameras = sample_paths(worlds, frames, generator)
    lift = ground_height(worlds, library, torch.cat([worlds.center[:, :-1, :2], cameras.position[..., :2]], 1))
    things = lift.shape[1] - frames
    worlds.center[:, :-1, 2] += lift[:, :things]
    raised = lift[:, things:]
    cameras.position[..., 2] += raised.amax(1, keepdim=True) * 0.7 + raised * 0.3  # smooth over hills
    cameras.position[..., 2] = torch.maximum(cameras.position[..., 2], raised + 0.05 * worlds.radius[:, None])
    remove_blocking(worlds, cameras.position, library)
    return worlds, cameras


def remove_blocking(worlds: Worlds, position: Tensor, library: Library) -> None:
    """Take away what a camera stands in or almost touches, terrain aside (changes `worlds`)."""
    offset = position[:, :, None] - worlds.center[:, None]  # (S, N, K, 3)
    local = torch.einsum("snkd,skde->snke", offset, worlds.rotation).abs()
    gap = (local - (library.extents[worlds.mesh] * worlds.half)[:, None]).clamp(min=0.0).norm(dim=-1)
    blocked = (gap < 0.1 * worlds.radius[:, None, None]).any(1)
    blocked[:, -1] = False
    worlds.present &= ~blocked


def make_world_batch(
    worlds: Worlds,
    cameras: Cameras,
    library: Library,
    size: tuple[int, int],
    generator: torch.Generator,
    samples: int = 2,
) -> Batch:
    """Render, photograph and normalise; see `Batch`."""
    count, frames = cameras.position.shape[:2]
    seed = int(torch.randint(1 << 30, (1,), generator=generator, device=generator.device))
    linear, depth, valid = render_worlds(worlds, library, cameras, size, samples, seed)
    images = photograph_worlds(linear, count, generator).unflatten(0, (count, frames))
    depth, valid = depth.unflatten(0, (count, frames)), valid.unflatten(0, (count, frames))
    intrinsics = intrinsic_matrices(cameras, size)
    rotation = cameras.rotation.mT
    translation = -(rotation @ cameras.position[..., None])
    first = torch.cat([cameras.rotation[:, :1], cameras.position[:, :1, :, None]], -1)
    relative = torch.cat([rotation @ first[..., :3], rotation @ first[..., 3:] + translation], -1)
    metres = mean_distance(depth, valid, relative, intrinsics)
    relative[..., 3] /= metres[:, None, None]
    return Batch(images, depth / metres[:, None, None, None], valid, relative, intrinsics, metres)


def photograph_worlds(linear: Tensor, scenes: int, generator: torch.Generator) -> Tensor:
    """Linear light (M, 3, H, W) to pictures: exposure, white balance, tone curve, vignetting, blur, noise, steps."""
    draw, device = Draw(generator), linear.device
    count, _, height, width = linear.shape
    frames = count // scenes

    def each_scene(value: Tensor) -> Tensor:
        return value.repeat_interleave(frames, 0).to(device)

    bright = linear.mean((1, 2, 3)).unflatten(0, (scenes, frames))
    auto = draw.uniform(scenes, 1, low=0.0, high=0.8).to(device)  # share of every frame's own metering
    level = bright.mean(1, keepdim=True) ** (1 - auto) * bright**auto
    aim = draw.uniform(scenes, 1, low=0.12, high=0.34).to(device)
    exposure = (aim / level.clamp(min=1e-3)).flatten() * torch.exp(0.08 * draw.normal(count)).to(device)
    balance = each_scene(torch.exp(0.1 * draw.normal(scenes, 3))) * torch.exp(0.025 * draw.normal(count, 3)).to(device)
    light = linear * (exposure[:, None] * balance)[..., None, None]
    x = torch.linspace(-1, 1, width, device=device) ** 2
    y = torch.linspace(-1, 1, height, device=device)[:, None] ** 2
    fall = each_scene(draw.uniform(scenes) ** 2 * 0.45)[:, None, None, None]
    light = light * (1 - fall * 0.5 * (x + y))
    shoulder = each_scene(draw.uniform(scenes, high=0.5))[:, None, None, None]
    light = light / (1 + shoulder * light) * (1 + 0.5 * shoulder)
    gamma = each_scene(draw.uniform(scenes, low=0.38, high=0.55))[:, None, None, None]
    picture = light.clamp(1e-4, 1.0).pow(gamma)
    gray = picture.mean(1, keepdim=True)
    color = each_scene(draw.uniform(scenes, low=0.6, high=1.35))[:, None, None, None]
    contrast = each_scene(draw.uniform(scenes, low=0.85, high=1.3))[:, None, None, None]
    picture = ((gray + color * (picture - gray)) - 0.45) * contrast + 0.45
    soft = torch.nn.functional.avg_pool2d(picture, 3, stride=1, padding=1, count_include_pad=False)
    blur = draw.uniform(count, 1, 1, 1, low=-0.7, high=0.8).to(device)  # below 0: sharpened, as cameras do
    picture = picture + blur.clamp(min=-0.4) * (soft - picture)
    streak = pad(picture, (1, 1, 0, 0), mode="replicate")
    moving = draw.chance(count, 1, 1, 1, share=0.08).to(device)
    picture = torch.where(moving, (streak[..., 2:] + streak[..., :-2] + picture) / 3, picture)
    noise = (draw.uniform(count, 1, 1, 1) ** 2 * 0.05).to(device)
    return (picture + noise * draw.normal(*picture.shape).to(device)).clamp(0.0, 1.0)
