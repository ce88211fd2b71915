"""The nodes after the network: which points are kept, and files of them."""

from typing import Any

from ...scene.export import write_ply
from .. import parameters
from ..export import export
from ..point_cloud import point_cloud
from .host import Host, Result, entry, temporary
from .loading import given
from .packets import points_of, points_packet, scene_of


def run_point_cloud(host: Host, *, scene: dict, **options: Any) -> Result:
    """(points, ply): the pixels of a scene that deserve to be points."""
    cloud = point_cloud(scene_of(scene), **given(options), progress=host.progress)
    path = temporary(host, ".ply")
    write_ply(cloud, path)
    return Result((points_packet(cloud), path), {"text": [f"{len(cloud):,} points"]})


def run_export(host: Host, *, scene: dict, points: dict, filename_prefix: str, **options: Any) -> Result:
    """(): files in a new numbered folder of the output folder."""
    formats = [name for name in parameters.EXPORT_FORMATS if options.pop(name, False)]
    folder = host.output_place(filename_prefix)
    files = export(
        scene_of(scene),
        points_of(points),
        folder,
        formats,
        **given(options),
        extras=dict(host.metadata),
        progress=host.progress,
    )
    shown = [entry(host, path) for path in files if path.suffix in (".ply", ".glb")]
    return Result((), {"3d": shown, "text": [f"{len(files)} files in {folder}"]})
