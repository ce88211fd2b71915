"""Pose accuracy of a VGGT on a folder of photo scenes, for following a training run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..models.geometry import decode_pose
from ..models.vggt import VGGT
from .datasets.folder import SIZE, VIEWS, Folder
from .scene import Prediction
from .scoring import score


@torch.no_grad()
def evaluate_folder(model: VGGT, root: Path, views: int = VIEWS, size: int = SIZE) -> dict[str, float]:
    """AUC@30 in percent of every scene by name, and "mean" and "focal_error" over them; see `datasets/folder.py`."""
    benchmark = Folder(root, views, size)
    device = next(model.parameters()).device
    found, focal = {}, []
    for name in benchmark.scenes():
        scene = benchmark.load(name)
        output = model(scene.images[None].to(device), outputs=("camera",))
        poses, intrinsics = decode_pose(output.pose_passes[-1, 0].double().cpu(), scene.images.shape[-2:])
        numbers = score(scene, Prediction(poses.numpy(), intrinsics.numpy()), benchmark.rules).numbers
        found[name] = round(numbers["auc_30"], 2)
        focal.append(numbers.get("focal_error", float("nan")))
    return found | {
        "mean": round(float(np.mean(list(found.values()))), 2),
        "focal_error": round(np.nanmedian(focal), 2),
    }
