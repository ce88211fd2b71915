"""Words for people: what controls are called, what methods cost and gain, what models are, what goes on."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..models.catalog import CHECKPOINTS, find_checkpoint
from ..models.sparse import PRESETS
from ..nodes import parameters
from . import settings as names

LABELS = {
    "resize": "Fitting",
    "resolution": "Longer side (pixels)",
    "order": "Order of a folder",
    "start": "Skip at first",
    "every": "Every n-th",
    "limit": "At most (photos or frames)",
    "selection": "Which of them",
    "frame_rate": "Frames a second of video",
    "strict": "Stop at bad photos",
    "precision": "Number format",
    "method": "Method",
    "method.rho": "rho: least share left out",
    "method.tau": "tau: attention kept",
    "method.dense_layers": "Layers that stay dense",
    "method.min_tokens": "Dense below (tokens)",
    "method.schedule": "Schedule",
    "point_source": "Points from",
    "frame_chunk": "Frames at a time",
    "backend": "Computed by",
    "skip_masked": "Attention skips what masks leave out",
    "confidence_percentile": "Hide the least certain (%)",
    "confidence_threshold": "Least confidence",
    "edge_filter": "Depth edges",
    "use_masks": "Use masks",
    "frames": "Frames",
    "max_points": "Most points",
    "reduce": "Thinning",
    "outlier_filter": "Remove far outliers",
    "sky_filter": "Remove sky",
    "backdrop_filter": "Remove a plain background",
    "seed": "Seed",
    "cameras": "Cameras in the GLB",
    "colmap_text": "COLMAP as text too",
    "colmap_points": "Most points for COLMAP",
    "depth_format": "Depth maps as",
}
METHODS = {
    "dense": "All of attention, as the model was published: the slowest with many photos, and the yardstick.",
    "quality": "Leaves out the blocks of attention that matter least: closest to dense, faster with many photos.",
    "balanced": "Leaves out more: faster still, small differences in depth.",
    "fast": "Leaves out most: fastest with hundreds of photos, differences can be seen.",
    "long": "For 300 photos and more: time grows with their number, not its square; differences can be seen.",
    "paper-s25": "The published rule at its mildest setting.",
    "paper-s50": "The published rule at its middle setting.",
    "paper-s75": "The published rule at its strongest setting.",
    "custom": "Your own shares: a larger rho or a smaller tau leaves out more, which is faster and less exact.",
    "file": "A schedule for each layer, made by the calibrate command.",
}
DOING = {
    names.MODEL: "Loading the model",
    names.IMAGES: "Reading the photos",
    names.RECONSTRUCT: "Reconstructing",
    names.POINTS: "Choosing the points",
    names.PREVIEW: "Preparing the 3D view",
    names.EXPORT: "Writing files",
    names.COLMAP: "Writing files",
    names.DEPTH: "Writing depth maps",
    names.COMPARE: "Comparing",
}
STAGES = {
    "load": "Loading the model",
    "images": "Reading the photos",
    "video": "Reading the video",
    "counting video frames": "Reading the video",
    "encoder": "Looking at each photo",
    "aggregator": "Comparing the photos",
    "decoder": "Comparing the photos",
    "camera": "Finding the cameras",
    "depth": "Finding depth",
    "points": "Finding points",
    "heads": "Finding depth",
    "scene": "Putting the scene together",
    "filtering": "Choosing the points",
    "thumbnails": "Preparing the 3D view",
    "previews": "Drawing pictures",
    "flight": "Drawing the fly-through",
}
NUMBERS = re.compile(r" \(node [^)]*\)")
NODE = re.compile(r"\b[Nn]ode \S+ \((.*?)\)(?=[\s:;,.)]|$)")
POSIX_PATH = re.compile(r"(?<![\w:/.~<])/(?:[^\s/:'\",;]+/)+([^\s/:'\",;]+)")
WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\(?:[^\\/:*?\"<>|\r\n]+\\)*([^\\/:*?\"<>|\s]+)")
TOKENS_OF_A_PHOTO = 1041  # 518 x 392 pixels
FORMATS = {
    "ply": "PLY: points, for MeshLab, CloudCompare, Blender",
    "glb": "GLB: points and cameras, with the workflow inside",
    "colmap": "COLMAP zip: for Gaussian splatting",
    "npz": "NPZ: everything as arrays",
    "depth": "Depth maps zip",
    "preview": "Pictures zip",
}


def doing(class_type: str) -> str:
    """What a node does while it runs; "" for one that nobody waits for."""
    return DOING.get(class_type, "")


def stage_text(stage: str) -> str:
    """What goes on, of a stage as the work itself calls it."""
    return STAGES.get(stage, stage)


def plain(text: str, *folders: Path) -> str:
    """A message without ids of nodes and without folders of this computer; files keep their names.

    folders: those that are known, whose own names may hold anything, blanks too.
    """
    for folder in sorted(map(str, folders), key=len, reverse=True):
        text = text.replace(f"{folder}/", "/_/").replace(f"{folder}\\", "Z:\\_\\").replace(folder, Path(folder).name)
    for path in (POSIX_PATH, WINDOWS_PATH):
        text = path.sub(r"\1", text)
    return NUMBERS.sub("", NODE.sub(r"\1", text))


def label(name: str) -> str:
    """What a control is called."""
    return LABELS.get(name) or name.rpartition(".")[2].replace("_", " ").capitalize()


def help_for(name: str) -> str:
    """What a control does, from the one table of options."""
    plain = name.rpartition(".")[2]
    found = next((each for table in parameters.TABLES.values() for each in table if each.name == plain), None)
    if found is None:
        return ""
    return found.tooltip + (" 0: not set." if found.default is None and found.kind in ("int", "float") else "")


def method_text(method: str) -> str:
    """What a method costs and gains, in a sentence."""
    text = METHODS.get(method, "")
    least = PRESETS[method].min_tokens if method in PRESETS else 0
    if not least:
        return text
    photos = round(least / TOKENS_OF_A_PHOTO)
    return (
        f"{text} Below {least:,} tokens (about {photos} photos of 518 pixels) all is computed, which is faster there."
    )


def sparsity_text(values: Mapping[str, Any]) -> str:
    """A method with what was set beside it, shortly: "custom (rho 0.5)"."""
    more = [
        f"{name.rpartition('.')[2].replace('_', ' ')} {value}"
        for name, value in values.items()
        if "." in name and value
    ]
    return f"{values['method']} ({', '.join(more)})" if more else str(values["method"])


def model_text(name: str, folder: Path) -> str:
    """Licence, size and whether a model is on this computer."""
    known = CHECKPOINTS.get(name)
    if known is None:
        return "A file of yours; its licence is its owner's."
    size = known.download_bytes
    size = f"{size / 1e9:.1f} GB" if size > 1e9 else f"{size / 1e6:.0f} MB"
    use = "commercial use allowed" if known.commercial_use else "<b>non-commercial use only</b>"
    here = "on this computer" if is_here(name, folder) else "<b>not on this computer yet</b>"
    note = " Its owner asks you to accept the licence first." if known.gated else ""
    return f"{known.licence}, {use}; {size}, {here}.{note}"


def is_here(name: str, folder: Path) -> bool:
    """Whether a known model's file is on this computer."""
    return name not in CHECKPOINTS or find_checkpoint(CHECKPOINTS[name], folder) is not None
