"""A line chart without a plotting library, for pictures that nodes show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..scene.preview import INK, PAPER

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 170, 40, 44
GRID = (228, 228, 228)


@dataclass(frozen=True)
class Line:
    """A named row of values, one for each place on the x axis."""

    name: str
    colour: tuple[int, int, int]
    values: Sequence[float]


def chart(
    title: str, places: Sequence[int], lines: Sequence[Line], *, logarithmic: bool = False, top: float | None = None
) -> np.ndarray:
    """Picture (H, W, 3) uint8 of lines over whole numbers, such as layers; `top` ends the y axis, which begins at 0.

    On a logarithmic axis values that are not above 0 are left out.
    """
    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((LEFT, 10), title, INK, font)
    values = [value for line in lines for value in line.values if not logarithmic or value > 0]
    low, high, ticks = _scale(values, logarithmic, top)
    for tick, label in ticks:
        y = _y(tick, low, high)
        draw.line((LEFT, y, WIDTH - RIGHT, y), GRID)
        draw.text((LEFT - 8, y), label, INK, font, anchor="rm")
    for place in places[:: max(1, len(places) // 8)]:
        draw.text((_x(place, places), HEIGHT - BOTTOM + 12), str(place), INK, font, anchor="mt")
    for number, line in enumerate(lines):
        points = [
            (_x(place, places), _y(math.log10(value) if logarithmic else value, low, high))
            for place, value in zip(places, line.values, strict=True)
            if not logarithmic or value > 0
        ]
        draw.line(points, line.colour, 2)
        for x, y in points:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), line.colour)
        y = TOP + 10 + 22 * number
        draw.line((WIDTH - RIGHT + 12, y, WIDTH - RIGHT + 30, y), line.colour, 3)
        draw.text((WIDTH - RIGHT + 36, y), line.name, INK, font, anchor="lm")
    return np.array(sheet)


def _scale(
    values: Sequence[float], logarithmic: bool, top: float | None
) -> tuple[float, float, list[tuple[float, str]]]:
    """Ends of the y axis (logarithms where it is logarithmic) and its ticks."""
    if logarithmic:
        low = math.floor(math.log10(min(values, default=1.0)))
        high = max(low + 1, math.ceil(math.log10(max(values, default=1.0))))
        return low, high, [(n, f"{10.0**n:g}") for n in range(low, high + 1, max(1, (high - low) // 5))]
    high = max(values, default=1.0) if top is None else top
    return 0.0, high, [(high * n / 4, f"{high * n / 4:g}") for n in range(5)]


def _x(place: int, places: Sequence[int]) -> float:
    span = max(1, places[-1] - places[0])
    return LEFT + 12 + (place - places[0]) / span * (WIDTH - RIGHT - LEFT - 24)


def _y(value: float, low: float, high: float) -> float:
    return TOP + (high - value) / (high - low) * (HEIGHT - BOTTOM - TOP)
