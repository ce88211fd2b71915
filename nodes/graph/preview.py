"""The node that shows points and cameras on the page."""

import hashlib

from ...scene.export.viewer import write_viewer
from ..report import verdict_text
from ..set_scale import meters_per_unit
from .host import Host, Result, entry, temporary
from .output import cloud_for
from .packets import scene_of
from .thumbnail import write_thumbnail


def run_preview(host: Host, *, scene: dict, points: dict | None = None) -> Result:
    """(): a PLY of the points and a JSON of the cameras in the temp folder, for web/viewer.html on the page."""
    found = scene_of(scene)
    cloud = cloud_for(found, points)
    folder = temporary(host, "")
    write_viewer(cloud, found, folder, meters_per_unit=meters_per_unit(found), progress=host.progress)
    shown = [entry(host, folder / name) for name in ("points.ply", "cameras.json")]
    listed = [write_thumbnail(host, cloud, found, folder / "thumbnail.png"), folder / "points.ply"]
    same = hashlib.sha256(found.world_to_camera.tobytes()).hexdigest()  # as long as it stays, so does the viewer's view
    text = f"{len(cloud):,} points, {len(found)} cameras\n{verdict_text(found)}"
    ui = {"3d": [entry(host, path) for path in listed], "manyview_preview": shown, "manyview_scene": [same]}
    return Result((), {**ui, "text": [text]})
