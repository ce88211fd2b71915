"""Ray casting of textured triangle meshes with NVIDIA Warp, on a GPU or (slowly) a CPU: pictures and exact depth.

Pixel (column u, row v) has the ray ((u - W/2) / f, (v - H/2) / f, 1) in OpenCV camera axes, as in `renderer.py`.
"""

from __future__ import annotations

import torch
import warp as wp
from torch import Tensor

from .cameras import Cameras
from .library import Library
from .ray_kernels import World, drop_kernel, render_kernel
from .worlds import Worlds


def device_name(tensor: Tensor) -> str:
    return str(tensor.device) if tensor.is_cuda else "cpu"


def world_struct(worlds: Worlds, library: Library) -> World:
    """The arrays of `worlds` as Warp sees them; they share memory, so keep both alive while it is used."""
    w = World()

    def put(name: str, value: Tensor, dtype: type) -> None:
        setattr(w, name, wp.from_torch(value.contiguous(), dtype=dtype))

    to_local = worlds.rotation.mT / worlds.half[..., None]
    extents = library.extents[worlds.mesh] * worlds.half
    radius = torch.where(worlds.present, extents.norm(dim=-1) * 1.001, -1.0)
    put("center", worlds.center.flatten(0, 1), wp.vec3)
    put("radius", radius.flatten(), wp.float32)
    put("to_local", to_local.flatten(0, 1), wp.mat33)
    put("half", worlds.half.flatten(0, 1), wp.vec3)
    ids = library.mesh_ids[worlds.mesh].flatten().contiguous()
    w.mesh = wp.from_torch(ids, dtype=wp.uint64)
    put("face_start", library.face_start[worlds.mesh].flatten(), wp.int32)
    put("face_slots", library.face_slots, wp.int32)
    put("picture", worlds.picture.flatten(), wp.int32)
    put("tint", worlds.tint.flatten(0, 2), wp.vec3)
    put("density", worlds.density.flatten(), wp.float32)
    put("gloss", worlds.gloss.flatten(), wp.float32)
    put("room_low", worlds.room_low, wp.vec3)
    put("room_high", worlds.room_high, wp.vec3)
    put("open_air", worlds.open_air.int(), wp.int32)
    put("horizon", worlds.horizon, wp.float32)
    put("wall_picture", worlds.wall_picture.flatten(), wp.int32)
    put("wall_tint", worlds.wall_tint.flatten(0, 1), wp.vec3)
    put("wall_density", worlds.wall_density.flatten(), wp.float32)
    put("light", worlds.light.flatten(0, 1), wp.vec3)
    put("light_color", worlds.light_color.flatten(0, 1), wp.vec3)
    put("softness", worlds.softness, wp.float32)
    put("ambient", worlds.ambient, wp.vec3)
    put("sky_picture", worlds.sky_picture, wp.int32)
    put("sky_tint", worlds.sky_tint.flatten(0, 1), wp.vec3)
    put("haze", worlds.haze, wp.float32)
    return w


def launch(kernel: wp.Kernel, dim: tuple[int, ...] | int, inputs: list, device: str) -> None:
    if device == "cpu":
        wp.launch(kernel, dim=dim, inputs=inputs, device="cpu")
        return
    with wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(torch.device(device)))):
        wp.launch(kernel, dim=dim, inputs=inputs, device=device)


def ground_height(worlds: Worlds, library: Library, points: Tensor) -> Tensor:
    """Height (S, P) of the terrain below points (S, P, 2 or 3); 0 where a world has none or outside it."""
    flat = torch.nn.functional.pad(points[..., :2], (0, 1)).flatten(0, 1).contiguous()
    ground = torch.empty(len(flat), device=flat.device)
    w = world_struct(worlds, library)
    inputs = [w, wp.from_torch(flat, dtype=wp.vec3), points.shape[1], wp.from_torch(ground)]
    launch(drop_kernel, len(flat), inputs, device_name(flat))
    return ground.unflatten(0, points.shape[:2])


def render_worlds(
    worlds: Worlds, library: Library, cameras: Cameras, size: tuple[int, int], samples: int = 2, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Linear-light images (M, 3, H, W), depth (M, H, W) along the camera's z, valid (M, H, W): not sky."""
    count, frames = cameras.position.shape[:2]
    device = cameras.position.device
    image = torch.empty(count * frames, 3, *size, device=device)
    depth = torch.empty(count * frames, *size, device=device)
    w = world_struct(worlds, library)
    focal = (cameras.focal.flatten() * max(size)).contiguous()
    inputs = [
        w,
        wp.from_torch(library.atlas),
        wp.from_torch(cameras.position.flatten(0, 1).contiguous(), dtype=wp.vec3),
        wp.from_torch(cameras.rotation.flatten(0, 1).contiguous(), dtype=wp.mat33),
        wp.from_torch(focal),
        frames,
        samples,
        seed,
        wp.from_torch(image),
        wp.from_torch(depth),
    ]
    launch(render_kernel, tuple(depth.shape), inputs, device_name(depth))
    valid = depth < 1e8
    return image, torch.where(valid, depth, 1.0), valid
