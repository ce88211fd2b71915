"""COLMAP project: folder/sparse/0 with cameras, images and points3D (binary, text or both), folder/images beside it.

Trainers of Gaussian splatting open such a folder as it is. Axes are OpenCV's, poses world to camera, cameras PINHOLE at
the original images' resolution, pixel coordinates measured from the image's corner (the first pixel's centre is 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ...models.geometry import rotation_to_quaternion
from ...models.progress import Progress
from ..pointcloud import PointCloud
from ..reconstruction import Reconstruction
from ..soundness import sound_with_cloud
from .atomic import PathLike, new_folder
from .colmap_images import FileImages, place_images
from .observations import Observations, observe

PINHOLE = 1
CAMERA_ROW = np.dtype([("id", "<u4"), ("model", "<i4"), ("size", "<u8", 2), ("focal_center", "<f8", 4)])
POINT2D_ROW = np.dtype([("xy", "<f8", 2), ("point", "<i8")])
POINT_ROW = np.dtype(
    [("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("length", "<u8")]  # 51 bytes, packed
)
TRACK_ROW = np.dtype([("image", "<i4"), ("point2d", "<i4")])
CHUNK = 100_000  # points turned into bytes or text at a time


def write_colmap(
    reconstruction: Reconstruction,
    cloud: PointCloud,
    folder: PathLike,
    *,
    binary: bool = True,
    text: bool = False,
    copy_images: bool = True,
    pictures: Sequence[np.ndarray] | None = None,
    track_length: int = 8,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Writes cameras, poses, coloured points and in which images they are seen; returns notes for the user.

    copy_images: puts the original files next to it, turned upright where EXIF says so, and frames of videos and
        animations. Where there is no original the model's image is written with a camera of its resolution; a note
        says so.
    pictures: the original images (H, W, 3) uint8 where there are no files, one for each that the network got.
    text: also cameras.txt, images.txt and points3D.txt; this format has no spaces in names, so they become underscores.
    track_length: most images listed for one point: its own pixel, then others whose depth agrees; 0 lists none.
    """
    if not (binary or text):
        raise ValueError("A COLMAP project needs binary=True or text=True, got neither; choose at least one.")
    if track_length < 0:
        raise ValueError(f"The track length must be 0 or more, got {track_length}.")
    reconstruction, cloud = sound_with_cloud(reconstruction, cloud)
    with new_folder(folder, overwrite) as partial:
        images = place_images(reconstruction, partial / "images" if copy_images else None, text, pictures, progress)
        sizes, camera_ids, cameras = _cameras(images)
        seen = observe(reconstruction, cloud, images.scale_offset, images.sizes, track_length, progress)
        sparse = partial / "sparse" / "0"
        sparse.mkdir(parents=True)
        poses = _poses(reconstruction)
        if binary:
            _write_cameras_binary(sparse / "cameras.bin", sizes, cameras)
            _write_images_binary(sparse / "images.bin", poses, camera_ids, images.names, seen)
            _write_points_binary(sparse / "points3D.bin", cloud, seen)
        if text:
            _write_cameras_text(sparse / "cameras.txt", sizes, cameras)
            _write_images_text(sparse / "images.txt", poses, camera_ids, images.names, seen)
            _write_points_text(sparse / "points3D.txt", cloud, seen)
    return images.notes


