"""The ComfyUI nodes: schemas, and one line over the functions of this folder. The only file that imports ComfyUI.

Values that travel between nodes are dicts of tensors, arrays and numbers (`Reconstruction.to_dict` and the like).
"""

import logging
import uuid
from pathlib import Path
from typing import Any

import comfy.model_management as management
import comfy.utils
import folder_paths
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import ComfyExtension, Types, io

from ..models.checkpoints import LoadedModel
from ..scene.export import write_ply
from ..scene.images import ImageSet
from ..scene.pointcloud import PointCloud
from ..scene.preview import confidence_pictures, depth_pictures
from ..scene.reconstruction import Reconstruction
from . import parameters
from .export import export
from .load_images import collect_images, load_images
from .load_model import choose_dtype, load_model
from .parameters import Parameter
from .point_cloud import point_cloud
from .reconstruct import reconstruct
from .report import report_text

logger = logging.getLogger(__name__)

CATEGORY = "3d/multi-view reconstruction"
ALIASES = ["vggt", "pi3", "sfm", "colmap", "point cloud", "pointmap", "camera pose", "multi-view", "manyview"]
MODEL_FOLDER = "manyview"

Model = io.Custom("MANYVIEW_MODEL")  # {"patcher": ModelPatcher, "loaded": LoadedModel}
Images = io.Custom("MANYVIEW_IMAGES")  # fields of an ImageSet
Scene = io.Custom("MANYVIEW_SCENE")  # Reconstruction.to_dict()
Points = io.Custom("MANYVIEW_POINTS")  # fields of a PointCloud


class LoadImages(io.ComfyNode):
    """A folder of ComfyUI's input folder as the views of one scene."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_LoadImages",
            display_name="Load Views from Folder",
            category=CATEGORY,
            description="Reads all photos of a folder as views of one scene, keeping their names and sizes for export.",
            search_aliases=[*ALIASES, "load images", "image folder"],
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=folder_paths.get_input_subfolders(),
                    tooltip="A folder with photos below ComfyUI's input folder.",
                ),
                Model.Input("model", optional=True, tooltip="Gives the resolution when none is set here."),
                *widgets(parameters.LOAD_IMAGES, without=("frame_rate", "masks")),
            ],
            outputs=[
                Images.Output(display_name="views", tooltip="For Reconstruct: images with names and original sizes."),
                io.Image.Output(display_name="images", tooltip="The same images as one batch."),
                io.Mask.Output(display_name="masks", tooltip="White where a view is used."),
                io.String.Output(display_name="names", tooltip="File names, one a line."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, folder: str, **options: Any) -> str:
        files = sorted(path for path in input_folder(folder).iterdir() if path.is_file())
        return repr([(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files])

    @classmethod
    def execute(cls, folder: str, model: dict | None = None, **options: Any) -> io.NodeOutput:
        loaded = model["loaded"] if model else None
        views = load_images(input_folder(folder), model=loaded, **given(options), progress=bar())
        for _, reason in views.skipped:
            logger.warning(reason)
        masks = torch.ones(views.images.shape[:3]) if views.masks is None else torch.from_numpy(views.masks).float()
        return io.NodeOutput(vars(views), to_image(views.images), masks, "\n".join(views.names))


class LoadModel(io.ComfyNode):
    """A VGGT or pi3 model under ComfyUI's memory management."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        known = [*parameters.MODEL_CHOICES, *folder_paths.get_filename_list(MODEL_FOLDER)]
        return io.Schema(
            node_id="ManyView_LoadModel",
            display_name="Load Multi-View Model",
            category=CATEGORY,
            description="mini comes with the pack (Apache-2.0). vggt-1b and pi3 are for NON-COMMERCIAL use only; "
            "vggt-1b-commercial needs its owner's consent. Files in models/manyview are listed too.",
            search_aliases=ALIASES,
            inputs=[
                io.Combo.Input("model", options=known, default="mini", tooltip="A known model or a file of yours."),
                *widgets(parameters.LOAD_MODEL, without=("model", "device", "folder")),
            ],
            outputs=[Model.Output(display_name="model", tooltip="For Reconstruct.")],
        )

    @classmethod
    def execute(cls, model: str, precision: str, download: bool) -> io.NodeOutput:
        device, offload = management.get_torch_device(), management.unet_offload_device()
        precision = str(choose_dtype(precision, device)).removeprefix("torch.")
        source = model
        if model not in parameters.MODEL_CHOICES:
            source = folder_paths.get_full_path_or_raise(MODEL_FOLDER, model)
        folder = Path(folder_paths.models_dir) / MODEL_FOLDER
        loaded = load_model(
            source, precision=precision, device=str(offload), download=download, folder=folder, progress=bar()
        )
        return io.NodeOutput({"patcher": ModelPatcher(loaded.model, device, offload), "loaded": loaded})


