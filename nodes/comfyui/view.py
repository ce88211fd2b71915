"""Point Cloud, Sparsity Report, Preview."""

from typing import Any

from comfy_api.latest import io

from .. import parameters
from .host import run
from .inputs import CATEGORY, SHOWN_AGAIN, Model, Points, Scene, SparsityChoice, widgets
from .reconstruct import file_3d_ply


class MakePointCloud(io.ComfyNode):
    """The points of a scene that deserve to be kept."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_PointCloud",
            display_name="Point Cloud (multi-view)",
            category=CATEGORY,
            description="Filters by confidence, depth edges, masks and frames, and thins. The model is not run again.",
            search_aliases=["manyview", "filter points", "confidence threshold", "clip box", "crop points"],
            **SHOWN_AGAIN,
            inputs=[
                Scene.Input("scene", tooltip="From Sparse VGGT Inference."),
                *widgets(parameters.POINT_CLOUD),
            ],
            outputs=[
                Points.Output(display_name="points", tooltip="For Preview and the export nodes."),
                file_3d_ply().Output(display_name="ply", tooltip="For ComfyUI's Preview Point Cloud and Save nodes."),
            ],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_PointCloud", cls, inputs)


class SparsityReport(io.ComfyNode):
    """What attention did."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_SparsityReport",
            display_name="Sparsity Report (multi-view)",
            category=CATEGORY,
            description="How much of attention each layer and head computed. With a model, also where one patch looks "
            "in all views: click a picture on the node, then run again.",
            search_aliases=["manyview", "attention map", "density", "heatmap", "analysis"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="From Sparse VGGT Inference."),
                io.Int.Input(
                    "layer",
                    default=-1,
                    min=-1,
                    max=1000,
                    tooltip="Global layer whose attention is shown, from 0. -1: two thirds of the way through.",
                ),
                io.Int.Input("frame", default=0, min=0, max=100_000, tooltip="View of the patch, from 0."),
                io.Float.Input(
                    "x", default=0.5, min=0, max=1, step=0.001, tooltip="Place of the patch, left to right."
                ),
                io.Float.Input(
                    "y", default=0.5, min=0, max=1, step=0.001, tooltip="Place of the patch, top to bottom."
                ),
                Model.Input(
                    "model", optional=True, tooltip="Runs up to the layer to see its attention. Not needed for density."
                ),
                SparsityChoice.Input(
                    "sparsity", optional=True, tooltip="Attention as this computes it. Not connected: dense."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="density", tooltip="A row for each layer, a column for each head."),
                io.Image.Output(display_name="attention", tooltip="Each view with the attention of the patch over it."),
                io.String.Output(display_name="report", tooltip="Density over all and of each layer, in numbers."),
            ],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_SparsityReport", cls, inputs)


class Preview(io.ComfyNode):
    """Points and cameras on the page."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_Preview",
            display_name="Preview Point Cloud & Cameras (multi-view)",
            category=CATEGORY,
            description="Points with their cameras: colour by photo, confidence, view or depth, point size, a slider "
            "for confidence, single views, and a look through any camera.",
            search_aliases=["manyview", "3d viewer", "view point cloud", "camera frustum"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="From Sparse VGGT Inference."),
                Points.Input(
                    "points", optional=True, tooltip="From Point Cloud. Not connected: the points of the usual filters."
                ),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_Preview", cls, inputs)
