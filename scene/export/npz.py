"""NPZ of a whole reconstruction: every field of `Reconstruction` by name, OpenCV axes, read back by `read_npz`.

Beside the fields there are `camera_to_world` (N, 4, 4) and `original_intrinsics` (N, 3, 3) for other programs, and
`cloud_points`, `cloud_colors`, `cloud_confidence`, `cloud_frame`, `cloud_pixel` if a cloud was given. Everything
that is not an array is in `meta`, a JSON string, with the verdict on the scene; nothing needs pickle.
"""

import json

import numpy as np

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
    """The reconstruction that `write_npz` wrote."""
    with np.load(path, allow_pickle=False) as file:
        if "meta" not in file.files or "world_to_camera" not in file.files:
            raise ValueError(f"{path} is not a ManyView reconstruction; pass a file that write_npz wrote.")
        values = json.loads(str(file["meta"]))
        values.pop("verdict", None)  # follows from the rest
        names = [name for name in file.files if name not in (*EXTRA, "meta") and not name.startswith("cloud_")]
        arrays = {name: file[name] for name in names}
    tracks = {name.removeprefix("tracks_"): arrays.pop(name) for name in names if name.startswith("tracks_")}
    return Reconstruction.from_dict({**values, **arrays, "tracks": tracks or None})