class Reconstruct(io.ComfyNode):
    """All views together -> cameras, depth and points."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_Reconstruct",
            display_name="Reconstruct Scene from Views",
            category=CATEGORY,
            description="Cameras, depth and confidence of all views at once. Lists and batches of images are joined.",
            search_aliases=ALIASES,
            is_input_list=True,  # otherwise a list of images would run as one scene for each image
            inputs=[
                Model.Input("model", tooltip="From Load Multi-View Model."),
                io.MultiType.Input(
                    "images",
                    types=[io.Image, Images],
                    tooltip="Views of one scene: a batch, a list of images, or the views of Load Views from Folder.",
                ),
                io.Mask.Input("masks", optional=True, tooltip="White where a view is used; for IMAGE inputs."),
                *widgets(p for p in parameters.LOAD_IMAGES if p.name in ("resize", "resolution")),
                *widgets(parameters.RECONSTRUCT),
            ],
            outputs=[
                Scene.Output(display_name="scene", tooltip="For Point Cloud and Export."),
                io.Image.Output(display_name="depth", tooltip="Depth of every view in colours, near to far."),
                io.Image.Output(display_name="confidence", tooltip="Confidence of every view in colours."),
                io.String.Output(display_name="report", tooltip="Frames, tokens, seconds of each stage, peak memory."),
            ],
        )

    @classmethod
    def execute(cls, model: list, images: list, masks: list | None = None, **lists: list) -> io.NodeOutput:
        options = given({name: values[0] for name, values in lists.items()})
        size = {name: options.pop(name) for name in ("resize", "resolution")}
        loaded: LoadedModel = model[0]["loaded"]
        views = join_views(images, masks, loaded, size)
        management.load_models_gpu([model[0]["patcher"]], memory_required=activation_bytes(loaded, views))
        scene = reconstruct(loaded, views, **options, progress=bar())
        pictures = (to_image(depth_pictures(scene)), to_image(confidence_pictures(scene)))
        return io.NodeOutput(scene.to_dict(), *pictures, report_text(scene))


class MakePointCloud(io.ComfyNode):
    """The points of a scene that deserve to be kept."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_PointCloud",
            display_name="Point Cloud from Scene",
            category=CATEGORY,
            description="Filters by confidence, depth edges and masks, and thins. The model does not run again.",
            search_aliases=ALIASES,
            inputs=[Scene.Input("scene", tooltip="From Reconstruct."), *widgets(parameters.POINT_CLOUD)],
            outputs=[
                Points.Output(display_name="points", tooltip="For Export."),
                file_3d_ply().Output(display_name="ply", tooltip="For ComfyUI's Preview Point Cloud and Save nodes."),
            ],
        )

    @classmethod
    def execute(cls, scene: dict, **options: Any) -> io.NodeOutput:
        cloud = point_cloud(Reconstruction.from_dict(scene), **given(options), progress=bar())
        path = Path(folder_paths.get_temp_directory()) / f"manyview_{uuid.uuid4().hex}.ply"
        write_ply(cloud, path)
        return io.NodeOutput(vars(cloud), Types.File3D(str(path), "ply"))


