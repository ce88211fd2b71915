"""The node that shows points and cameras on the page."""

import json
from typing import Any

import numpy as np

from ...scene.export import write_ply
from ...scene.export.axes import pose_to_y_up
from ...scene.frustum import frame_colors, frustum_depth
from ...scene.pointcloud import PointCloud
from ...scene.reconstruction import Reconstruction
from .host import Host, Result, entry, temporary
from .output import cloud_for
from .packets import scene_of


def run_preview(host: Host, *, scene: dict, points: dict | None = None) -> Result:
    """(): a PLY of the points and a JSON of the cameras in the temp folder, for the viewer on the page."""
    found = scene_of(scene)
    cloud = cloud_for(found, points)
    ply, cameras = temporary(host, ".ply"), temporary(host, ".json")
    write_ply(cloud, ply)
    cameras.write_text(json.dumps(viewer_cameras(found, cloud)), encoding="utf-8")
    text = f"{len(cloud):,} points, {len(found)} cameras"
    return Result((), {"manyview_preview": [entry(host, ply), entry(host, cameras)], "text": [text]})


def viewer_cameras(scene: Reconstruction, cloud: PointCloud) -> dict[str, Any]:
    """The cameras as the viewer reads them: poses (4, 4) camera to world, y up, looking along -z; row by row."""
    height, width = scene.image_size
    focal = scene.intrinsics[:, 1, 1]
    poses, colors = pose_to_y_up(scene.camera_to_world), frame_colors(len(scene))
    views = [
        {
            "name": scene.names[frame],
            "pose": poses[frame].tolist(),
            "fov_degrees": float(2 * np.degrees(np.arctan(0.5 * height / focal[frame]))),
            "color": colors[frame].tolist(),
        }
        for frame in range(len(scene))
    ]
    return {"aspect": width / height, "frustum_depth": frustum_depth(scene, cloud.points), "views": views}
