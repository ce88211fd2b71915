"""A synthetic scene as a folder of photos with its true cameras and depth, for trying things out and for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..models.progress import Progress
from .batches import draw_seeded_scenes
from .cameras import Cameras
from .renderer import Renderer, frame_tables, render

SUPERSAMPLE = 3  # rays a pixel and axis; odd, so that one ray goes through the pixel's middle
GAMMA = 1.8
MOST_FRAMES, MOST_PIXELS = 10_000, 2048


def write_sample(
    folder: Path,
    *,
    seed: int,
    frames: int,
    size: tuple[int, int],
    device: str = "cpu",
    renderer: Renderer = render,
    progress: Progress | None = None,
) -> None:
    """Write frame_00.jpg ..., cameras.json and depth.npz of one scene into a new folder.

    cameras.json: for each file world_to_camera (3, 4) in metres, OpenCV axes, and intrinsics (3, 3) in pixels whose
    origin is the corner of the image. depth.npz: `depth` (N, H, W) float16 metres along the camera's z, 0 for the sky.
    """
    if frames < 1 or min(size) < 14:
        raise ValueError(f"A sample needs at least 1 frame of 14 x 14 pixels, got {frames} of {size[1]} x {size[0]}.")
    if frames > MOST_FRAMES or max(size) > MOST_PIXELS:
        raise ValueError(
            f"A sample has at most {MOST_FRAMES:,} frames of {MOST_PIXELS:,} pixels a side, got {frames:,} of "
            f"{size[1]:,} x {size[0]:,}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; choose another folder.")
    scenes, cameras = draw_seeded_scenes([seed], frames, device)
    entries, depths = [], []
    for index in range(frames):
        if progress is not None:
            progress("render", index, frames)
        one = Cameras(*(getattr(cameras, name)[:, index : index + 1] for name in ("position", "rotation", "focal")))
        picture, depth = render_photo(frame_tables(scenes, one, scaled_size(size)), size, renderer)
        name = f"frame_{index:02d}.jpg"
        Image.fromarray(picture).save(folder / name, quality=92, subsampling=0)
        depths.append(depth)
        entries.append({"file": name} | true_camera(one, size))
    np.savez_compressed(folder / "depth.npz", depth=np.stack(depths).astype(np.float16))
    about = {"seed": seed, "width": size[1], "height": size[0], "pixel_origin": "corner", "frames": entries}
    (folder / "cameras.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def scaled_size(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE


def render_photo(tables, size: tuple[int, int], renderer: Renderer) -> tuple[np.ndarray, np.ndarray]:
    """A smooth 8-bit picture (H, W, 3), and the depth (H, W) at the middles of its pixels."""
    with torch.no_grad():
        light, depth, solid = renderer(tables, *scaled_size(size))
    light = torch.nn.functional.avg_pool2d(light, SUPERSAMPLE)[0].clamp(1e-4, 1.0).pow(1 / GAMMA)
    middle = SUPERSAMPLE // 2
    depth = torch.where(solid, depth, 0.0)[0, middle::SUPERSAMPLE, middle::SUPERSAMPLE]
    return (light.permute(1, 2, 0) * 255).round().byte().cpu().numpy(), depth.cpu().numpy()


def true_camera(camera: Cameras, size: tuple[int, int]) -> dict[str, list]:
    """world_to_camera and intrinsics of the only camera in `camera`, as nested lists."""
    rotation = camera.rotation[0, 0].double().T
    translation = -rotation @ camera.position[0, 0].double()
    pose = torch.cat([rotation, translation[:, None]], 1)
    focal = camera.focal.item() * max(size)
    # the renderer's rays pass through whole numbers of fine pixels, which the average over a pixel moves by half of one
    shift = 0.5 / SUPERSAMPLE
    height, width = size
    intrinsics = [[focal, 0.0, width / 2 + shift], [0.0, focal, height / 2 + shift], [0.0, 0.0, 1.0]]
    return {"world_to_camera": pose.tolist(), "intrinsics": intrinsics}
