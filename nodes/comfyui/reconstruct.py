"""Sparse VGGT Inference."""

from typing import Any

from comfy_api.latest import io

from .. import parameters
from .host import run
from .inputs import CATEGORY, SHOWN_AGAIN, Extrinsics, Intrinsics, Model, Scene, SparsityChoice, Views, named, widgets

ALIASES = [
    "3d reconstruction",
    "3d scan",
    "images to 3d",
    "photos to 3d",
    "video to 3d",
    "slam",
    "sfm",
    "structure from motion",
    "photogrammetry",
    "vggt",
    "pi3",
    "dust3r",
    "mast3r",
    "pointmap",
    "depth estimation",
    "multi-view",
    "manyview",
]


class Reconstruct(io.ComfyNode):
    """All views together -> cameras, depth and points."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_Reconstruct",
            display_name="Sparse VGGT Inference (multi-view)",
            category=CATEGORY,
            description="Cameras, depth and confidence of all views at once, by VGGT or pi3. Lists and batches of "
            "images, of any sizes, are one scene.",
            search_aliases=ALIASES,
            is_input_list=True,  # otherwise a list of images would run as one scene for each image
            **SHOWN_AGAIN,
            inputs=[
                Model.Input("model", tooltip="From Load Model."),
                io.MultiType.Input(
                    "images",
                    types=[io.Image, Views, io.Video],
                    tooltip="Views of one scene: a batch, a list of images, a video, or the views of Load Images.",
                ),
                SparsityChoice.Input(
                    "sparsity", optional=True, tooltip="From Sparsity Control. Not connected: all of global attention."
                ),
                io.Mask.Input("masks", optional=True, tooltip="White where a view is used; for IMAGE inputs."),
                *named("limit", "selection", "resize", "resolution", table=parameters.LOAD_IMAGES),
                *widgets(parameters.RECONSTRUCT),
            ],
            outputs=[
                Scene.Output(display_name="scene", tooltip="For Point Cloud, Preview and the export nodes."),
                io.Image.Output(display_name="depth", tooltip="Depth of every view, near is white, one scale for all."),
                io.Image.Output(display_name="confidence", tooltip="Confidence of every view, 0 to 1."),
                file_3d_ply().Output(
                    display_name="ply", tooltip="The point cloud with usual filters, for Preview Point Cloud and Save."
                ),
                Extrinsics.Output(display_name="extrinsics", tooltip="(N, 4, 4) world to camera, OpenCV axes."),
                Intrinsics.Output(display_name="intrinsics", tooltip="(N, 3, 3) in pixels of the depth images."),
                io.Load3DCamera.Output(
                    display_name="camera_info", tooltip="The first view as a camera of Preview Point Cloud."
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="Views, tokens, density of attention, seconds of each stage, peak memory.",
                ),
            ],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_Reconstruct", cls, inputs)


def file_3d_ply() -> Any:
    """ComfyUI's type for PLY files, by name where this ComfyUI is older than the type."""
    return getattr(io, "File3DPLY", None) or io.Custom("FILE_3D_PLY")
