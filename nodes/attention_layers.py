"""Global attention layer by layer, as pictures: the matrix of a layer, kinds of pairs, mass in the best blocks."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..models.attention_statistics import KINDS, SHARES, AttentionStatistics, LayerStatistics
from ..models.checkpoints import LoadedModel
from ..models.progress import Progress
from ..scene.pixels import to_pixels
from ..scene.preview import INK, PAPER, colorize
from .attention_map import STOPS
from .chart import Line, chart
from .interrupt import Check
from .reconstruct import watched

DECADES = 3.5  # range of the matrix' colours
MATRIX_PX = 640
STRIPE = (230, 110, 20)
KIND_COLOURS = {"S-S": (140, 61, 0), "S-P": (213, 94, 0), "P-S": (86, 180, 233), "P-P": (0, 74, 117)}
KIND_NAMES = {
    "S-S": "special to special",
    "S-P": "special to patch",
    "P-S": "patch to special",
    "P-P": "patch to patch",
}
SHARE_COLOURS = ((0, 74, 117), (0, 114, 178), (86, 180, 233), (166, 212, 239))


def attention_layers(
    model: LoadedModel,
    images: np.ndarray,
    *,
    query_blocks: int | None = 16,
    frame_chunk: int = 8,
    progress: Progress | None = None,
    check: Check | None = None,
) -> dict[int, LayerStatistics]:
    """Statistics of dense attention in every global layer for images (N, H, W, 3) uint8, in one pass.

    query_blocks: at most so many blocks of 128 patch queries are looked at, evenly spread; None takes all of them.
    """
    watch = AttentionStatistics(query_blocks=query_blocks)
    options = model.network.options(depth=False)
    with torch.inference_mode(), watched(model, check, None):
        pixels = to_pixels(images, next(model.model.parameters()).device)
        model.model(pixels, frame_chunk=frame_chunk, global_attention=watch, progress=progress, **options)
    return watch.layers_found


def matrix_picture(model: LoadedModel, found: Mapping[int, LayerStatistics], layer: int | None = None) -> np.ndarray:
    """The attention matrix of a layer (None: two thirds of the way) as a picture (H, W, 3) uint8.

    Colours are logarithms, marks at the sides are the special tokens, grey rows were not looked at.
    """
    layers = model.network.global_layers
    layer = int(2 / 3 * layers) if layer is None else layer
    if layer not in found:
        raise ValueError(f"layer must be from 0 to {layers - 1} for this model, got {layer}.")
    one = found[layer]
    relative = np.log10(np.maximum(one.matrix.numpy() * one.tokens, 1e-9))  # 0 is uniform attention
    top = float(np.ceil(np.nanmax(relative)))
    colours = colorize((relative - top + DECADES) / DECADES, STOPS)
    colours[np.isnan(relative)] = (190, 190, 190)
    step = max(1, MATRIX_PX // len(colours))
    side, left, above = step * len(colours), 30, 40
    sheet = Image.new("RGB", (max(left + side + 16, 430), above + side + 34), PAPER)
    sheet.paste(Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST), (left, above))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((left, 10), f"Attention of layer {layer}: queries down, keys across", INK, font)
    draw.text((left, above + side + 12), f"{one.queries:,} of {one.tokens:,} rows; marks: special tokens", INK, font)
    for place in np.flatnonzero(one.special_bins):
        at = int(place) * step
        draw.rectangle((left - 9, above + at, left - 3, above + at + step - 1), STRIPE)
        draw.rectangle((left + at, above + side + 3, left + at + step - 1, above + side + 9), STRIPE)
    return np.array(sheet)


def kinds_picture(found: Mapping[int, LayerStatistics]) -> np.ndarray:
    """Mean and largest weights of each kind of pair by layer, one above the other, (H, W, 3) uint8."""
    layers = sorted(found)
    means = [line(kind, [found[n].mean[kind] * found[n].tokens for n in layers]) for kind in KINDS]
    largest = [line(kind, [found[n].maximum[kind] for n in layers]) for kind in KINDS]
    return np.concatenate(
        [
            chart("Mean weight, 1 is uniform attention", layers, means, logarithmic=True),
            chart("Largest weight of any head", layers, largest, logarithmic=True),
        ]
    )


def blocks_picture(found: Mapping[int, LayerStatistics], shares: Sequence[float] = SHARES) -> np.ndarray:
    """How much of patch-to-patch attention the best key blocks hold, by layer, (H, W, 3) uint8."""
    layers = sorted(found)
    lines = [
        Line(f"best {100 * share:g} %", tint, [100 * found[n].best_mass[place] for n in layers])
        for place, (share, tint) in enumerate(zip(shares, SHARE_COLOURS, strict=True))
    ]
    return chart("Attention in the best key blocks, %", layers, lines, top=100.0)


def line(kind: str, values: Sequence[float]) -> Line:
    """One kind of pair."""
    return Line(KIND_NAMES[kind], KIND_COLOURS[kind], values)
