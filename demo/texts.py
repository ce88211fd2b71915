"""Words for people: what controls are called, what methods cost and gain, what models are."""

from pathlib import Path

from ..models.catalog import CHECKPOINTS, find_checkpoint
from ..models.sparse import PRESETS
from ..nodes import parameters

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
TOKENS_OF_A_PHOTO = 1041  # 518 x 392 pixels
FORMATS = {
    "ply": "PLY: points, for MeshLab, CloudCompare, Blender",
    "glb": "GLB: points and cameras, with the workflow inside",
    "colmap": "COLMAP zip: for Gaussian splatting",
    "npz": "NPZ: everything as arrays",
    "depth": "Depth maps zip",
    "preview": "Pictures zip",
}


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


def model_text(name: str, folder: Path) -> str:
    """Licence, size and whether a model is on this computer."""
    known = CHECKPOINTS.get(name)
    if known is None:
        return "A file of yours; its licence is its owner's."
    size = known.size_bytes or 4 * known.parameters
    size = f"{size / 1e9:.1f} GB" if size > 1e9 else f"{size / 1e6:.0f} MB"
    use = "commercial use allowed" if known.commercial_use else "<b>non-commercial use only</b>"
    here = "on this computer" if is_here(name, folder) else "<b>not on this computer yet</b>"
    note = " Its owner asks you to accept the licence first." if known.gated else ""
    return f"{known.licence}, {use}; {size}, {here}.{note}"


def is_here(name: str, folder: Path) -> bool:
    """Whether a known model's file is on this computer."""
    return name not in CHECKPOINTS or find_checkpoint(CHECKPOINTS[name], folder) is not None
