"""Export Point Cloud, Export COLMAP, Depth Maps, Cameras."""

from typing import Any

from comfy_api.latest import io

from .. import parameters
from ..graph import cameras, maps, output
from .host import run
from .inputs import CATEGORY, Extrinsics, Geometry, Intrinsics, Points, Scene, named

FOLDER_HELP = "The new folder, as a path."


class ExportPointCloud(io.ComfyNode):
    """The points as files, in a new folder of ComfyUI's output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        on = ("ply", "glb")
        return io.Schema(
            node_id="ManyView_ExportPointCloud",
            display_name="Export Point Cloud: PLY, GLB (multi-view)",
            category=CATEGORY,
            description="Writes PLY, GLB with cameras and this workflow inside, NumPy arrays or pictures into a new "
            "numbered folder. Nothing is overwritten.",
            search_aliases=["manyview", "ply", "glb", "save ply", "save glb", "save point cloud", "blender"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="From Sparse VGGT Inference."),
                prefix_input("manyview/scene"),
                *(
                    io.Boolean.Input(name, default=name in on, tooltip=f"Write {parameters.EXPORT_FORMATS[name]}.")
                    for name in output.POINT_FORMATS
                ),
                *named("cameras", table=parameters.EXPORT),
                points_input(),
            ],
            outputs=[io.String.Output(display_name="folder", tooltip=FOLDER_HELP)],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_ExportPointCloud", cls, inputs)


class ExportCOLMAP(io.ComfyNode):
    """A COLMAP project for trainers of Gaussian splats."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_ExportCOLMAP",
            display_name="Export COLMAP (multi-view)",
            category=CATEGORY,
            description="Writes sparse/0 and images, as COLMAP and Gaussian splatting trainers read them, with cameras "
            "that fit the original photos.",
            search_aliases=[
                "manyview",
                "colmap",
                "gaussian splat",
                "gaussian splatting",
                "3dgs",
                "nerf",
                "save cameras",
            ],
            is_input_list=True,  # so that a list of original images is one set
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="From Sparse VGGT Inference."),
                prefix_input("manyview/colmap"),
                *named("colmap_text", "colmap_points", table=parameters.EXPORT),
                points_input(),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="The images that Sparse VGGT Inference got, if they came from elsewhere than Load Images: "
                    "they are then written at full resolution. Photos and videos of Load Images need no connection.",
                ),
            ],
            outputs=[io.String.Output(display_name="folder", tooltip="The folder that holds sparse/ and images/.")],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_ExportCOLMAP", cls, inputs)


class DepthMaps(io.ComfyNode):
    """Depth and confidence of every view for other nodes, and as files."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_DepthMaps",
            display_name="Depth Maps (multi-view)",
            category=CATEGORY,
            description="Depth of every view in the form that other nodes want: pictures, masks, core's geometry "
            "packet for meshes; as 16-bit PNG, EXR or NumPy files too.",
            search_aliases=["manyview", "depth", "controlnet depth", "save depth", "exr", "mesh"],
            is_output_node=True,
            inputs=[
                Scene.Input("scene", tooltip="From Sparse VGGT Inference."),
                io.Combo.Input(
                    "style",
                    options=list(maps.STYLES),
                    default="near is white",
                    tooltip=f"How depth is shown. {listed(maps.STYLES)}",
                ),
                io.Combo.Input(
                    "scale",
                    options=list(maps.SCALES),
                    default="whole scene",
                    tooltip="One range of depth for the whole scene (steady in a video), or one for each view.",
                ),
                io.DynamicCombo.Input(
                    "files",
                    options=[
                        io.DynamicCombo.Option(maps.NO_FILES, []),
                        *(io.DynamicCombo.Option(name, [prefix_input("manyview/depth")]) for name in maps.FILE_FORMATS),
                    ],
                    tooltip=f"Write one file a view into a new folder. {listed(maps.FILE_FORMATS)}",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="depth", tooltip="Depth of every view."),
                io.Image.Output(display_name="confidence", tooltip="Confidence, 0 to 1; in colours its rank."),
                io.Mask.Output(display_name="masks", tooltip="White where a view has a depth that may be used."),
                Geometry.Output(
                    display_name="geometry",
                    tooltip="For core's Render Depth Anything 3 and Convert DA3 Geometry to Mesh.",
                ),
                io.String.Output(display_name="folder", tooltip="The new folder; nothing if no files were written."),
            ],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_DepthMaps", cls, inputs)


class Cameras(io.ComfyNode):
    """Cameras as matrices, as text, and for ComfyUI's own viewer."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ManyView_Cameras",
            display_name="Cameras (multi-view)",
            category=CATEGORY,
            description="Cameras of all views as matrices and JSON, and one of them for ComfyUI's 3D viewers.",
            search_aliases=[
                "manyview",
                "camera pose",
                "extrinsics",
                "intrinsics",
                "camera info",
                "trajectory",
                "field of view",
            ],
            inputs=[
                Scene.Input("scene", tooltip="From Sparse VGGT Inference."),
                io.Int.Input("frame", default=0, min=0, max=100_000, tooltip="The view of camera_info, from 0."),
                io.Combo.Input(
                    "coordinates",
                    options=[cameras.VIEWER, cameras.UNITS],
                    default=cameras.VIEWER,
                    tooltip="ComfyUI's viewer: camera_info fits Preview Point Cloud, which centres and scales what it "
                    "shows. scene units: as the points are.",
                ),
                Points.Input("points", optional=True, tooltip="The points that the viewer shows, from Point Cloud."),
            ],
            outputs=[
                Extrinsics.Output(display_name="extrinsics", tooltip="(N, 4, 4) world to camera, OpenCV axes."),
                Intrinsics.Output(display_name="intrinsics", tooltip="(N, 3, 3) in pixels of the depth images."),
                io.Load3DCamera.Output(display_name="camera_info", tooltip="For Preview Point Cloud and the like."),
                io.Float.Output(display_name="fov", tooltip="Vertical field of view of that view in degrees."),
                io.String.Output(display_name="json", tooltip="All cameras, at the resolution of the original images."),
            ],
        )

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        return run("ManyView_Cameras", cls, inputs)


def prefix_input(default: str) -> Any:
    """Where a node's new folder lies below the output folder."""
    return io.String.Input(
        "filename_prefix",
        default=default,
        tooltip="Name of the new folder below the output folder; a number is added. Parts such as %year% and %month% "
        "are filled in.",
    )


def points_input() -> Any:
    """The points that are written."""
    return Points.Input(
        "points", optional=True, tooltip="From Point Cloud. Not connected: the points that usual filters leave."
    )


def listed(table: dict[str, str]) -> str:
    """Choices and what they mean, for a tooltip."""
    return "; ".join(f"{name}: {text}" for name, text in table.items()) + "."
