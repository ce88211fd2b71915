"""The nodes by id: what each does, and what beside its inputs its result depends on."""

from collections.abc import Callable
from dataclasses import dataclass

from . import cameras, inference, loading, maps, output, preview, saved_scene, scenes, sparsity_report
from .host import Host, Result


@dataclass(frozen=True)
class GraphNode:
    """run(host, **inputs) -> Result. fingerprint(host, **inputs) changes when something outside the graph has changed
    that the result depends on, such as a file; None where there is nothing of that kind."""

    run: Callable[..., Result]
    fingerprint: Callable[..., str] | None = None


NODES: dict[str, GraphNode] = {
    "ManyView_LoadImages": GraphNode(loading.run_load_images, loading.fingerprint_images),
    "ManyView_LoadModel": GraphNode(loading.run_load_model, loading.fingerprint_model),
    "ManyView_Sparsity": GraphNode(loading.run_sparsity, loading.fingerprint_sparsity),
    "ManyView_Reconstruct": GraphNode(inference.run_reconstruct),
    "ManyView_PointCloud": GraphNode(output.run_point_cloud),
    "ManyView_Preview": GraphNode(preview.run_preview),
    "ManyView_ExportPointCloud": GraphNode(output.run_export),
    "ManyView_ExportCOLMAP": GraphNode(output.run_export_colmap),
    "ManyView_DepthMaps": GraphNode(maps.run_depth_maps),
    "ManyView_Cameras": GraphNode(cameras.run_cameras),
    "ManyView_SparsityReport": GraphNode(sparsity_report.run_sparsity_report),
    "ManyView_SetScale": GraphNode(scenes.run_set_scale),
    "ManyView_Compare": GraphNode(scenes.run_compare),
    "ManyView_LoadScene": GraphNode(saved_scene.run_load_scene, saved_scene.fingerprint_scene),
}

LIVE_OPTIONS: dict[tuple[str, str], Callable[[Host], list[str]]] = {
    ("ManyView_LoadImages", "source"): loading.image_sources,
    ("ManyView_LoadImages", "masks"): loading.mask_folders,
    ("ManyView_LoadModel", "model"): loading.model_names,
    ("ManyView_Sparsity", "method.schedule"): loading.schedule_names,
    ("ManyView_LoadScene", "scene"): saved_scene.scene_names,
}
"""Choices that depend on what lies in the host's folders, by node and input; a dot leads into a choice's own inputs."""
