"""Export Point Cloud."""

from typing import Any

from comfy_api.latest import io

from .. import parameters
from .host import run
from .inputs import ALIASES, CATEGORY, Points, Scene, widgets


class ExportPointCloud(io.ComfyNode):
    """Files for other programs, in a new folder of ComfyUI's output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_ExportPointCloud",
            display_name="Export Point Cloud",
            category=CATEGORY,
            description="Writes PLY, GLB with cameras, COLMAP, NPZ, depth maps or previews into a new numbered folder.",
            search_aliases=[*ALIASES, "save ply", "save glb"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="From Sparse VGGT Inference."),
                Points.Input("points", tooltip="From Point Cloud."),
                io.String.Input("filename_prefix", default="manyview/scene", tooltip="Name below the output folder."),
                *(
                    io.Boolean.Input(name, default=name in ("ply", "glb"), tooltip=f"Write {text}.")
                    for name, text in parameters.EXPORT_FORMATS.items()
                ),
                *widgets(parameters.EXPORT),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_ExportPointCloud", cls, inputs)
