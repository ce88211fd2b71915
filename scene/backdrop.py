"""Pixels of a photo that belong to no thing: sky, or the plain black or white behind an object."""

import numpy as np

BLACKEST, WHITEST = 24, 232  # of all channels of a plain background
SMOOTH = 14  # most that a pixel of sky differs from its neighbours, in a channel
BORDER_PX = 2  # by which sky is widened: its edge has mixed colours


def backdrop(image: np.ndarray, shade: str) -> np.ndarray:
    """True (H, W) for the black or white ("black", "white") of an image (H, W, 3) uint8 that reaches its border.

    What is as dark or as bright inside an object stays.
    """
    fits = (image <= BLACKEST).all(axis=-1) if shade == "black" else (image >= WHITEST).all(axis=-1)
    border = np.ones(fits.shape, dtype=bool)
    border[1:-1, 1:-1] = False
    return connected(border & fits, fits)


def sky(image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """True (H, W) for the sky of an upright photo (H, W, 3) uint8 with a depth (H, W).

    It is blue, or bright and grey; even; not nearer than most of the picture; and it reaches the upper border.
    """
    channels = image.astype(np.int16)
    red, green, blue = channels[..., 0], channels[..., 1], channels[..., 2]
    is_blue = (blue >= 90) & (blue >= red + 12) & (blue + 8 >= green)
    is_pale = (channels.min(axis=-1) >= 165) & (channels.max(axis=-1) - channels.min(axis=-1) <= 36)
    known = np.isfinite(depth) & (depth > 0)
    far = ~known | (depth >= np.median(depth[known])) if known.any() else ~known
    fits = (is_blue | is_pale) & far & _even(channels)
    top = np.zeros(fits.shape, dtype=bool)
    top[0] = True
    return _widened(connected(top & fits, fits), BORDER_PX)


def connected(start: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """True (H, W) where a way through allowed pixels, along rows and columns, leads to the start."""
    reached = start & allowed
    while True:
        more = _along_rows(_along_rows(reached, allowed).T, allowed.T).T
        if (more == reached).all():
            return reached
        reached = more


def _along_rows(reached: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """What is reached, and with it the whole of every run of allowed pixels that it is part of."""
    begins = np.ones(allowed.shape, dtype=bool)
    begins[:, 1:] = allowed[:, 1:] != allowed[:, :-1]
    run = np.cumsum(begins.reshape(-1)).reshape(allowed.shape) - 1
    hit = np.zeros(run[-1, -1] + 1, dtype=bool)
    hit[run[reached]] = True
    return hit[run] & allowed


def _even(channels: np.ndarray) -> np.ndarray:
    """True (H, W) where a pixel hardly differs from those beside and below it."""
    even = np.ones(channels.shape[:2], dtype=bool)
    even[:, :-1] &= (np.abs(channels[:, 1:] - channels[:, :-1]) <= SMOOTH).all(axis=-1)
    even[:-1] &= (np.abs(channels[1:] - channels[:-1]) <= SMOOTH).all(axis=-1)
    return even


def _widened(mask: np.ndarray, pixels: int) -> np.ndarray:
    for _ in range(pixels):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask
