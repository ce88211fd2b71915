"""What the core nodes look like, in the form of ComfyUI's /object_info."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...nodes.graph.host import Host

IMAGE, MASK, VIDEO, CLOUD = ("IMAGE",), ("MASK",), ("VIDEO",), ("FILE_3D_POINT_CLOUD_ANY,FILE_3D_PLY",)
WHOLE = 2**63 - 1
VIEWPORT = {
    "viewport_state": ("LOAD_3D", {"default": ""}),
    "width": ("INT", {"default": 1024, "min": 1, "max": 4096}),
    "height": ("INT", {"default": 1024, "min": 1, "max": 4096}),
}
VIEWPORT_LINKS = {"model_3d_info": ("LOAD3D_MODEL_INFO",), "camera_info": ("LOAD3D_CAMERA",)}
CLOUD_OUTPUTS = (
    ("model_3d", "FILE_3D_POINT_CLOUD_ANY"),
    ("model_3d_info", "LOAD3D_MODEL_INFO"),
    ("camera_info", "LOAD3D_CAMERA"),
    ("width", "INT"),
    ("height", "INT"),
)
VIDEO_OUTPUTS = (
    ("images", "IMAGE"),
    ("audio", "AUDIO"),
    ("fps", "FLOAT"),
    ("bit_depth", "INT"),
    ("color_space", "COMBO"),
)
CHANNELS = ["red", "green", "blue", "alpha"]


def core_definitions(host: "Host | None" = None) -> dict[str, dict[str, Any]]:
    """The nodes by id. Files are checked when a node runs, since their names may lead below the input folder."""
    upload = {"image_upload": True}
    image_mask = (("IMAGE", "IMAGE"), ("MASK", "MASK"))
    growing = {"template": {"input": {"required": {"image": IMAGE}}, "prefix": "image", "min": 1, "max": 50}}
    folder = ("COMBO", {} if host is None else {"options": _folders(host)})
    return {
        "LoadImage": _node("Load Image", {"image": ("COMBO", upload)}, image_mask),
        "LoadImageMask": _node(
            "Load Image (as Mask)",
            {"image": ("COMBO", upload), "channel": ("COMBO", {"options": ["alpha", *CHANNELS[:3]]})},
            image_mask[1:],
        ),
        "LoadImageDataSetFromFolder": _node(
            "Load Image Dataset from Folder", {"folder": folder}, (("images", "IMAGE"),), lists=True
        ),
        "LoadVideo": _node("Load Video", {"file": ("COMBO", {"video_upload": True})}, (("VIDEO", "VIDEO"),)),
        "GetVideoComponents": _node("Get Video Components", {"video": VIDEO}, VIDEO_OUTPUTS),
        "ImageBatch": _node("Batch Images", {"image1": IMAGE, "image2": IMAGE}, image_mask[:1]),
        "BatchImagesNode": _node("Batch Images", {"images": ("COMFY_AUTOGROW_V3", growing)}, image_mask[:1]),
        "ImageToMask": _node(
            "Convert Image to Mask", {"image": IMAGE, "channel": ("COMBO", {"options": CHANNELS})}, image_mask[1:]
        ),
        "MaskToImage": _node("Convert Mask to Image", {"mask": MASK}, image_mask[:1]),
        "InvertMask": _node("Invert Mask", {"mask": MASK}, image_mask[1:]),
        "PreviewImage": _node("Preview Image", {"images": IMAGE}, (("images", "IMAGE"),), output=True),
        "SaveImage": _node(
            "Save Image",
            {"images": IMAGE, "filename_prefix": ("STRING", {"default": "ComfyUI"})},
            (("images", "IMAGE"),),
            output=True,
        ),
        "PreviewPointCloud": _node(
            "Preview Point Cloud", {"model_3d": CLOUD, **VIEWPORT}, CLOUD_OUTPUTS, VIEWPORT_LINKS, output=True
        ),
        "SavePointCloud": _node(
            "Save Point Cloud",
            {"model_3d": CLOUD, "filename_prefix": ("STRING", {"default": "3d/ComfyUI"}), **VIEWPORT},
            CLOUD_OUTPUTS,
            VIEWPORT_LINKS,
            output=True,
        ),
        "PreviewAny": _node("Preview as Text", {"source": ("*",)}, (("STRING", "STRING"),), output=True),
        **{f"Primitive{name}": _primitive(name, *about) for name, about in PRIMITIVES.items()},
    }


PRIMITIVES: dict[str, tuple[str, dict[str, Any]]] = {
    "Int": ("INT", {"default": 0, "min": -WHOLE, "max": WHOLE, "control_after_generate": True}),
    "Float": ("FLOAT", {"default": 0.0, "min": -float(WHOLE), "max": float(WHOLE)}),
    "String": ("STRING", {"default": ""}),
    "StringMultiline": ("STRING", {"default": ""}),
    "Boolean": ("BOOLEAN", {"default": False}),
}


def _primitive(name: str, kind: str, about: dict[str, Any]) -> dict[str, Any]:
    return _node(name, {"value": (kind, about)}, ((kind, kind),))


def _node(
    shown: str,
    required: dict[str, Any],
    outputs: tuple[tuple[str, str], ...],
    optional: dict[str, Any] | None = None,
    *,
    output: bool = False,
    lists: bool = False,
) -> dict[str, Any]:
    return {
        "display_name": shown,
        "input": {"required": required, "optional": optional or {}},
        "output_name": [name for name, _ in outputs],
        "output": [kind for _, kind in outputs],
        "output_is_list": [lists] * len(outputs),
        "output_node": output,
    }


def _folders(host: "Host") -> list[str]:
    return [name for name in host.input_sources() if (host.input_folder / name).is_dir()]
