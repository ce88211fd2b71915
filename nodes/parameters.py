"""The one table of options: name, default, range and help, from which command line and ComfyUI inputs are made.

Each tuple belongs to the function of the same name in this folder, whose keyword arguments have the same names and
defaults (tests/nodes/test_parameters.py compares them).
"""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..models.catalog import CHECKPOINTS

F = TypeVar("F", bound=Callable[..., Any])
Value = bool | int | float | str | None


@dataclass(frozen=True)
class Parameter:
    """One option. A `default` of None means "not set"; number inputs of a graph show that as 0."""

    name: str
    kind: str  # "bool", "int", "float", "choice" or "text"
    default: Value
    tooltip: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    advanced: bool = False
    step: float | None = None  # between the values that a number input of a graph offers; None: 1, or 0.01 of a float
    appended: bool = False  # graphs saved before it was there lack it


BACKEND_CHOICES = ("auto", "hopper", "flash-attn-4", "triton", "block-sparse-attn", "torch", "reference")
RESIZE_CHOICES = ("keep", "crop", "pad", "square", "pi3")
SPARSITY_CHOICES = (
    "dense",
    "quality",
    "balanced",
    "fast",
    "long",
    "paper-s25",
    "paper-s50",
    "paper-s75",
    "custom",
    "file",
)
MODEL_CHOICES = tuple(CHECKPOINTS)
MODEL_LICENCES = "; ".join(f"{name}: {known.licence}, {known.use}" for name, known in CHECKPOINTS.items()) + "."
EXPORT_FORMATS = {
    "ply": "the point cloud as PLY",
    "glb": "the point cloud and the cameras as GLB",
    "colmap": "a COLMAP model with the images",
    "npz": "everything as NumPy arrays",
    "depth": "a depth map for each image",
    "preview": "pictures of depth, confidence and the cloud",
}

LOAD_IMAGES = (
    Parameter(
        "resize",
        "choice",
        "keep",
        "How images get the model's size. keep: aspect ratio kept, nothing cut off. crop, pad and square: as in VGGT's "
        "own loaders. pi3: as in Pi3's own loader, which takes about 255,000 pixels whatever the model.",
        choices=RESIZE_CHOICES,
    ),
    Parameter(
        "resolution",
        "int",
        None,
        "Longer side in pixels that the model sees, a multiple of 14. Not set: what the model was trained at.",
        minimum=56,
        maximum=4096,
        step=14,
    ),
    Parameter(
        "order",
        "choice",
        "name",
        "Order of the photos of a folder: by name (img2 before img10), or by the time they were taken. A video keeps "
        "its own.",
        choices=("name", "time"),
    ),
    Parameter("start", "int", 0, "Skip this many images or video frames at first.", minimum=0, maximum=1_000_000),
    Parameter("every", "int", 1, "Use every n-th image or video frame.", minimum=1, maximum=100_000),
    Parameter("limit", "int", None, "Use at most this many images.", minimum=1, maximum=100_000),
    Parameter(
        "selection",
        "choice",
        "first",
        "Which images stay when there are more than the limit: the first ones, or ones evenly spread over all.",
        choices=("first", "even"),
    ),
    Parameter("frame_rate", "float", None, "Video only: frames taken per second of film.", minimum=0.001, maximum=1000),
    Parameter(
        "masks",
        "text",
        None,
        "Folder of masks named like the images, or one for all; black is left out.",
        advanced=True,
    ),
    Parameter("strict", "bool", False, "Stop at the first bad image instead of going on without it.", advanced=True),
)

LOAD_MODEL = (
    Parameter(
        "model",
        "text",
        "mini",
        f"A known model ({', '.join(MODEL_CHOICES)}), or the path of a .safetensors or .pt file or of its folder.",
    ),
    Parameter(
        "precision",
        "choice",
        "auto",
        "Number format of the weights. auto: bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU.",
        choices=("auto", "float32", "bfloat16", "float16"),
    ),
    Parameter("device", "text", "auto", "auto, cpu, cuda, cuda:1, mps ...", advanced=True),
    Parameter("download", "bool", False, "Fetch the model from Hugging Face when it is not on this machine."),
    Parameter("folder", "text", None, "Folder in which model files are looked for first.", advanced=True),
)

SPARSITY = (
    Parameter(
        "method",
        "choice",
        "quality",
        "How much of global attention is computed. dense: all of it. quality, balanced, fast: ManyView's own rule, "
        "less and less. long: for 300 photos and more. paper-s25 to -s75: the published rule. custom: by rho and tau. "
        "file: by a schedule.",
        choices=SPARSITY_CHOICES,
    ),
    Parameter(
        "rho", "float", None, "custom: least share of the key blocks that is left out, 0 to 1.", minimum=0, maximum=1
    ),
    Parameter(
        "tau", "float", None, "custom: share of the predicted attention that is kept, 0 to 1.", minimum=0, maximum=1
    ),
    Parameter("dense_layers", "text", None, "custom: global layers that stay dense, such as 0,1,20-23.", advanced=True),
    Parameter(
        "min_tokens",
        "int",
        None,
        "Below so many tokens of all images together attention is dense, because sparse would not be faster. Not set: "
        "as the method says.",
        minimum=0,
        maximum=100_000_000,
        advanced=True,
    ),
    Parameter("schedule", "text", None, "file: a JSON file written by the calibrate command.", advanced=True),
)

