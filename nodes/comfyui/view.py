"""Point Cloud."""

from typing import Any

from comfy_api.latest import io

from .. import parameters
from .host import run
from .inputs import ALIASES, CATEGORY, Points, Scene, widgets
from .reconstruct import file_3d_ply


class MakePointCloud(io.ComfyNode):
    """The points of a scene that deserve to be kept."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_PointCloud",
            display_name="Point Cloud",
            category=CATEGORY,
            description="Filters by confidence, depth edges, masks and frames, and thins. The model is not run again.",
            search_aliases=[*ALIASES, "filter points", "confidence threshold"],
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
