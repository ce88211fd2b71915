"""A picture of how much of global attention was computed: a row for each layer, a column for each head."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..scene.preview import INK, PAPER, colorize

STOPS = ((236, 240, 245), (164, 199, 226), (84, 148, 196), (28, 92, 152), (10, 44, 92))  # little is light, all is dark
CELL, GAP, LEFT, TOP, RIGHT, BOTTOM = 26, 2, 64, 66, 150, 46
BAR = 92


def density_picture(density: np.ndarray, title: str = "Share of query-key pairs computed") -> np.ndarray:
    """Picture (H, W, 3) uint8 of densities (layers, heads) in 0..1, with the mean of each layer as a bar."""
    layers, heads = density.shape
    step = CELL + GAP
    width, height = max(LEFT + heads * step + RIGHT, 420), TOP + layers * step + BOTTOM
    sheet = Image.new("RGB", (width, height), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((LEFT, 12), f"{title}: {100 * density.mean():.1f} %", INK, font)
    draw.text((LEFT, 36), "heads", INK, font)
    bars = LEFT + max(heads * step, 60) + 10
    draw.text((bars, 36), "mean", INK, font)
    colours = colorize(density, STOPS)
    for layer in range(layers):
        top = TOP + layer * step
        draw.text((LEFT - 12, top + CELL / 2), f"layer {layer}" if layer == 0 else str(layer), INK, font, anchor="rm")
        for head in range(heads):
            left = LEFT + head * step
            draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), tuple(colours[layer, head].tolist()))
        mean = float(density[layer].mean())
        draw.rectangle((bars, top + 5, bars + BAR * mean, top + CELL - 6), STOPS[2])
        draw.text((bars + BAR * mean + 4, top + CELL / 2), f"{100 * mean:.0f} %", INK, font, anchor="lm")
    _scale(draw, font, LEFT, height - BOTTOM + 12)
    return np.array(sheet)


def _scale(draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont, left: int, top: int) -> None:
    """What the colours mean."""
    for place, colour in enumerate(colorize(np.linspace(0, 1, 160), STOPS)):
        draw.line((left + place, top, left + place, top + 10), tuple(colour.tolist()))
    draw.text((left - 6, top + 5), "0", INK, font, anchor="rm")
    draw.text((left + 168, top + 5), "100 %", INK, font, anchor="lm")
