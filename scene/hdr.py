"""HDR and wide-gamut pixels as 8-bit sRGB, which photos have: reference white becomes 255, the rest is cut."""

import numpy as np

PQ, HLG = 16, 18  # transfer characteristics, numbered as in ITU-T H.273
BT2020, DISPLAY_P3 = 9, 12  # colour primaries, numbered as there
HDR_NAMES = {PQ: "PQ", HLG: "HLG"}

REFERENCE_WHITE_NITS, PQ_PEAK_NITS = 203, 10_000  # ITU-R BT.2408: 58 % of PQ's range
REFERENCE_WHITE_HLG = 0.75  # of HLG's range, BT.2408 as well
VIDEO_GAMMA = 2.4  # of a display of SDR video, BT.1886
ROWS_AT_ONCE = 64
TO_BT709 = {
    BT2020: np.array(
        [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
        np.float32,
    ),
    DISPLAY_P3: np.array(
        [[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]], np.float32
    ),
}


def needs_conversion(transfer: int, primaries: int) -> bool:
    """Whether pixels of these characteristics look wrong when they are taken for sRGB."""
    return transfer in HDR_NAMES or primaries in TO_BT709


def to_srgb(pixels: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """RGB uint16 (H, W, 3) of a video as sRGB uint8 (H, W, 3). transfer and primaries are H.273's numbers."""
    if transfer in HDR_NAMES and primaries not in TO_BT709:
        primaries = BT2020  # what HDR that says nothing else has
    linear = _linear_values(transfer)
    encoded = _srgb_values()
    result = np.empty(pixels.shape, np.uint8)
    for top in range(0, len(pixels), ROWS_AT_ONCE):
        light = linear[pixels[top : top + ROWS_AT_ONCE]]  # (rows, W, 3) float32, 1 = reference white
        light = light @ TO_BT709[primaries].T
        result[top : top + ROWS_AT_ONCE] = encoded[(light.clip(0, 1) * 65535 + 0.5).astype(np.uint16)]
    return result


def _linear_values(transfer: int) -> np.ndarray:
    """Light of each of the 65,536 values, 1 = reference white. HLG's is that of the scene, as a photo's is."""
    value = np.linspace(0, 1, 65536)
    if transfer == PQ:
        power = value ** (1 / 78.84375)
        light = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        light *= PQ_PEAK_NITS / REFERENCE_WHITE_NITS
    elif transfer == HLG:
        light = _hlg_light(value) / _hlg_light(np.array(REFERENCE_WHITE_HLG))
    else:
        light = value**VIDEO_GAMMA
    return light.astype(np.float32)


def _hlg_light(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.5, value**2 / 3, (np.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12)


def _srgb_values() -> np.ndarray:
    """The 8-bit sRGB value of each of 65,536 steps of linear light."""
    light = np.linspace(0, 1, 65536)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(value * 255).astype(np.uint8)
