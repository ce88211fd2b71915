"""The core nodes by id, as nodes/graph/table.py lists ours."""

from ...nodes.graph.table import GraphNode
from . import batches, loading, saving
from .definitions import PRIMITIVES

CORE_NODES: dict[str, GraphNode] = {
    "LoadImage": GraphNode(loading.run_load_image, loading.fingerprint_file),
    "LoadImageMask": GraphNode(loading.run_load_mask, loading.fingerprint_file),
    "LoadImageDataSetFromFolder": GraphNode(loading.run_load_folder, loading.fingerprint_folder),
    "LoadVideo": GraphNode(loading.run_load_video, loading.fingerprint_file),
    "GetVideoComponents": GraphNode(loading.run_video_components),
    "ImageBatch": GraphNode(batches.run_image_batch),
    "BatchImagesNode": GraphNode(batches.run_batch_images),
    "ImageToMask": GraphNode(batches.run_image_to_mask),
    "MaskToImage": GraphNode(batches.run_mask_to_image),
    "InvertMask": GraphNode(batches.run_invert_mask),
    "PreviewImage": GraphNode(saving.run_preview_image),
    "SaveImage": GraphNode(saving.run_save_image),
    "PreviewPointCloud": GraphNode(saving.run_preview_cloud),
    "SavePointCloud": GraphNode(saving.run_save_cloud),
    "PreviewAny": GraphNode(saving.run_preview_text),
    **{f"Primitive{name}": GraphNode(saving.run_primitive) for name in PRIMITIVES},
}
