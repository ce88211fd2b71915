"""NPZ of a whole reconstruction: every field of `Reconstruction` by name, OpenCV axes, read back by `read_npz`.

Beside the fields there are `camera_to_world` (N, 4, 4) and `original_intrinsics` (N, 3, 3) for other programs, and
`cloud_points`, `cloud_colors`, `cloud_confidence`, `cloud_frame`, `cloud_pixel` if a cloud was given. Everything
that is not an array is in `meta`, a JSON string, with the verdict on the scene; nothing needs pickle.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...texts.plain_json import parse_json
from ...texts.shown import shortened
from ..array_archive import DamagedFile, Stored, read_arrays
from ..pointcloud import PointCloud
from ..reconstruction import Reconstruction
from ..soundness import sound, sound_with_cloud
from ..verdict import verdict
from .atomic import PathLike, new_file

EXTRA = ("camera_to_world", "original_intrinsics")


def write_npz(
    reconstruction: Reconstruction,
    path: PathLike,
    cloud: PointCloud | None = None,
    *,
    compress: bool = False,
    overwrite: bool = False,
) -> None:
    """Writes the reconstruction, and the cloud if there is one; compressing takes about ten times as long."""
    if cloud is None:
        reconstruction = sound(reconstruction)
    else:
        reconstruction, cloud = sound_with_cloud(reconstruction, cloud)
    arrays, meta = {}, {}
    for name, value in reconstruction.to_dict().items():
        if isinstance(value, np.ndarray):
            arrays[name] = value
        elif name == "tracks" and value is not None:
            arrays |= {f"tracks_{key}": array for key, array in value.items()}
        else:
            meta[name] = value
    meta["verdict"] = verdict(reconstruction).to_dict()
    arrays["camera_to_world"] = reconstruction.camera_to_world
    arrays["original_intrinsics"] = reconstruction.original_intrinsics()
    if cloud is not None:
        arrays |= {f"cloud_{name}": array for name, array in vars(cloud).items()}
    with new_file(path, overwrite) as partial, partial.open("wb") as file:
        save = np.savez_compressed if compress else np.savez
        save(file, meta=np.array(json.dumps(meta)), **arrays)


def read_npz(path: PathLike) -> Reconstruction:
    """The reconstruction that `write_npz` wrote, without what is not finite in it.

    DamagedFile, a ValueError, for anything else: shapes, types and sizes are checked before an array is read.
    """
    arrays = read_arrays(path, _is_field, _check_arrays)
    meta = str(arrays.pop("meta"))
    arrays = {name: array.astype(_dtype(name, array.dtype), copy=False) for name, array in arrays.items()}
    try:
        values = read_meta(meta, len(arrays["depth"]))
        if arrays["original_sizes"].min() < 1 or not np.isfinite(arrays["scale_offset"]).all():
            raise ValueError("Sizes of the original images must be positive, and scale_offset finite.")
        names = [name for name in arrays if name.startswith("tracks_")]
        tracks = {name.removeprefix("tracks_"): arrays.pop(name) for name in names}
        return Reconstruction.from_dict({**values, **arrays, "tracks": tracks or None})
    except ValueError as error:
        raise DamagedFile(f"{path} is damaged: {str(error).rstrip('.')}. Write it again.") from error


def _dtype(name: str, found: np.dtype) -> np.dtype:
    """The field's type; density has that of the model."""
    return found.newbyteorder("=") if name == "density" else FIELDS[name][0]


def _is_field(name: str) -> bool:
    return name not in EXTRA and not name.startswith("cloud_")


