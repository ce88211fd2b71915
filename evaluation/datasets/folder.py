"""Any folder of photos with cameras: a COLMAP model, or the transforms.json of nerfstudio and instant-ngp."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..sampling import evenly_spaced
from ..scene import Card, EvaluationScene, ScoringRules, Truth
from ..trajectory import inverse
from .colmap import Views, has_model, read_views
from .files import picture_size, read_picture, to_images

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", "dense/sparse", "0", ".")
IMAGE_FOLDERS = ("images", ".", "../images", "../../images", "dense/images")
TRANSFORMS = ("transforms.json", "transforms_train.json")
VIEWS, SIZE, MULTIPLE = 24, 224, 14
CARD = Card(
    name="folder",
    title="Photos with cameras",
    source="yours: ROOT, or every folder in ROOT, holds images/ and a COLMAP model (sparse/0, text or binary) or a "
    "transforms.json as nerfstudio and instant-ngp write it",
    licence="as you have the photos",
    frames=f"evenly spaced over the images that have a camera, in the order of names; --frames (default {VIEWS})",
)


class Folder:
    """Up to `views` photos of every scene, the longer side `size` pixels, cropped to multiples of 14."""

    card = CARD
    name = "folder"
    rules = ScoringRules(("pairs", "focal"), pooling="scenes", thresholds=(3, 5, 15, 30))

    def __init__(self, root: Path, views: int = VIEWS, size: int = SIZE) -> None:
        if views < 2 or size < MULTIPLE:
            raise ValueError(f"It takes at least 2 views of at least {MULTIPLE} pixels, got {views} of {size}.")
        self.root, self.views, self.size = root, views, size

    def scenes(self) -> Sequence[str]:
        """Names of the folders with cameras in ROOT, in order; ROOT's own name if it is the scene itself."""
        if has_cameras(self.root) or not self.root.is_dir():
            return [self.root.name]
        below = sorted(folder.name for folder in self.root.iterdir() if folder.is_dir() and has_cameras(folder))
        return below or [self.root.name]

    def missing(self) -> list[str]:
        """A line if there are no cameras at all."""
        if any(has_cameras(self.folder(name)) for name in self.scenes()):
            return []
        return [f"{self.root} and the folders in it have neither a COLMAP model nor a {TRANSFORMS[0]}."]

    def folder(self, scene: str) -> Path:
        below = self.root / scene
        return self.root if has_cameras(self.root) or not below.is_dir() else below

    def load(self, scene: str) -> EvaluationScene:
        """The chosen photos at one size, their poses and focal lengths in pixels of that size."""
        folder = self.folder(scene)
        views, files = find_views(folder)
        names = sorted(views)
        if len(names) < 2:
            raise ValueError(f"{folder} has {len(names)} images with a camera; it takes at least 2.")
        chosen = [names[i] for i in evenly_spaced(len(names), self.views)]
        absent = next((name for name in chosen if not files[name].is_file()), None)
        if absent is not None:
            raise FileNotFoundError(f"{files[absent]} is not there, but has a camera in {folder}.")
        sizes = [picture_size(files[name]) for name in chosen]
        target = fitted_size(Counter(sizes).most_common(1)[0][0], self.size)
        pictures = [covered(files[name], target) for name in chosen]
        scales = [max(target[0] / width, target[1] / height) for width, height in sizes]
        focal = [views[name][1] * size[0] * scale for name, size, scale in zip(chosen, sizes, scales, strict=True)]
        truth = Truth(np.stack([views[name][0] for name in chosen]), focal=np.array(focal))
        return EvaluationScene(scene, to_images(pictures), tuple(chosen), truth)


def has_cameras(folder: Path) -> bool:
    """True if the folder has a COLMAP model or a transforms file."""
    return any((folder / name).is_file() for name in TRANSFORMS) or any(has_model(folder / at) for at in MODEL_FOLDERS)


def find_views(folder: Path) -> tuple[Views, dict[str, Path]]:
    """Cameras by image name, and where every image should lie. A COLMAP model goes first where there are both."""
    model = next((folder / at for at in MODEL_FOLDERS if has_model(folder / at)), None)
    if model is not None:
        views = read_views(model)
        places = [folder / at for at in IMAGE_FOLDERS]
        return views, {name: first_file(name, places) for name in views}
    transforms = next((folder / name for name in TRANSFORMS if (folder / name).is_file()), None)
    if transforms is None:
        raise FileNotFoundError(f"{folder} has neither a COLMAP model nor a {TRANSFORMS[0]}.")
    views = read_transforms(transforms)
    return views, {name: with_ending(folder / name) for name in views}


def first_file(name: str, places: list[Path]) -> Path:
    """The image in the first folder that has it, else where it should be."""
    return next((place / name for place in places if (place / name).is_file()), places[0] / name)


def with_ending(path: Path) -> Path:
    """The path, or the one with an image's ending where the file lists names without."""
    endings = (".png", ".jpg", ".jpeg", ".JPG", ".PNG")
    return next((p for p in (path, *(Path(f"{path}{end}") for end in endings)) if p.is_file()), path)


def read_transforms(path: Path) -> Views:
    """Cameras of a transforms.json: camera_to_world with OpenGL axes; focal lengths of the file or of each frame."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        views = {}
        for frame in about["frames"]:
            pose = np.array(frame["transform_matrix"], np.float64)
            if pose.shape not in ((4, 4), (3, 4)) or not np.isfinite(pose).all():
                raise ValueError(f"the matrix of {frame['file_path']} is not 4 x 4 finite numbers")
            whole = np.eye(4)
            whole[:3] = pose[:3] * [1, -1, -1, 1]
            whole[:3, :3] /= np.cbrt(np.linalg.det(whole[:3, :3]))
            views[frame["file_path"]] = inverse(whole[None])[0, :3], frame_focal({**about, **frame})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is no transforms file of nerfstudio or instant-ngp: {reason}.") from error
    return views


def frame_focal(entry: dict) -> float:
    """Focal length over the width: fl_x and w, or camera_angle_x; NaN for fisheye cameras."""
    if "FISHEYE" in str(entry.get("camera_model", "")).upper() or entry.get("is_fisheye"):
        return float("nan")
    if "fl_x" in entry and "w" in entry:
        return float(entry["fl_x"]) / float(entry["w"])
    return 0.5 / math.tan(0.5 * float(entry["camera_angle_x"]))


def fitted_size(source: tuple[int, int], size: int) -> tuple[int, int]:
    """(width, height) nearest to the source's shape with the longer side `size`, both multiples of 14."""
    scale = size / max(source)
    return tuple(max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in source)


def covered(path: Path, target: tuple[int, int]) -> np.ndarray:
    """The picture scaled to cover `target` (width, height), what stands out cut off evenly; pixels stay square."""
    from PIL import Image

    width, height = picture_size(path)
    scale = max(target[0] / width, target[1] / height)
    half = target[0] / scale / 2, target[1] / scale / 2
    box = (width / 2 - half[0], height / 2 - half[1], width / 2 + half[0], height / 2 + half[1])
    box = tuple(min(max(edge, 0.0), limit) for edge, limit in zip(box, (width, height) * 2, strict=True))
    picture = Image.fromarray(read_picture(path))
    return np.asarray(picture.resize(target, Image.Resampling.LANCZOS, box=box))
