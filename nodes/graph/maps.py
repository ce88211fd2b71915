"""Depth maps for other nodes and programs."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...scene.export import write_depth
from ...scene.preview import confidence_pictures, depth_maps, depth_pictures
from ...scene.reconstruction import Reconstruction
from .cameras import camera_matrices
from .host import Host, Result, filled, shown_place
from .packets import grey_image_of, image_of, scene_of

STYLES = {
    "near is white": "grey, as depth ControlNets expect",
    "far is white": "grey, turned round",
    "colours": "near is light, far is dark",
    "scene units": "the numbers themselves, for mathematics rather than for the eye",
}
SCALES = ("whole scene", "each view")
NO_FILES = "none"
FILE_FORMATS = {"png": "16 bits, scale in depth.json", "exr": "32-bit float, scene units", "npy": "NumPy, scene units"}


def run_depth_maps(host: Host, *, scene: dict, style: str, scale: str, files: dict[str, Any]) -> Result:
    """(depth, confidence, masks, geometry, folder): depth and confidence of every view; files if asked for."""
    found = scene_of(scene)
    usable = np.stack([found.usable(frame) for frame in range(len(found))])
    folder, ui = "", {}
    if files["files"] != NO_FILES:
        with filled(host.output_place(files["filename_prefix"])) as place:
            written = write_depth(found, place, files["files"])
        folder, ui = str(place), {"text": [f"{len(written)} depth maps in {shown_place(host, place)}"]}
        ui |= {"manyview_folder": [place.relative_to(host.output_folder).as_posix()], "manyview_path": [folder]}
    confidence = image_of(confidence_pictures(found)) if style == "colours" else grey_image_of(found.confidence)
    outputs = (depth_image(found, style, scale), confidence, torch.from_numpy(usable).float(), geometry(found), folder)
    return Result(outputs, ui)


def depth_image(scene: Reconstruction, style: str, scale: str) -> Tensor:
    """Depth of every view as an IMAGE."""
    if style not in STYLES or scale not in SCALES:
        raise ValueError(
            f"style and scale must be of {', '.join(STYLES)} and {', '.join(SCALES)}, got {style}, {scale}."
        )
    if style == "scene units":
        usable = np.stack([scene.usable(frame) for frame in range(len(scene))])
        return grey_image_of(np.where(usable, scene.depth, 0))
    parts = [scene] if scale == "whole scene" else [one_frame(scene, frame) for frame in range(len(scene))]
    if style == "colours":
        return image_of(np.concatenate([depth_pictures(part) for part in parts]))
    near = np.concatenate([depth_maps(part) for part in parts])
    return grey_image_of(near if style == "near is white" else 1 - near)


def one_frame(scene: Reconstruction, frame: int) -> Reconstruction:
    """A scene of one of the frames, for its depth alone."""
    one = slice(frame, frame + 1)
    arrays = ("images", "depth", "confidence", "world_to_camera", "intrinsics", "original_sizes", "scale_offset")
    parts = {name: getattr(scene, name)[one] for name in arrays}
    masks = None if scene.masks is None else scene.masks[one]
    return Reconstruction(**parts, names=scene.names[one], masks=masks, pixel_center=scene.pixel_center)


def geometry(scene: Reconstruction) -> dict[str, Any]:
    """DA3_GEOMETRY, as core's Depth Anything 3 nodes take it; confidence is 0 where a pixel is not to be used."""
    extrinsics, intrinsics = camera_matrices(scene)
    intrinsics[:, :2, 2] -= 0.5  # these nodes count pixels from the first one's centre
    usable = np.stack([scene.usable(frame) for frame in range(len(scene))])
    return {
        "mode": "multiview",
        "depth": torch.from_numpy(scene.depth),
        "confidence": torch.from_numpy(np.where(usable, scene.confidence, 0).astype(np.float32)),
        "image": image_of(scene.images),
        "extrinsics": extrinsics[None, :, :3],
        "intrinsics": intrinsics[None],
    }
