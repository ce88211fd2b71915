"""Cameras of a COLMAP model, text or binary, without COLMAP."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

# number in binary files -> name and count of parameters; the first one or two are focal lengths
MODELS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
}
PERSPECTIVE = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
Views = dict[str, tuple[np.ndarray, float]]  # image name -> world_to_camera (3, 4), focal length over the width


def has_model(folder: Path) -> bool:
    """True if cameras and images of a model lie in the folder."""
    return any(all((folder / f"{part}{end}").is_file() for part in ("cameras", "images")) for end in (".bin", ".txt"))


def read_views(folder: Path) -> Views:
    """Every registered image's pose and focal length (NaN for fisheye cameras, which have no such number)."""
    if (folder / "cameras.bin").is_file() and (folder / "images.bin").is_file():
        cameras = binary_cameras(folder / "cameras.bin")
        images = binary_images(folder / "images.bin")
    else:
        cameras = text_cameras(folder / "cameras.txt")
        images = text_images(folder / "images.txt")
    unknown = next((name for name, (_, camera) in images.items() if camera not in cameras), None)
    if unknown is not None:
        raise ValueError(f"{folder}: {unknown} has camera {images[unknown][1]}, which the model does not list.")
    return {name: (pose, cameras[camera]) for name, (pose, camera) in images.items()}


def focal_share(model: str, width: int, first: float) -> float:
    """Focal length over the image's width."""
    if width < 1 or not first > 0:
        raise ValueError(f"A {model} camera has width {width} and focal length {first}; both must be above 0.")
    return first / width if model in PERSPECTIVE else float("nan")


def pose_matrix(numbers: tuple[float, ...]) -> np.ndarray:
    """world_to_camera (3, 4) of QW QX QY QZ TX TY TZ."""
    from scipy.spatial.transform import Rotation

    w, x, y, z, *shift = numbers
    return np.concatenate([Rotation.from_quat([x, y, z, w]).as_matrix(), np.array(shift)[:, None]], 1)


def text_lines(path: Path) -> list[str]:
    """Lines without comments; empty ones stay, because an image without points has one."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def text_cameras(path: Path) -> dict[int, float]:
    """Focal length over width, by camera."""
    cameras = {}
    for line in text_lines(path):
        words = line.split()
        if not words:
            continue
        try:
            number, model, width, first = int(words[0]), words[1], int(words[2]), float(words[4])
        except (ValueError, IndexError) as error:
            reason = f"{path}: {line[:60]!r} is no camera; COLMAP writes ID MODEL WIDTH HEIGHT and numbers."
            raise ValueError(reason) from error
        cameras[number] = focal_share(model, width, first)
    return cameras


def text_images(path: Path) -> dict[str, tuple[np.ndarray, int]]:
    """Pose and camera by image name; of the two lines of an image the second, with its points, is skipped."""
    lines = text_lines(path)
    while lines and not lines[0].strip():
        lines.pop(0)
    images = {}
    for line in lines[::2]:
        words = line.split(maxsplit=9)
        if not words:
            continue
        try:
            numbers, camera, name = tuple(float(word) for word in words[1:8]), int(words[8]), words[9].strip()
            images[name] = pose_matrix(numbers), camera
        except (ValueError, IndexError) as error:
            reason = f"{path}: {line[:60]!r} is no image; COLMAP writes ID QW QX QY QZ TX TY TZ CAMERA NAME."
            raise ValueError(reason) from error
    return images


class Reader:
    """Little-endian numbers out of a file's bytes."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def take(self, form: str) -> tuple:
        size = struct.calcsize("<" + form)
        if self.at + size > len(self.data):
            raise ValueError(f"{self.path} ends too early; it is no complete COLMAP file.")
        self.at += size
        return struct.unpack_from("<" + form, self.data, self.at - size)

    def name(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise ValueError(f"{self.path} ends too early; it is no complete COLMAP file.")
        text = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return text


def binary_cameras(path: Path) -> dict[int, float]:
    reader = Reader(path)
    cameras = {}
    for _ in range(reader.take("Q")[0]):
        number, kind, width, _ = reader.take("IiQQ")
        if kind not in MODELS:
            raise ValueError(f"{path} has a camera of the unknown kind {kind}.")
        model, count = MODELS[kind]
        cameras[number] = focal_share(model, width, reader.take(f"{count}d")[0])
    return cameras


def binary_images(path: Path) -> dict[str, tuple[np.ndarray, int]]:
    reader = Reader(path)
    images = {}
    for _ in range(reader.take("Q")[0]):
        _, *numbers, camera = reader.take("I7dI")
        name = reader.name()
        images[name] = pose_matrix(tuple(numbers)), camera
        (keypoints,) = reader.take("Q")
        reader.at += 24 * keypoints  # x, y and point of each
    return images
