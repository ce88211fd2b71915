"""Which points of a reconstruction are kept, and how many."""

from ..models.progress import Progress
from ..scene import pointcloud
from ..scene.clip_box import parse_clip_box
from ..scene.pointcloud import PointCloud
from ..scene.reconstruction import Reconstruction
from ..texts.ranges import parse_ranges
from .parameters import documented


@documented
def point_cloud(
    scene: Reconstruction,
    *,
    confidence_percentile: float = 10.0,
    confidence_threshold: float | None = None,
    edge_filter: float = 0.03,
    use_masks: bool = True,
    frames: str | None = None,
    max_points: int | None = 1_000_000,
    reduce: str = "voxel",
    outlier_filter: bool = True,
    seed: int = 0,
    clip_box: str | None = None,
    sky_filter: bool = False,
    backdrop_filter: str = "none",
    progress: Progress | None = None,
) -> PointCloud:
    """The coloured points of a scene that deserve to be kept."""
    return pointcloud.point_cloud(
        scene,
        confidence_percentile=confidence_percentile,
        confidence_threshold=confidence_threshold,
        edge_filter=edge_filter or None,
        use_masks=use_masks,
        frames=parse_frames(frames),
        max_points=max_points,
        reduce=reduce,
        outlier_filter=outlier_filter,
        seed=seed,
        clip_box=parse_clip_box(clip_box),
        sky_filter=sky_filter,
        backdrop_filter=backdrop_filter,
        progress=progress,
    )


def parse_frames(text: str | None) -> list[int] | None:
    """Numbers of a list such as "0, 3, 5-9"; None, all frames, for nothing."""
    if text is None or not text.strip():
        return None
    return parse_ranges(text, "Frames", "0,3,5-9")
