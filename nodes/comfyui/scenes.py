"""Set Scale, Compare Scenes, Load Scene."""

from typing import Any

from comfy_api.latest import io

from .. import parameters
from ..graph import saved_scene
from .host import ComfyHost, fingerprint, run
from .inputs import CATEGORY, SHOWN_AGAIN, Scene, widgets


class SetScale(io.ComfyNode):
    """A scene in metres."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_SetScale",
            display_name="Set Scale (multi-view)",
            category=CATEGORY,
            description="Makes a scene metric by one known length: measure it in Preview Point Cloud & Cameras, give "
            "both numbers here, and connect Point Cloud and the export nodes to this scene.",
            search_aliases=["manyview", "metric", "measure", "meters", "size"],
            **SHOWN_AGAIN,
            inputs=[Scene.Input("scene", tooltip="From Sparse VGGT Inference."), *widgets(parameters.SET_SCALE)],
            outputs=[Scene.Output(display_name="scene", tooltip="The same scene in metres.")],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_SetScale", cls, inputs)


class Compare(io.ComfyNode):
    """How two scenes of the same images differ."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_Compare",
            display_name="Compare Scenes (multi-view)",
            category=CATEGORY,
            description="How much cameras and depth of a scene differ from those of another one of the same images: "
            "dense and sparse, two models, two resolutions.",
            search_aliases=["manyview", "difference", "dense against sparse", "error", "quality"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="The scene in question, such as a sparse one."),
                Scene.Input("reference", tooltip="What it is compared with, such as a dense one."),
                io.Float.Input(
                    "top",
                    default=0.1,
                    min=0.001,
                    max=10,
                    step=0.001,
                    tooltip="Relative depth difference that is shown in red; 0.1 is a tenth of the depth.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="difference", tooltip="Depth difference of each view: dark is none, red is most."
                ),
                io.String.Output(display_name="report", tooltip="Differences of depth and cameras in numbers."),
            ],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_Compare", cls, inputs)


class LoadScene(io.ComfyNode):
    """A scene that was exported, without running the network."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_LoadScene",
            display_name="Load Scene (multi-view)",
            category=CATEGORY,
            description="Brings back a scene that Export Point Cloud wrote with npz switched on: thresholds, scale and "
            "exports can be changed after a restart, and the model is not run again.",
            search_aliases=["manyview", "load npz", "open reconstruction", "saved scene"],
            **SHOWN_AGAIN,
            inputs=[
                io.Combo.Input(
                    "scene",
                    options=saved_scene.scene_names(ComfyHost()),
                    tooltip="An NPZ file below ComfyUI's output or input folder.",
                ),
            ],
            outputs=[Scene.Output(display_name="scene", tooltip="As Sparse VGGT Inference gave it.")],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        return fingerprint("ManyView_LoadScene", inputs)

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_LoadScene", cls, inputs)
