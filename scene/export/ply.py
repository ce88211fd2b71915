"""Binary little-endian PLY: x y z float32, perhaps nx ny nz float32, red green blue uint8, confidence float32, view_id
int32.

Axes are glTF's (y up, z backward), because point cloud viewers show PLY as it is; a comment in the header says so.
"""

import numpy as np

from ..pointcloud import PointCloud
from .atomic import PathLike, new_file
from .axes import to_y_up

PLACE = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
NORMAL = [("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4")]
REST = [("red", "u1"), ("green", "u1"), ("blue", "u1"), ("confidence", "<f4"), ("view_id", "<i4")]
PLY_NAMES = {"<f4": "float", "|u1": "uchar", "<i4": "int"}


def write_ply(cloud: PointCloud, path: PathLike, overwrite: bool = False, *, normals: np.ndarray | None = None) -> None:
    """Writes the cloud; `view_id` is the index of the frame that saw the point.

    normals: unit vectors (M, 3) of the surface at each point, in the cloud's own axes; left out unless given.
    """
    finite = np.isfinite(cloud.points).all(axis=1)
    if not finite.all():
        cloud, normals = cloud.take(finite), None if normals is None else normals[finite]
    if normals is not None and normals.shape != cloud.points.shape:
        raise ValueError(f"The normals of {len(cloud)} points must be ({len(cloud)}, 3), got {normals.shape}.")
    row = np.dtype([*PLACE, *(NORMAL if normals is not None else []), *REST])
    rows = np.empty(len(cloud), dtype=row)
    vectors = [("", cloud.points)] if normals is None else [("", cloud.points), ("n", normals)]
    for prefix, values in vectors:
        turned = to_y_up(values)
        for axis, name in enumerate("xyz"):
            rows[prefix + name] = turned[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        rows[name] = cloud.colors[:, channel]
    rows["confidence"], rows["view_id"] = cloud.confidence, cloud.frame
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment ManyView; axes: x right, y up, z backward (glTF); OpenCV with y and z negated",
        "comment colors: sRGB; confidence: 0 to 1; view_id: index of the source image",
        f"element vertex {len(rows)}",
        *(f"property {PLY_NAMES[row[name].str]} {name}" for name in row.names),
        "end_header\n",
    ]
    with new_file(path, overwrite) as partial, partial.open("wb") as file:
        file.write("\n".join(header).encode("ascii"))
        file.write(rows.tobytes())
