"""Binary little-endian PLY: x y z float32, red green blue uint8, confidence float32, view_id int32.

Axes are glTF's (y up, z backward), because point cloud viewers show PLY as it is; a comment in the header says so.
"""

import numpy as np

from ..pointcloud import PointCloud
from .atomic import PathLike, new_file
from .axes import to_y_up

ROW = np.dtype(
    [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
        ("confidence", "<f4"),
        ("view_id", "<i4"),
    ]
)
PLY_NAMES = {"<f4": "float", "|u1": "uchar", "<i4": "int"}


def write_ply(cloud: PointCloud, path: PathLike, overwrite: bool = False) -> None:
    """Writes the cloud; `view_id` is the index of the frame that saw the point."""
    rows = np.empty(len(cloud), dtype=ROW)
    points = to_y_up(cloud.points)
    for axis, name in enumerate("xyz"):
        rows[name] = points[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        rows[name] = cloud.colors[:, channel]
    rows["confidence"], rows["view_id"] = cloud.confidence, cloud.frame
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment ManyView; axes: x right, y up, z backward (glTF); OpenCV with y and z negated",
        "comment colors: sRGB; confidence: 0 to 1; view_id: index of the source image",
        f"element vertex {len(rows)}",
        *(f"property {PLY_NAMES[ROW[name].str]} {name}" for name in ROW.names),
        "end_header\n",
    ]
    with new_file(path, overwrite) as partial, partial.open("wb") as file:
        file.write("\n".join(header).encode("ascii"))
        file.write(rows.tobytes())
