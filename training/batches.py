"""Training and test batches: rendered images with cameras and depth in VGGT's normalised frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.geometry import unproject_depth
from .cameras import Cameras, sample_cameras
from .renderer import Renderer, frame_tables, render
from .scenes import Draw, Scenes, sample_scenes


@dataclass
class Batch:
    """S scenes of N frames. The first camera is the world; the mean distance of visible points from it is 1."""

    images: Tensor  # (S, N, 3, H, W) in [0, 1]
    depth: Tensor  # (S, N, H, W)
    valid: Tensor  # (S, N, H, W) bool: not sky
    world_to_camera: Tensor  # (S, N, 3, 4)
    intrinsics: Tensor  # (S, N, 3, 3) pixels
    metres: Tensor  # (S,) length of one unit


def draw_scenes(
    count: int, frames: int, generator: torch.Generator, device: torch.device | str
) -> tuple[Scenes, Cameras]:
    scenes = sample_scenes(count, generator)
    cameras = sample_cameras(scenes, frames, generator)
    return scenes.to(device), cameras.to(device)


def draw_seeded_scenes(seeds: list[int], frames: int, device: torch.device | str) -> tuple[Scenes, Cameras]:
    """One scene a seed, drawn on the CPU one by one: the same scene on every machine and in any batch."""
    parts = [draw_scenes(1, frames, torch.Generator().manual_seed(seed), "cpu") for seed in seeds]
    scenes = Scenes.concatenate([part[0] for part in parts])
    return scenes.to(device), Cameras.concatenate([part[1] for part in parts]).to(device)


def make_batch(
    scenes: Scenes,
    cameras: Cameras,
    size: tuple[int, int],
    generator: torch.Generator | None = None,
    renderer: Renderer = render,
) -> Batch:
    """Render, photograph (exposure, noise, blur from `generator`; None: a clean picture) and normalise."""
    count, frames = cameras.position.shape[:2]
    linear, depth, valid = renderer(frame_tables(scenes, cameras, size), *size)
    images = photograph(linear, count, generator).unflatten(0, (count, frames))
    depth, valid = depth.unflatten(0, (count, frames)), valid.unflatten(0, (count, frames))
    intrinsics = intrinsic_matrices(cameras, size)
    rotation = cameras.rotation.transpose(-1, -2)
    translation = -(rotation @ cameras.position[..., None])
    first = torch.cat([cameras.rotation[:, :1], cameras.position[:, :1, :, None]], -1)  # first camera to scene
    relative = torch.cat(
        [rotation @ first[..., :3], rotation @ first[..., 3:] + translation],
        -1,
    )  # first camera to camera
    metres = mean_distance(depth, valid, relative, intrinsics)
    relative[..., 3] /= metres[:, None, None]
    return Batch(images, depth / metres[:, None, None, None], valid, relative, intrinsics, metres)


def intrinsic_matrices(cameras: Cameras, size: tuple[int, int]) -> Tensor:
    """(S, N, 3, 3) in pixels of images of `size` (H, W), principal point (W/2, H/2)."""
    height, width = size
    matrix = torch.zeros(*cameras.focal.shape, 3, 3, device=cameras.focal.device)
    matrix[..., 0, 0] = matrix[..., 1, 1] = cameras.focal * max(size)
    matrix[..., 0, 2], matrix[..., 1, 2], matrix[..., 2, 2] = width / 2, height / 2, 1.0
    return matrix


def world_points(depth: Tensor, world_to_camera: Tensor, intrinsics: Tensor, stride: int = 1, start: int = 0) -> Tensor:
    """Points (..., H/stride, W/stride, 3) in the world frame of every stride-th pixel, from row and column `start`."""
    coarse = intrinsics.clone()
    coarse[..., :2, 2] -= start
    coarse[..., :2, :] /= stride
    return unproject_depth(depth[..., start::stride, start::stride], world_to_camera, coarse)


def mean_distance(depth: Tensor, valid: Tensor, world_to_camera: Tensor, intrinsics: Tensor) -> Tensor:
    """(S,) mean distance of visible points from the world's origin."""
    points = world_points(depth, world_to_camera, intrinsics, stride=4)
    weight = valid[..., ::4, ::4].float()
    total = (points.norm(dim=-1) * weight).sum((1, 2, 3))
    return (total / weight.sum((1, 2, 3)).clamp(min=1.0)).clamp(min=1e-3)


def photograph(linear: Tensor, scenes: int, generator: torch.Generator | None) -> Tensor:
    """Turn linear light (M, 3, H, W) into pictures: gamma, and with a generator exposure, tint, blur and noise."""
    if generator is None:
        return linear.clamp(min=1e-4).pow(1 / 1.8)
    draw, device = Draw(generator), linear.device
    count = linear.shape[0]
    exposure = torch.exp(0.18 * draw.normal(count, 1, 1, 1)).to(device)
    tint = torch.exp(0.05 * draw.normal(count, 3, 1, 1)).to(device)
    gamma = draw.uniform(scenes, low=0.45, high=0.75).repeat_interleave(count // scenes)[:, None, None, None].to(device)
    picture = (linear * exposure * tint).clamp(1e-4, 1.0).pow(gamma)
    blur = (draw.uniform(count, 1, 1, 1, low=-0.6, high=0.8)).clamp(min=0.0).to(device)
    soft = torch.nn.functional.avg_pool2d(picture, 3, stride=1, padding=1, count_include_pad=False)
    picture = picture + blur * (soft - picture)
    noise = draw.uniform(count, 1, 1, 1, low=0.0, high=0.03).to(device)
    return (picture + noise * draw.normal(*picture.shape).to(device)).clamp(0.0, 1.0)