class ExportPointCloud(io.ComfyNode):
    """Files for other programs, in a new folder of ComfyUI's output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_ExportPointCloud",
            display_name="Export Scene",
            category=CATEGORY,
            description="Writes PLY, GLB with cameras, COLMAP, NPZ, depth maps or previews into a new numbered folder.",
            search_aliases=[*ALIASES, "save ply", "save glb"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="From Reconstruct."),
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
    def execute(cls, scene: dict, points: dict, filename_prefix: str, **options: Any) -> io.NodeOutput:
        formats = [name for name in parameters.EXPORT_FORMATS if options.pop(name)]
        base, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        folder = Path(base) / f"{name}_{counter:05}_"
        extras = {**(cls.hidden.extra_pnginfo or {}), "prompt": cls.hidden.prompt}
        files = export(
            Reconstruction.from_dict(scene),
            PointCloud(**points),
            folder,
            formats,
            **given(options),
            extras=extras,
            progress=bar(),
        )
        shown = [path for path in files if path.suffix in (".ply", ".glb")]
        place = {"subfolder": (Path(subfolder) / folder.name).as_posix(), "type": "output"}
        return io.NodeOutput(ui={"3d": [{"filename": path.name, **place} for path in shown]})


class ManyViewExtension(ComfyExtension):
    """What ComfyUI gets from `comfy_entrypoint`."""

    async def on_load(self) -> None:
        folder_paths.add_model_folder_path(MODEL_FOLDER, str(Path(folder_paths.models_dir) / MODEL_FOLDER))

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [LoadImages, LoadModel, Reconstruct, MakePointCloud, ExportPointCloud]


def widgets(table: Any, without: tuple[str, ...] = ()) -> list[Any]:
    """Inputs of a node from the parameter table."""
    return [widget(parameter) for parameter in table if parameter.name not in without]


def widget(parameter: Parameter) -> Any:
    """One input; a number that may be unset shows 0 for that."""
    shared = {"tooltip": parameter.tooltip, "advanced": parameter.advanced or None}
    unset = parameter.default is None
    if parameter.kind == "bool":
        return io.Boolean.Input(parameter.name, default=parameter.default, **shared)
    if parameter.kind == "choice":
        return io.Combo.Input(parameter.name, options=list(parameter.choices), default=parameter.default, **shared)
    if parameter.kind == "text":
        return io.String.Input(parameter.name, default=parameter.default or "", **shared)
    low = 0 if unset else parameter.minimum
    shared["tooltip"] += " 0: not set." if unset else ""
    shared |= {"default": 0 if unset else parameter.default, "min": low, "max": parameter.maximum}
    if parameter.kind == "int":
        return io.Int.Input(parameter.name, **shared)
    return io.Float.Input(parameter.name, step=0.01, **shared)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options as our functions want them: what a widget shows as unset becomes None."""
    tables = (parameters.LOAD_IMAGES, parameters.LOAD_MODEL, parameters.RECONSTRUCT, parameters.POINT_CLOUD)
    unset = {parameter.name for table in tables for parameter in table if parameter.default is None}
    return {name: None if name in unset and not value else value for name, value in options.items()}


def file_3d_ply() -> Any:
    """ComfyUI's type for PLY files, by name where this ComfyUI is older than the type."""
    return getattr(io, "File3DPLY", None) or io.Custom("FILE_3D_PLY")


def input_folder(folder: str) -> Path:
    """A folder that the widget listed; the server accepts no other."""
    return Path(folder_paths.get_input_directory()) / folder


def join_views(images: list, masks: list | None, loaded: LoadedModel, size: dict[str, Any]) -> ImageSet:
    """One set of views from what a list input gives: tensors, or the dict of Load Views from Folder."""
    sets = [entry for entry in images if isinstance(entry, dict)]
    if not sets:
        return collect_images(images, masks=usable_masks(masks), model=loaded, **size)
    if len(images) > 1:
        raise ValueError(f"images takes one set of views, or images; got {len(images)} inputs; connect one set alone.")
    return ImageSet(**sets[0])


def usable_masks(masks: list | None) -> list | None:
    """None for the empty 64 x 64 masks that ComfyUI makes for images without transparency."""
    if not masks or all(tuple(mask.shape[-2:]) == (64, 64) and not mask.any() for mask in masks):
        return None
    return masks


def activation_bytes(loaded: LoadedModel, views: ImageSet) -> int:
    """Rough memory beside the weights, so that ComfyUI makes room: kept tokens of four layers and the dense heads."""
    frames, height, width = views.images.shape[:3]
    encoder = loaded.model.config.encoder
    tokens = frames * (height * width // encoder.patch_size**2 + 5)
    return tokens * encoder.width * 4 * 24 + frames * height * width * 4 * 24


def to_image(pictures: Any) -> torch.Tensor:
    """8-bit pictures (N, H, W, 3) as an IMAGE."""
    return torch.from_numpy(pictures).float() / 255


def bar() -> Any:
    """A progress callback for ComfyUI; it raises when the user cancels."""
    bars: dict[str, Any] = {}

    def progress(stage: str, done: int, total: int) -> None:
        management.throw_exception_if_processing_interrupted()
        if stage not in bars:
            bars[stage] = comfy.utils.ProgressBar(total)
        bars[stage].update_absolute(done, total)

    return progress
