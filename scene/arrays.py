"""Images that are in memory already, as arrays or tensors, become pictures."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageOps

from .picture import Picture, split_transparency, to_eight_bits
from .preprocess import check_aspect


def pictures_from_arrays(
    arrays: Sequence[np.ndarray] | np.ndarray,
    masks: Sequence[np.ndarray] | np.ndarray | None = None,
    blend: str = "all",
) -> list[Picture]:
    """One picture for each (H, W) or (H, W, C) array; batches are taken apart. See images.images_from_arrays."""
    pictures = [_to_picture(array, number, blend) for number, array in enumerate(single_arrays(arrays))]
    if not pictures:
        raise ValueError("The list of images is empty: give at least one image.")
    return pictures if masks is None else _masked(pictures, list(masks))


def holds_pictures(source: Any) -> bool:
    """Whether a source is pictures in memory rather than names of files; ValueError for neither, and for both mixed."""
    if isinstance(source, str | os.PathLike):
        return False
    if _is_picture(source):
        return True
    if not isinstance(source, Iterable):
        raise ValueError(
            f"Images are files, a folder, a video or arrays (height, width, 3), got {type(source).__name__}."
        )
    kinds = {_is_picture(each) for each in source}
    if len(kinds) == 2:
        raise ValueError("Files and arrays are mixed in the list of images: give either files or arrays.")
    return True in kinds


def single_arrays(arrays: Any) -> list[np.ndarray]:
    """Single images (H, W) or (H, W, C) of a batch, a list of images or a list of batches; tensors and Pillow's too."""
    if _is_picture(arrays):
        arrays = [arrays]
    singles = []
    for array in arrays:
        if isinstance(array, Image.Image):
            array = np.asarray(_drawn(array))
        elif hasattr(array, "detach"):
            array = array.detach().cpu()
            array = array.float().numpy() if array.dtype.is_floating_point else array.numpy()
        array = np.asarray(array)
        singles.extend(array if array.ndim == 4 else [array])
    return singles


def _is_picture(value: Any) -> bool:
    return isinstance(value, Image.Image) or (hasattr(value, "ndim") and hasattr(value, "dtype"))


def _drawn(image: Image.Image) -> Image.Image:
    """An image of Pillow, upright, as RGB or RGBA."""
    image = to_eight_bits(ImageOps.exif_transpose(image))
    clear = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if clear else "RGB")


def _to_picture(array: np.ndarray, number: int, blend: str) -> Picture:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 2, 3, 4) or not array.size:
        hint = "; move the channels to the end" if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        raise ValueError(
            f"Image {number + 1} has shape {tuple(array.shape)}: give (height, width, channels), with 1 to 4 channels"
            f"{hint}."
        )
    check_aspect(f"Image {number + 1}", (array.shape[1], array.shape[0]))
    values = _to_uint8(array, number)
    image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    rgb, mask = split_transparency(image, blend)
    if mask is not None and mask.getextrema()[1] == 0:
        raise ValueError(f"Image {number + 1} is fully transparent: give it without its fourth channel.")
    return Picture(rgb, rgb.size, mask)


def _to_uint8(array: np.ndarray, number: int) -> np.ndarray:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == bool:
        return array * np.uint8(255)
    if array.dtype == np.uint16:
        return np.rint(array / 257.0).astype(np.uint8)
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"Image {number + 1} holds values that are not finite numbers.")
    if array.dtype.kind != "f" or values.max() > 2 or values.min() < -1:
        raise ValueError(
            f"Image {number + 1} ({array.dtype}) has values from {values.min():g} to {values.max():g}: give floats "
            "from 0 to 1 or uint8."
        )
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def _masked(pictures: list[Picture], masks: list) -> list[Picture]:
    if len(masks) == 1:
        masks = masks * len(pictures)
    if len(masks) != len(pictures):
        raise ValueError(f"{len(masks)} masks were given for {len(pictures)} images: give one for each.")
    result = []
    for number, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        values = np.asarray(mask.detach().cpu().float() if hasattr(mask, "detach") else mask)
        values = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
        if values.shape != picture.size[::-1]:
            raise ValueError(f"Mask {number + 1} has shape {values.shape}, but its image is {picture.size[::-1]}.")
        use = Image.fromarray(np.where(values > 0.5, 255, 0).astype(np.uint8))
        result.append(replace(picture, mask=ImageChops.darker(use, picture.mask) if picture.mask else use))
    return result