RECONSTRUCT = (
    Parameter(
        "point_source",
        "choice",
        "auto",
        "Where 3D points come from: depth and camera, or the model's point map. auto: what the model is best at, "
        "points for pi3 and depth for the others.",
        choices=("auto", "depth", "points"),
    ),
    Parameter(
        "frame_chunk",
        "int",
        8,
        "Frames that encoder and dense heads take at a time. Smaller needs less memory; the result is the same.",
        minimum=1,
        maximum=1024,
        advanced=True,
    ),
    Parameter(
        "backend",
        "choice",
        "auto",
        "What computes sparse attention. auto: the fastest that runs here. All give the same result up to rounding.",
        choices=BACKEND_CHOICES,
        advanced=True,
    ),
    Parameter(
        "skip_masked",
        "bool",
        False,
        "With quality, balanced, fast or long: attention does not look at parts of a view that its mask leaves out, "
        "such as sky, people or the background of a turntable.",
        advanced=True,
    ),
)

POINT_CLOUD = (
    Parameter(
        "confidence_percentile",
        "float",
        10.0,
        "Leave out this share of the points, in percent, least confident first.",
        minimum=0,
        maximum=100,
    ),
    Parameter(
        "confidence_threshold",
        "float",
        None,
        "Leave out points whose confidence (0 to 1) is below this value; replaces the percentile.",
        minimum=0,
        maximum=1,
        advanced=True,
        step=0.0001,
    ),
    Parameter(
        "edge_filter",
        "float",
        0.03,
        "Leave out points at depth edges: largest relative depth jump to a neighbour pixel; 0 keeps them.",
        minimum=0,
        maximum=10,
    ),
    Parameter("use_masks", "bool", True, "Leave out what masks, transparency or padding exclude."),
    Parameter("frames", "text", None, "Frames whose points are used, counted from 0, such as 0,3,5-9.", advanced=True),
    Parameter("max_points", "int", 1_000_000, "Keep at most this many points.", minimum=1, maximum=1_000_000_000),
    Parameter(
        "reduce",
        "choice",
        "voxel",
        "How points are thinned to the maximum: evenly in space, or at random.",
        choices=("voxel", "random"),
        advanced=True,
    ),
    Parameter("outlier_filter", "bool", True, "Leave out points far away from all others."),
    Parameter("seed", "int", 0, "Seed of random thinning.", minimum=0, maximum=2**31 - 1, advanced=True),
    Parameter(
        "clip_box",
        "text",
        None,
        "Leave out points outside this box: x y z of a direction, then the least and the greatest place along it, with "
        "; between the sides, such as 1 0 0 -2 2; 0 1 0 -inf 1.5. OpenCV axes: y points down.",
        advanced=True,
        appended=True,
    ),
    Parameter(
        "sky_filter",
        "bool",
        False,
        "Leave out sky: blue, or bright and grey, even, far, and reaching the upper border of a photo.",
        appended=True,
    ),
    Parameter(
        "backdrop_filter",
        "choice",
        "none",
        "Leave out a plain black or white background that reaches the border of a photo, as product shots have.",
        choices=("none", "black", "white"),
        appended=True,
    ),
)

EXPORT = (
    Parameter(
        "depth_format", "choice", "png", "Depth maps as 16-bit PNG, 32-bit EXR or NPY.", choices=("png", "exr", "npy")
    ),
    Parameter("cameras", "bool", True, "Draw the cameras into the GLB."),
    Parameter("colmap_text", "bool", False, "Write the COLMAP model as text as well as binary."),
    Parameter(
        "colmap_points",
        "int",
        100_000,
        "Keep at most this many points in the COLMAP model, evenly in space; splat trainers start from about so many.",
        minimum=1,
        maximum=1_000_000_000,
        advanced=True,
    ),
)

SET_SCALE = (
    Parameter(
        "measured",
        "float",
        1.0,
        "A length as it measures in the scene, such as the viewer shows between two points.",
        minimum=1e-6,
        maximum=1e6,
        step=0.0001,
    ),
    Parameter("meters", "float", 1.0, "How long that really is, in metres.", minimum=1e-6, maximum=1e6, step=0.0001),
)

TABLES = {
    "load_images": LOAD_IMAGES,
    "load_model": LOAD_MODEL,
    "sparsity": SPARSITY,
    "reconstruct": RECONSTRUCT,
    "point_cloud": POINT_CLOUD,
    "export": EXPORT,
    "set_scale": SET_SCALE,
}
UNSET = frozenset(entry.name for table in TABLES.values() for entry in table if entry.default is None)
"""Options that may be left out; an input of a graph shows that as 0 or nothing."""


def documented(function: F) -> F:
    """The function with its options, their defaults and ranges in its help, from the table of its name."""
    if function.__doc__ is None:  # python -OO
        return function
    lines = ["", "Options:"]
    for one in TABLES[function.__name__]:
        lines.append(f"    {one.name} (default {one.default!r}{_range(one)})")
        lines += textwrap.wrap(one.tooltip, 100, initial_indent=" " * 8, subsequent_indent=" " * 8)
    function.__doc__ = inspect.cleandoc(function.__doc__) + "\n".join(["", *lines]) + "\n"
    return function


def _range(one: Parameter) -> str:
    if one.choices:
        return f"; one of {', '.join(one.choices)}"
    return "" if one.minimum is None else f"; {one.minimum:,} to {one.maximum:,}"
