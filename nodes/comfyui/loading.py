"""Load Images, Load Model, Sparsity Control."""

from typing import Any

from comfy_api.latest import io

from .. import parameters
from ..graph import loading
from .host import ComfyHost, fingerprint, run
from .inputs import CATEGORY, SHOWN_AGAIN, Model, SparsityChoice, Views, named, widget, widgets

METHOD_HELP = {
    "dense": "all of global attention, as published",
    "quality": "ManyView's rule, closest to dense",
    "balanced": "ManyView's rule",
    "fast": "ManyView's rule, least computed",
    "long": "ManyView's rule for hundreds of views: time grows with their number, not its square",
    "paper-s25": "the published rule",
    "paper-s50": "the published rule",
    "paper-s75": "the published rule",
    "custom": "by rho and tau",
    "file": "a schedule made by the calibrate command",
}


class LoadImages(io.ComfyNode):
    """A folder or a video of ComfyUI's input folder as the views of one scene."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_LoadImages",
            display_name="Load Images (multi-view)",
            category=CATEGORY,
            description="Reads the photos of a folder, or frames of a video, as views of one scene. Keeps names and "
            "original sizes, so that exports fit the original photos.",
            search_aliases=[
                "manyview",
                "load folder",
                "image folder",
                "load photos",
                "upload photos",
                "load video frames",
            ],
            **SHOWN_AGAIN,
            inputs=[
                io.Combo.Input(
                    "source",
                    options=loading.image_sources(ComfyHost()),
                    tooltip="A folder of photos, or a video, below ComfyUI's input folder.",
                ),
                *widgets(parameters.LOAD_IMAGES, without=("masks",)),
                Model.Input("model", optional=True, tooltip="Gives the resolution and patch size of this model."),
                io.Combo.Input(
                    "masks",
                    options=loading.mask_folders(ComfyHost()),
                    default=loading.NO_MASKS,
                    optional=True,
                    tooltip="A folder of masks named like the photos, below ComfyUI's input folder; black is left out.",
                ),
            ],
            outputs=[
                Views.Output(display_name="views", tooltip="For Sparse VGGT Inference: images, names, original sizes."),
                io.Image.Output(display_name="images", tooltip="The same images as one batch."),
                io.Mask.Output(
                    display_name="masks", tooltip="White where a view is used, not padding or transparency."
                ),
                io.String.Output(display_name="names", tooltip="File names, one a line."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        return fingerprint("ManyView_LoadImages", inputs)

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_LoadImages", cls, inputs)


class LoadModel(io.ComfyNode):
    """A model under ComfyUI's memory management."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_LoadModel",
            display_name="Load Model (multi-view)",
            category=CATEGORY,
            description="mini comes with the pack; da3-base is the one for a first real result (both Apache-2.0). "
            "vggt-1b, pi3 and da3-large are for NON-COMMERCIAL use only; vggt-1b-commercial needs its owner's consent. "
            "Files in models/manyview are listed too.",
            search_aliases=["manyview", "load vggt", "load pi3", "load depth anything 3", "checkpoint"],
            **SHOWN_AGAIN,
            inputs=[
                io.Combo.Input(
                    "model",
                    options=loading.model_names(ComfyHost()),
                    default="mini",
                    tooltip=f"A known model, or a file of yours in models/manyview. {parameters.MODEL_LICENCES}",
                ),
                *named("precision", table=parameters.LOAD_MODEL),
            ],
            outputs=[Model.Output(display_name="model", tooltip="For Sparse VGGT Inference and Load Images.")],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        return fingerprint("ManyView_LoadModel", inputs)

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_LoadModel", cls, inputs)


class Sparsity(io.ComfyNode):
    """How much of global attention is computed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_Sparsity",
            display_name="Sparsity Control (multi-view)",
            category=CATEGORY,
            description="How much of global attention is computed. Nothing is loaded again when it changes. Small "
            "scenes, and devices without a fast kernel, are computed as well as they can be; the report says how.",
            search_aliases=["manyview", "sparse attention", "block sparse", "fastvggt", "speed"],
            inputs=[
                io.DynamicCombo.Input(
                    "method",
                    options=[io.DynamicCombo.Option(name, method_inputs(name)) for name in method_order()],
                    tooltip="; ".join(f"{name}: {METHOD_HELP[name]}" for name in method_order()) + ".",
                ),
            ],
            outputs=[SparsityChoice.Output(display_name="sparsity", tooltip="For Sparse VGGT Inference.")],
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        return fingerprint("ManyView_Sparsity", inputs)

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_Sparsity", cls, inputs)


def method_order() -> list[str]:
    """The methods, the default first: that is what the page chooses."""
    default = next(parameter.default for parameter in parameters.SPARSITY if parameter.name == "method")
    return sorted(parameters.SPARSITY_CHOICES, key=lambda name: name != default)


def method_inputs(method: str) -> list[Any]:
    """The inputs that belong to one method."""
    options = {parameter.name: parameter for parameter in parameters.SPARSITY}
    if method == "dense":
        return []
    inputs = [widget(options["min_tokens"])]
    if method == "custom":
        inputs = [widget(options[name]) for name in ("rho", "tau", "dense_layers")] + inputs
    if method == "file":
        names = loading.schedule_names(ComfyHost())
        inputs.insert(0, io.Combo.Input("schedule", options=names, tooltip="A JSON file in models/manyview."))
    return inputs
