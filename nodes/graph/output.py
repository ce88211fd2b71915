"""The nodes after the network: which points are kept, and files of them."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...scene.export import write_ply
from ...scene.pointcloud import PointCloud
from ...scene.reconstruction import Reconstruction
from ..export import IncompleteExport, export
from ..point_cloud import point_cloud
from .host import Host, Result, entry, filled, shown_place, temporary
from .loading import given
from .packets import points_of, points_packet, scene_of
from .thumbnail import write_thumbnail

THUMBNAIL = "thumbnail.png"
POINT_FORMATS = ("ply", "glb", "npz", "preview")


def run_point_cloud(host: Host, *, scene: dict, **options: Any) -> Result:
    """(points, ply): the pixels of a scene that deserve to be points."""
    cloud = point_cloud(scene_of(scene), **given(options), progress=host.progress)
    path = temporary(host, ".ply")
    write_ply(cloud, path)
    text = f"{len(cloud):,} points"
    if not len(cloud):
        text = "No point is left; lower confidence_percentile or confidence_threshold, or look at masks and clip_box."
    return Result((points_packet(cloud), path), {"text": [text]})


def run_export(
    host: Host, *, scene: dict, points: dict | None = None, filename_prefix: str, cameras: bool, **chosen: bool
) -> Result:
    """(folder,): the cloud as files in a new numbered folder of the output folder."""
    formats = [name for name in POINT_FORMATS if chosen[name]]
    if not formats:
        raise ValueError(f"Nothing is chosen to be written; switch on one of {', '.join(POINT_FORMATS)}.")
    found = scene_of(scene)
    return _export(host, found, cloud_for(found, points), filename_prefix, formats, cameras=cameras)


def run_export_colmap(
    host: Host,
    *,
    scene: list[dict],
    points: list[dict] | None = None,
    images: list[Tensor] | None = None,
    filename_prefix: list[str],
    **lists: list,
) -> Result:
    """(folder,): the folder with sparse/ and images/, in a new one of the output folder; every input is a list."""
    options = {name: values[0] for name, values in lists.items()}
    found = scene_of(scene[0])
    cloud = cloud_for(found, points[0] if points else None)
    pictures = None if images is None else [picture for batch in images for picture in _pictures(batch)]
    return _export(host, found, cloud, filename_prefix[0], ["colmap"], **given(options), pictures=pictures)


def cloud_for(scene: Reconstruction, points: dict | None) -> PointCloud:
    """The connected points, else those of the usual filters."""
    return point_cloud(scene) if points is None else points_of(points)


def _export(
    host: Host, scene: Reconstruction, cloud: PointCloud, prefix: str, formats: list[str], **options: Any
) -> Result:
    """Write the formats into a new folder; one that fails is told, and the others are there."""
    options |= {"extras": dict(host.metadata), "progress": host.progress}
    known = len(scene.notes)
    with filled(host.output_place(prefix)) as folder:
        try:
            files, failures = export(scene, cloud, folder, formats, **options), []
        except IncompleteExport as error:
            if not error.files:
                raise
            files, failures = error.files, error.sentences
        thumbnail = write_thumbnail(host, cloud, scene, folder / THUMBNAIL)
    # Programs open the folder that holds sparse/ and images/.
    place = folder / "colmap" if formats == ["colmap"] else folder
    return _written(host, place, [thumbnail, *files], [*failures, *scene.notes[known:]])


def _written(host: Host, folder: Path, files: list[Path], notes: list[str]) -> Result:
    """The folder, and what the page may show of it: first the picture that stands for all of it in a list."""
    ui: dict[str, list] = {"text": ["\n".join((f"{len(files)} files in {shown_place(host, folder)}", *notes))]}
    ui["3d"] = [entry(host, path) for path in files if path.name == THUMBNAIL or path.suffix in (".ply", ".glb")]
    if pictures := [entry(host, path) for path in files if path.name == "cloud.png"]:
        ui["images"] = pictures
    ui |= {"manyview_folder": [folder.relative_to(host.output_folder).as_posix()], "manyview_path": [str(folder)]}
    return Result((str(folder),), ui)


def _pictures(batch: Tensor) -> list[np.ndarray]:
    """IMAGE (B, H, W, C) or one image as 8-bit pictures."""
    batch = batch if batch.ndim == 4 else batch[None]
    return list((batch[..., :3].clamp(0, 1) * 255).round().byte().cpu().numpy())