def _check_arrays(stored: Mapping[str, Stored]) -> None:
    """DamagedFile unless the arrays are those of one reconstruction; the sizes N, H, W ... are the same everywhere."""
    if "meta" not in stored or "world_to_camera" not in stored:
        raise DamagedFile("is not a ManyView reconstruction; pass a file that write_npz wrote.")
    missing = [name for name in NEEDED if name not in stored]
    unknown = [shortened(name) for name in stored if name not in FIELDS and name != "meta"]
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"holds {', '.join(unknown[:5])}"
        raise DamagedFile(f"{what}, so it is no reconstruction; pass a file that write_npz wrote.")
    if stored["meta"].shape or stored["meta"].dtype.kind != "U" or stored["meta"].size_bytes > MOST_META_BYTES:
        raise DamagedFile("has a damaged description (meta); write it again.")
    sizes: dict[str, int] = {}
    for name, each in stored.items():
        if name == "meta":
            continue
        dtype, axes = FIELDS[name]
        wanted = tuple(
            int(axis) if axis.isdigit() else sizes.setdefault(axis, size) for axis, size in _paired(axes, each)
        )
        if each.shape != wanted or (set(axes) & set("NHW") and 0 in each.shape):
            shape = " x ".join(axes)
            raise DamagedFile(f"is damaged: {name} has the shape {each.shape} instead of {shape}; write it again.")
        if each.dtype.kind != dtype.kind or each.dtype.itemsize > 8 or (name == "images" and each.dtype.itemsize != 1):
            raise DamagedFile(f"is damaged: {name} holds {each.dtype} instead of {dtype}; write it again.")


def _paired(axes: str, stored: Stored) -> list[tuple[str, int]]:
    """Letters of the axes with the sizes found; without sizes where their number differs."""
    same = len(axes) == len(stored.shape)
    return list(zip(axes, stored.shape if same else (-1,) * len(axes), strict=True))


def read_meta(text: str, frames: int) -> dict[str, Any]:
    """What is no array, checked: names, numbers and settings of `frames` frames. ValueError for anything else."""
    values = parse_json(text, "the description (meta)")
    if not isinstance(values, dict):
        raise ValueError("The description (meta) must be an object.")
    values.pop("verdict", None)  # follows from the rest
    for name, value in values.items():
        if name in META and not META[name](value):
            raise ValueError(f"The description (meta) has a {name} of another kind.")
        if name in (*FIELDS, "tracks") and value is not None:
            raise ValueError(f"The description (meta) holds {name}, which must be an array.")
    for name, counts in (("names", (frames,)), ("paths", (0, frames)), ("video_frames", (0, frames))):
        if len(values.get(name, ())) not in counts:
            raise ValueError(f"The description (meta) has {len(values.get(name, ()))} {name} for {frames} frames.")
    return values


def _list_of(*kinds: type | None) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list)
        and all(
            each is None
            if None in kinds and each is None
            else isinstance(each, kinds[0]) and not isinstance(each, bool)
            for each in value
        )
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18


FIELDS: Mapping[str, tuple[np.dtype, str]] = {
    name: (np.dtype(kind), axes)
    for name, kind, axes in (
        ("images", "uint8", "NHW3"),
        ("depth", "float32", "NHW"),
        ("confidence", "float32", "NHW"),
        ("world_to_camera", "float64", "N34"),
        ("intrinsics", "float64", "N33"),
        ("original_sizes", "int64", "N2"),
        ("scale_offset", "float64", "N4"),
        ("world_points", "float32", "NHW3"),
        ("masks", "bool", "NHW"),
        ("density", "float32", "LK"),
        ("tracks_positions", "float32", "NQ2"),
        ("tracks_visibility", "float32", "NQ"),
        ("tracks_confidence", "float32", "NQ"),
    )
}
NEEDED = ("images", "depth", "confidence", "world_to_camera", "intrinsics", "original_sizes", "scale_offset")
MOST_META_BYTES = 64 << 20
META: Mapping[str, Callable[[Any], bool]] = {
    "names": _list_of(str),
    "paths": _list_of(str, None),
    "video_frames": _list_of(int, None),
    "notes": _list_of(str),
    "left_out": _list_of(int),
    "model": lambda value: isinstance(value, str),
    "point_source": lambda value: isinstance(value, str),
    "pixel_center": _is_number,
    "peak_memory_bytes": lambda value: value is None or _is_number(value),
    "timings": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "settings": lambda value: isinstance(value, dict),
}
"""What is no array, each with its kind."""
