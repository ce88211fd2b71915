"""The benchmark that needs no download: rendered scenes with fixed seeds that training never draws."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch

from ..models.geometry import decode_pose
from ..models.progress import Progress
from ..models.vggt import VGGT
from ..training.batches import draw_seeded_scenes, make_batch
from ..training.renderer import render
from .metrics import auc, depth_errors, pair_errors

FIRST_SEED = 1_000_000  # training seeds stay below


@torch.no_grad()
def evaluate_synthetic(
    model: VGGT,
    *,
    scenes: int = 64,
    frames: int = 8,
    size: tuple[int, int] = (224, 224),
    first_seed: int = FIRST_SEED,
    bf16: bool = False,
    renderer=render,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Mean accuracy of a VGGT on `scenes` scenes of `frames` frames, one scene a pass.

    Pair errors are pooled over all scenes. Pictures have exposure changes, noise and blur, as in training.
    """
    device = next(model.parameters()).device
    rotation, translation, depths = [], [], []
    for index in range(scenes):
        if progress is not None:
            progress("evaluate", index, scenes)
        drawn = draw_seeded_scenes([first_seed + index], frames, device)
        photographer = torch.Generator().manual_seed(first_seed + index)
        batch = make_batch(*drawn, size, photographer, renderer)
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            output = model(batch.images, outputs=("camera", "depth"))
        poses, _ = decode_pose(output.pose_passes[-1, 0].double().cpu(), size)
        pairs = pair_errors(poses.numpy(), batch.world_to_camera[0].double().cpu().numpy())
        rotation.append(pairs[0])
        translation.append(pairs[1])
        maps = output.depth[0].float(), batch.depth[0], batch.valid[0]
        depths.append(depth_errors(*(m.cpu().numpy() for m in maps)))
    return summary(np.concatenate(rotation), np.concatenate(translation), depths)


def summary(rotation: np.ndarray, translation: np.ndarray, depths: list[dict[str, float]]) -> dict[str, float]:
    """Percent where a share is meant, degrees for angles."""
    worst = np.maximum(rotation, translation)
    result = {f"auc_{threshold}": 100 * auc(worst, threshold) for threshold in (3, 5, 15, 30)}
    result |= {
        "rotation_median_deg": float(np.median(rotation)),
        "translation_median_deg": float(np.median(translation)),
    }
    result |= {name: 100 * float(np.nanmean([d[name] for d in depths])) for name in depths[0]}
    return result
