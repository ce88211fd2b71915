"""Pictures of the frames of a scene, for the page: the image, its depth, its confidence, the difference to another."""

from pathlib import Path

import numpy as np
from PIL import Image

from ..nodes.compare import compare, difference_pictures
from ..scene.preview import confidence_pictures, depth_pictures
from ..scene.reconstruction import Reconstruction

QUALITY = 88
KINDS = ("image", "depth", "confidence")


def write_pictures(scene: Reconstruction, folder: Path) -> None:
    """image_0.jpg, depth_0.jpg, confidence_0.jpg ...; depth has one scale for the scene, near is light."""
    for kind, pictures in zip(KINDS, (scene.images, depth_pictures(scene), confidence_pictures(scene)), strict=True):
        _write(pictures, folder, kind)


def write_differences(scene: Reconstruction, reference: Reconstruction, folder: Path) -> None:
    """difference_0.jpg ..., and other_0.jpg with the depth of the reference."""
    _write(difference_pictures(compare(scene, reference)), folder, "difference")
    _write(depth_pictures(reference), folder, "other")


def _write(pictures: np.ndarray, folder: Path, kind: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for frame, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{kind}_{frame}.jpg", quality=QUALITY)
