"""Images that are in memory already, as arrays or tensors, become pictures."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageChops

from .picture import Picture, split_transparency
from .preprocess import check_aspect


def pictures_from_arrays(
    arrays: Sequence[np.ndarray] | np.ndarray,
    masks: Sequence[np.ndarray] | np.ndarray | None = None,
    blend: str = "all",
) -> list[Picture]:
    """One picture for each (H, W) or (H, W, C) array; batches are taken apart. See images.images_from_arrays."""
    pictures = [_to_picture(array, number, blend) for number, array in enumerate(_one_by_one(arrays))]
    if not pictures:
        raise ValueError("The list of images is empty: give at least one image.")
    return pictures if masks is None else _masked(pictures, list(masks))


def _one_by_one(arrays) -> list[np.ndarray]:
    """Single images (H, W) or (H, W, C) of a batch, a list of images or a list of batches, tensors included."""
    if hasattr(arrays, "ndim"):
        arrays = [arrays]
    singles = []
    for array in arrays:
        array = np.asarray(array.detach().cpu().float() if hasattr(array, "detach") else array)
        singles.extend(array if array.ndim == 4 else [array])
    return singles


def _to_picture(array: np.ndarray, number: int, blend: str) -> Picture:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 2, 3, 4) or not array.size:
        raise ValueError(
            f"Image {number + 1} has shape {tuple(array.shape)}: give (height, width, channels), with 1 to 4 channels."
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
