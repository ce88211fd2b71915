"""What the file-based data sets share: shipped frame lists, pictures at a protocol's size, depth to match."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

from ...scene.pixels import to_pixels
from ..sampling import floor_to_multiple, size_at_width
from ..scene import Truth, unproject

FRAMES = Path(__file__).parent / "frames"
FORMATS = ("JPEG", "PNG")  # of the data sets' pictures
POSE_WIDTH, POINT_WIDTH = 512, 518


def frame_list(name: str) -> dict[str, Any]:
    """A shipped list, such as "7scenes"."""
    return json.loads((FRAMES / f"{name}.json").read_text(encoding="utf-8"))


def read_picture(path: Path, size: tuple[int, int] | None = None, method: str = "lanczos") -> np.ndarray:
    """RGB (H, W, 3) uint8, brought to `size` (width, height); FileNotFoundError if it is not there."""
    from PIL import Image

    with Image.open(path, formats=FORMATS) as opened:
        picture = opened.convert("RGB")
    if size is not None and picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS if method == "lanczos" else Image.Resampling.BICUBIC)
    return np.asarray(picture)


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) without reading the pixels."""
    from PIL import Image

    with Image.open(path, formats=FORMATS) as opened:
        return opened.size


def to_images(pictures: Sequence[np.ndarray]) -> Tensor:
    """8-bit pictures (H, W, 3) of one size -> (N, 3, H, W) float32 in [0, 1]."""
    return to_pixels(np.stack(pictures))


def pose_images(paths: Sequence[Path], width: int = POSE_WIDTH) -> Tensor:
    """Pi3's rule for pose benchmarks: all at `width` and the first picture's height, then down to multiples of 14.

    The first step is Lanczos, the second bilinear with antialiasing: 640 x 480 becomes 512 x 378, then 504 x 378.
    """
    size = size_at_width(picture_size(paths[0]), width)
    images = to_images([read_picture(path, size) for path in paths])
    final = floor_to_multiple(size)
    if final == size:
        return images
    return interpolate(images, final[::-1], mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


def vggt_images(paths: Sequence[Path], width: int = POINT_WIDTH) -> Tensor:
    """VGGT's rule: `width` by bicubic, heights above it cropped to their middle."""
    size = size_at_width(picture_size(paths[0]), width)
    images = to_images([read_picture(path, size, "bicubic") for path in paths])
    spare = max(0, size[1] - width)
    return images[:, :, spare // 2 : spare // 2 + min(size[1], width)]


def nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) at `size` (width, height) by OpenCV's nearest rule: row floor(i H / H'), column floor(j W / W')."""
    height, width = array.shape
    rows = np.minimum(np.arange(size[1]) * height // size[1], height - 1)
    columns = np.minimum(np.arange(size[0]) * width // size[0], width - 1)
    return array[rows][:, columns]


def point_view(
    picture: np.ndarray, depth: np.ndarray, intrinsics: np.ndarray, width: int = POINT_WIDTH
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, depth and intrinsics of one view at `width`, as in Pi3's point-map benchmarks.

    The intrinsics get one factor, the larger of both, although the resize is slightly anisotropic: a bias of the truth
    (at 640 x 480, 0.9 % of the focal length) that all published numbers have in common, so it is kept.
    """
    from PIL import Image

    source = picture.shape[1], picture.shape[0]
    size = size_at_width(source, width)
    method = Image.Resampling.LANCZOS if max(size) < max(source) else Image.Resampling.BICUBIC
    small = np.asarray(Image.fromarray(picture).resize(size, method))
    scale = max(size[0] / source[0], size[1] / source[1])
    scaled = intrinsics.astype(np.float64).copy()
    scaled[:2, 2] += 0.5
    scaled[:2] *= scale
    scaled[:2, 2] -= 0.5
    return small, nearest(depth, size), scaled


def point_scene(
    views: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], world_to_camera: np.ndarray
) -> tuple[Tensor, Truth]:
    """Images and truth of views (picture, depth, intrinsics) of one size; depth counts above 1e-4."""
    depth = np.stack([np.where(np.isfinite(view[1]), view[1], -1.0) for view in views]).astype(np.float64)
    intrinsics = np.stack([view[2] for view in views])
    points = unproject(depth, world_to_camera, intrinsics)
    truth = Truth(world_to_camera=world_to_camera, points=points, depth=depth, valid=depth > 1e-4)
    return to_images([view[0] for view in views]), truth


def read_matrix(path: Path, shape: tuple[int, int] = (4, 4)) -> np.ndarray:
    """Numbers of a text file as a matrix; ValueError if there are not enough."""
    numbers = np.array(path.read_text(encoding="utf-8").split(), np.float64)
    if numbers.size != shape[0] * shape[1]:
        raise ValueError(f"{path} must hold {shape[0] * shape[1]} numbers, it has {numbers.size}.")
    return numbers.reshape(shape)


def first_absent(paths: Sequence[Path]) -> Path | None:
    """The first of the files that is not there."""
    return next((path for path in paths if not path.exists()), None)


def absent_line(scene: str, path: Path | None) -> list[str]:
    """The line of `missing` for a scene, or none."""
    return [] if path is None else [f"{scene}: {path} is not there."]
