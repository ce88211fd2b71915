"""Small pictures that tests are made of, and what they must say."""

import zlib

import numpy as np
import pytest
from PIL import Image

from manyview.scene.images import load_images

RED, BLUE = (250, 20, 30), (20, 30, 250)


def save(path, size=(60, 45), color=RED, mode="RGB", **options):
    image = color if isinstance(color, Image.Image) else Image.new(mode, size, color)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def left_right(size=(60, 45)):
    """Red left half, blue right half."""
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2], pixels[:, size[0] // 2 :] = RED, BLUE
    return Image.fromarray(pixels)


def transparent(mode):
    """Left half transparent, right half blue (grey 30 in LA), as an image of the mode."""
    rgba = np.zeros((45, 60, 4), np.uint8)
    rgba[:, :30], rgba[:, 30:] = (*RED, 0), (*BLUE, 255)
    if mode == "P":
        image = Image.fromarray((rgba[..., 3] // 255).astype(np.uint8)).convert("P")
        image.putpalette([*RED, *BLUE])
        image.info["transparency"] = 0
        return image
    return Image.fromarray(rgba).convert(mode)


def png_header(path, width, height):
    data = bytearray(save(path, size=(1, 1)).read_bytes())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    return path


def load(source, **options):
    return load_images(source, **{"resolution": 56, **options})


def sentence_of(call, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 250
    return text
