"""Figures of attention itself: the matrix of a layer, one patch in all frames, and what layers have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...models.attention import GlobalAttention, TokenLayout
from ...models.attention_probe import AttentionProbe
from ...models.attention_statistics import KINDS, SHARES, AttentionStatistics, LayerStatistics
from ...models.checkpoints import LoadedModel
from ..style import HEAT, MARKERS, PAGE_IN, Plot, colour, new_figure, style

KIND_NAMES = {
    "S-S": "special to special",
    "S-P": "special to patch",
    "P-S": "patch to special",
    "P-P": "patch to patch",
}
MATRIX_DECADES = 3.5  # range of the colours


@torch.inference_mode()
def watch_pass(loaded: LoadedModel, images: Tensor, attention: GlobalAttention) -> TokenLayout:
    """One pass over images (N, 3, H, W) with `attention` looking on; the layout of the tokens that it saw."""
    seen: list[TokenLayout] = []

    def looking(query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int):
        if not seen:
            seen.append(layout)
        return attention(query, key, value, layout, layer)

    device = next(loaded.model.parameters()).device
    options = loaded.network.options(depth=False)
    loaded.model(images.to(device), global_attention=looking, **options)
    return seen[0]


def attention_statistics(
    loaded: LoadedModel, images: Tensor, query_blocks: int | None = 32, bins: int = 360
) -> tuple[dict[int, LayerStatistics], TokenLayout]:
    """Statistics of every global layer for one scene."""
    watch = AttentionStatistics(query_blocks=query_blocks, bins=bins)
    layout = watch_pass(loaded, images, watch)
    return watch.layers_found, layout


def matrix_figure(found: LayerStatistics, layout: TokenLayout, layer: int, conditions: str) -> Plot:
    """The attention of all tokens to all tokens, and of special tokens to special tokens."""
    with style():
        figure, (left, right) = new_figure(PAGE_IN, 3.6, 1, 2, width_ratios=(1.15, 1))
        uniform = 1 / found.tokens
        relative = np.ma.masked_invalid(np.log10(np.maximum(found.matrix.numpy() / uniform, 1e-6)))
        top = float(np.ceil(relative.max()))
        shown = left.imshow(relative, cmap=HEAT, vmin=top - MATRIX_DECADES, vmax=top, interpolation="nearest")
        left.set_facecolor("#d8d8d8")  # queries that were not taken
        stripes = np.flatnonzero(found.special_bins)
        named = stripes[:: max(1, len(stripes) // 8)]
        frames = [
            str(round(n * layout.frames / len(stripes))) for n in range(0, len(stripes), max(1, len(stripes) // 8))
        ]
        for axis in (left.xaxis, left.yaxis):
            axis.set_ticks(named, frames)
            axis.set_ticks(stripes, minor=True)
        left.tick_params(which="both", length=4, color="#d55e00", width=1.2)
        left.set(xlabel="keys, by frame; ticks: special tokens", ylabel="queries, by frame")
        left.set_title(f"all tokens, layer {layer}, mean of heads")
        left.grid(False)
        bar = figure.colorbar(shown, ax=left, shrink=0.85)
        bar.set_label("log10 of the weight over that of uniform attention")
        special = found.special.numpy()
        shown = right.imshow(special, cmap=HEAT, vmin=0, vmax=max(float(special.max()), 1e-9), interpolation="nearest")
        right.set_title("special tokens only")
        right.set(xlabel=f"keys, {layout.special} a frame", ylabel="queries")
        right.grid(False)
        figure.colorbar(shown, ax=right, shrink=0.85).set_label("weight")
    rows = "all" if found.queries == found.tokens else f"{found.queries:,} of {found.tokens:,}"
    caption = (
        f"Attention matrix of global layer {layer}, softmax weights averaged over heads and over the tokens of a cell; "
        f"{rows} query rows computed exactly. Every frame begins with {layout.special} special tokens, which draw the "
        f"columns at the ticks. Right: special tokens among themselves. {conditions}"
    )
    return Plot(figure, f"attention-matrix-layer-{layer}", caption)


def patch_figure(
    loaded: LoadedModel, images: Tensor, patch: tuple[int, int, int], layer: int, conditions: str, most: int = 8
) -> Plot:
    """Where one patch (frame, row, column) looks, drawn over up to `most` frames."""
    probe = AttentionProbe(*patch, {layer})
    watch_pass(loaded, images, probe)
    weights = probe.rows[layer].patches.mean(0).cpu().numpy()  # (N, h, w)
    special = float(probe.rows[layer].special_mass.mean())
    shown = sorted({patch[0], *np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int).tolist()})
    shown = [n for n in shown if n == patch[0]] + [n for n in shown if n != patch[0]]
    shown = shown[:most]
    height, width = images.shape[-2:]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    with style():
        figure, axes = new_figure(
            PAGE_IN, rows * PAGE_IN / columns * height / width * 0.95 + 0.45, rows, columns, squeeze=False
        )
        top = float(np.quantile(weights, 0.998))
        for axis, frame in zip(axes.flat, shown, strict=False):
            grey = images[frame].mean(0).cpu().numpy()
            axis.imshow(grey, cmap="gray", vmin=0, vmax=1.25, extent=(0, width, height, 0))
            glow = axis.imshow(
                weights[frame],
                cmap=HEAT,
                vmin=0,
                vmax=top,
                alpha=np.clip(2 * weights[frame] / max(top, 1e-12), 0, 0.9),
                extent=(0, width, height, 0),
                interpolation="nearest",
            )
            axis.set_title(f"frame {frame}" + (" (query)" if frame == patch[0] else ""))
            axis.set(xticks=[], yticks=[])
            if frame == patch[0]:
                step_y, step_x = height / weights.shape[1], width / weights.shape[2]
                place = ((patch[2] + 0.5) * step_x, (patch[1] + 0.5) * step_y)
                axis.plot(*place, "s", mfc="none", mec="#3cff78", ms=8, mew=1.5)
        for axis in axes.flat[len(shown) :]:
            axis.set_visible(False)
        figure.colorbar(glow, ax=axes, shrink=0.7, pad=0.01).set_label("attention")
    caption = (
        f"Attention of one patch (green square: frame {patch[0]}, row {patch[1]}, column {patch[2]}) in global layer "
        f"{layer}, exact, mean of heads; {100 * special:.0f} % of it goes to special tokens. {conditions}"
    )
    return Plot(figure, f"attention-of-a-patch-layer-{layer}", caption)


def best_patch(images: Tensor, patch_size: int) -> tuple[int, int, int]:
    """A patch of the first frame near its middle with much texture, so that it has something to find."""
    grey = images[0].mean(0)
    rows, columns = grey.shape[0] // patch_size, grey.shape[1] // patch_size
    patches = grey[: rows * patch_size, : columns * patch_size].unfold(0, patch_size, patch_size)
    spread = patches.unfold(1, patch_size, patch_size).flatten(2).std(-1)  # (h, w)
    inner = torch.zeros_like(spread)
    inner[rows // 4 : -(rows // 4) or None, columns // 4 : -(columns // 4) or None] = 1
    at = int((spread * inner).argmax())
    return 0, at // columns, at % columns


def layers_figure(found: Mapping[int, LayerStatistics], conditions: str) -> Plot:
    """Mean and maximum weight of each kind of pair, and where mass goes, by layer."""
    layers = sorted(found)
    with style():
        figure, axes = new_figure(PAGE_IN, 2.4, 1, 3)
        for axis, which, title in zip(
            axes,
            ("mean", "maximum", "mass"),
            ("mean weight / uniform", "maximum weight", "share of a query's attention"),
            strict=True,
        ):
            for number, kind in enumerate(KINDS):
                scale = found[layers[0]].tokens if which == "mean" else 1
                values = [getattr(found[layer], which)[kind] * scale for layer in layers]
                axis.plot(layers, values, MARKERS[number] + "-", color=colour(kind), label=KIND_NAMES[kind], ms=3.5)
            axis.set(title=title, xlabel="global layer")
            if which != "mass":
                axis.set_yscale("log")
            else:
                axis.set_ylim(0, 1.02)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    caption = (
        "Softmax weights by layer and kind of pair (query to key). Left: the mean weight, 1 is uniform attention. "
        f"Middle: the largest of any head. Right: where a query's attention goes. {rows_text(found)} {conditions}"
    )
    return Plot(figure, "attention-by-layer", caption)


def mass_figure(
    found: Mapping[int, LayerStatistics], conditions: str, shares: Sequence[float] = SHARES, block: str = "128 x 64"
) -> Plot:
    """How much of patch-to-patch attention the best blocks hold, by layer."""
    layers = sorted(found)
    with style():
        figure, axes = new_figure(PAGE_IN, 2.4, 1, 2, sharey=True)
        tints = ("#004a75", "#0072b2", "#56b4e9", "#a6d4ef")
        for axis, which, title in zip(
            axes,
            ("best_mass", "pooled_mass"),
            ("chosen by true mass (upper limit)", "chosen by mean q . mean k"),
            strict=True,
        ):
            for place, share in enumerate(shares):
                values = [getattr(found[layer], which)[place] for layer in layers]
                axis.plot(layers, values, MARKERS[place] + "-", color=tints[place], label=f"{100 * share:g} %", ms=3.5)
                axis.axhline(share, color=tints[place], lw=0.8, ls=":")
            axis.set(title=title, xlabel="global layer", ylim=(0, 1.02))
        axes[0].set_ylabel("share of attention held")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", title="blocks kept")
    caption = (
        f"Share of patch-to-patch attention in the best of {found[layers[0]].key_blocks} key blocks ({block} tokens; "
        "at least one), chosen for each query block and head. "
        f"Dotted: what random blocks hold. {rows_text(found)} {conditions}"
    )
    return Plot(figure, "attention-in-best-blocks", caption)


def rows_text(found: Mapping[int, LayerStatistics]) -> str:
    """How exact the statistics are."""
    one = next(iter(found.values()))
    if one.queries == one.tokens:
        return f"All {one.tokens:,} queries."
    return f"{one.queries:,} of {one.tokens:,} queries, evenly spread, each with its exact row."