def _cameras(images: FileImages) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct cameras: sizes (K, 2), the camera of each frame (N,) from 1, and fx fy cx cy (K, 4)."""
    k = images.intrinsics
    parameters = np.stack((k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]), axis=1)
    both = np.concatenate((images.sizes, parameters.round(4)), axis=1)
    _, first, inverse = np.unique(both, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # cameras in the order of the frames
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    chosen = first[order]
    return images.sizes[chosen], place[inverse.reshape(-1)] + 1, parameters[chosen]


def _poses(reconstruction: Reconstruction) -> np.ndarray:
    """Quaternion wxyz and translation (N, 7)."""
    poses = reconstruction.world_to_camera
    quaternion = rotation_to_quaternion(torch.from_numpy(poses[:, :, :3])).numpy()[:, [3, 0, 1, 2]]
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    return np.concatenate((quaternion, poses[:, :, 3]), axis=1)


def _count(number: int) -> bytes:
    return np.array([number], dtype="<u8").tobytes()


def _write_cameras_binary(path: Path, sizes: np.ndarray, cameras: np.ndarray) -> None:
    rows = np.zeros(len(cameras), dtype=CAMERA_ROW)
    rows["id"], rows["model"] = np.arange(1, len(cameras) + 1), PINHOLE
    rows["size"], rows["focal_center"] = sizes, cameras
    path.write_bytes(_count(len(rows)) + rows.tobytes())


def _write_images_binary(
    path: Path, poses: np.ndarray, camera_ids: np.ndarray, names: list[str], seen: Observations
) -> None:
    with path.open("wb") as file:
        file.write(_count(len(names)))
        for frame, name in enumerate(names):
            file.write(np.array([frame + 1], dtype="<u4").tobytes() + poses[frame].astype("<f8").tobytes())
            file.write(np.array([camera_ids[frame]], dtype="<u4").tobytes() + name.encode("utf-8") + b"\0")
            rows = np.empty(len(seen.points[frame]), dtype=POINT2D_ROW)
            rows["xy"], rows["point"] = seen.pixels[frame], seen.points[frame] + 1
            file.write(_count(len(rows)) + rows.tobytes())


def _write_points_binary(path: Path, cloud: PointCloud, seen: Observations) -> None:
    with path.open("wb") as file:
        file.write(_count(len(cloud)))
        for start in range(0, len(cloud), CHUNK):
            stop = min(start + CHUNK, len(cloud))
            heads = np.empty(stop - start, dtype=POINT_ROW)
            heads["id"] = np.arange(start + 1, stop + 1)
            heads["xyz"], heads["rgb"] = cloud.points[start:stop], cloud.colors[start:stop]
            heads["error"], heads["length"] = seen.errors[start:stop], seen.lengths[start:stop]
            tracks = np.empty(seen.starts[stop] - seen.starts[start], dtype=TRACK_ROW)
            part = slice(seen.starts[start], seen.starts[stop])
            tracks["image"], tracks["point2d"] = seen.track_frames[part] + 1, seen.track_places[part]
            file.write(_interleave(heads, tracks, seen.lengths[start:stop]))


def _interleave(heads: np.ndarray, tracks: np.ndarray, lengths: np.ndarray) -> bytes:
    """Each head followed by its own tracks: records of unequal length without a loop over points."""
    size = heads.itemsize
    ends = np.cumsum(size + TRACK_ROW.itemsize * lengths)
    result = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    starts = ends - (size + TRACK_ROW.itemsize * lengths)
    is_head = np.zeros(len(result), dtype=bool)
    is_head[(starts[:, None] + np.arange(size)).reshape(-1)] = True
    result[is_head] = np.frombuffer(heads.tobytes(), dtype=np.uint8)
    result[~is_head] = np.frombuffer(tracks.tobytes(), dtype=np.uint8)
    return result.tobytes()


def _write_cameras_text(path: Path, sizes: np.ndarray, cameras: np.ndarray) -> None:
    with _open_text(path) as file:
        file.write("# CAMERA_ID, MODEL, WIDTH, HEIGHT, FX, FY, CX, CY\n")
        for index, (size, values) in enumerate(zip(sizes.tolist(), cameras.tolist(), strict=True), start=1):
            file.write(f"{index} PINHOLE {size[0]} {size[1]} {' '.join(map(repr, values))}\n")


def _write_images_text(
    path: Path, poses: np.ndarray, camera_ids: np.ndarray, names: list[str], seen: Observations
) -> None:
    with _open_text(path) as file:
        file.write("# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n# POINTS2D as X, Y, POINT3D_ID\n")
        for frame, name in enumerate(names):
            file.write(f"{frame + 1} {' '.join(map(repr, poses[frame].tolist()))} {camera_ids[frame]} {name}\n")
            rows = zip(seen.pixels[frame].tolist(), (seen.points[frame] + 1).tolist(), strict=True)
            file.write(" ".join(f"{x:.6f} {y:.6f} {point}" for (x, y), point in rows) + "\n")


def _write_points_text(path: Path, cloud: PointCloud, seen: Observations) -> None:
    with _open_text(path) as file:
        file.write("# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK as IMAGE_ID, POINT2D_IDX\n")
        for start in range(0, len(cloud), CHUNK):
            stop = min(start + CHUNK, len(cloud))
            first = seen.starts[start]
            part = slice(first, seen.starts[stop])
            pairs = [
                f" {frame} {place}"
                for frame, place in zip(
                    (seen.track_frames[part] + 1).tolist(), seen.track_places[part].tolist(), strict=True
                )
            ]
            rows = zip(
                cloud.points[start:stop].tolist(),
                cloud.colors[start:stop].tolist(),
                seen.errors[start:stop].tolist(),
                (seen.starts[start : stop + 1] - first).tolist(),
                (seen.starts[start + 1 : stop + 1] - first).tolist(),
                strict=False,
            )
            for index, ((x, y, z), (r, g, b), error, begin, end) in enumerate(rows, start=start + 1):
                file.write(f"{index} {x:.9g} {y:.9g} {z:.9g} {r} {g} {b} {error:.6g}{''.join(pairs[begin:end])}\n")


def _open_text(path: Path):
    return path.open("w", encoding="utf-8", newline="\n")
