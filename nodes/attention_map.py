"""Where one patch of one view looks, in all views: a global layer's attention, as in the paper's figure."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..models.attention import GlobalAttention, TokenLayout, dense_attention
from ..models.attention_probe import AttentionProbe
from ..models.checkpoints import LoadedModel
from ..models.progress import Progress
from ..models.sparse import BlockSparse, SparsityConfig
from ..scene.pixels import to_pixels
from ..scene.preview import colorize
from .interrupt import Check
from .reconstruct import watched

STOPS = ((0, 0, 0), (70, 10, 90), (170, 30, 80), (240, 100, 40), (255, 200, 60), (255, 255, 220))
MARK = (60, 255, 120)
DEPTH_OF_AUTO = 2 / 3  # of the layers: where VGGT's patches look at their counterparts most clearly


class _Found(Exception):
    """The layer is done; the rest of the pass is not needed."""


def attention_map(
    model: LoadedModel,
    images: np.ndarray,
    *,
    frame: int = 0,
    x: float = 0.5,
    y: float = 0.5,
    layer: int | None = None,
    sparsity: SparsityConfig | None = None,
    frame_chunk: int = 8,
    progress: Progress | None = None,
    check: Check | None = None,
) -> np.ndarray:
    """Attention (N, h, w) float32 of one patch to every patch of images (N, H, W, 3) uint8, the mean of all heads.

    frame, x, y: the patch: a view, from 0, and a place in it from 0 (left, top) to 1. layer: a global layer, from 0;
    None takes one two thirds of the way. sparsity: attention as that computes it; None is dense. The sum over all
    patches is 1 less what special tokens get. The pass ends with the layer.
    """
    layers = model.network.global_layers
    layer = int(DEPTH_OF_AUTO * layers) if layer is None else layer
    if not 0 <= layer < layers:
        raise ValueError(f"layer must be from 0 to {layers - 1} for this model, got {layer}.")
    if not (0 <= x <= 1 and 0 <= y <= 1 and 0 <= frame < len(images)):
        raise ValueError(
            f"frame must be from 0 to {len(images) - 1}, x and y from 0 to 1, got {frame}, {x:g} and {y:g}."
        )
    row, column = patch_at(model, images.shape[1:3], x, y)
    attention: GlobalAttention = dense_attention if sparsity is None else BlockSparse(sparsity)
    probe = AttentionProbe(frame, row, column, {layer}, attention)
    with torch.inference_mode(), watched(model, check, None):
        pixels = to_pixels(images, next(model.model.parameters()).device)
        with suppress(_Found):
            model.model(pixels, frame_chunk=frame_chunk, global_attention=until(probe, layer), progress=progress)
    return probe.rows[layer].patches.mean(0).cpu().numpy()


def patch_at(model: LoadedModel, size: tuple[int, int], x: float, y: float) -> tuple[int, int]:
    """Row and column of the patch at a place (0..1) of an image (H, W)."""
    patch = model.network.patch_size
    rows, columns = size[0] // patch, size[1] // patch
    return min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)


def until(probe: AttentionProbe, last: int) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """The probe's attention, which ends the pass after the layer `last`."""

    def attention(
        query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        result = probe(query, key, value, layout, layer)
        if layer == last:
            raise _Found
        return result

    return attention


def attention_pictures(images: np.ndarray, attention: np.ndarray, frame: int, x: float, y: float) -> np.ndarray:
    """Pictures (N, H, W, 3) uint8: the images darkened, with the attention (N, h, w) over them and the patch marked."""
    height, width = images.shape[1:3]
    rows, columns = attention.shape[1:]
    strength = np.clip(attention / max(float(np.quantile(attention, 0.998)), 1e-12), 0, 1) ** 0.5
    pictures = []
    for image, values in zip(images, strength, strict=True):
        smooth = Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        share = np.clip(np.asarray(smooth), 0, 1)
        grey = image.mean(axis=-1, keepdims=True) * 0.55
        glow = colorize(share, STOPS).astype(np.float32)
        pictures.append(grey * (1 - share[..., None]) + glow * (0.25 + 0.75 * share[..., None]))
    result = np.clip(np.stack(pictures), 0, 255).astype(np.uint8)
    marked = Image.fromarray(result[frame])
    left, top = min(int(x * columns), columns - 1) * width / columns, min(int(y * rows), rows - 1) * height / rows
    box = (left - 2, top - 2, left + width / columns + 1, top + height / rows + 1)
    ImageDraw.Draw(marked).rectangle(box, outline=MARK, width=2)
    result[frame] = np.asarray(marked)
    return result
