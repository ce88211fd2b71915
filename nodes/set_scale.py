"""A scene in metres, by one length that is known."""

import math

from ..scene.reconstruction import Reconstruction
from ..scene.scaling import scaled
from .parameters import documented

METRIC = "meters_per_unit"  # in a reconstruction's settings: 1 once its unit is the metre


@documented
def set_scale(scene: Reconstruction, *, measured: float = 1.0, meters: float = 1.0) -> Reconstruction:
    """The scene in metres: what measures `measured` in it is `meters` long."""
    for name, value in (("measured", measured), ("meters", meters)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive length, got {value:g}; measure two points of the scene.")
    result = scaled(scene, meters / measured)
    result.settings[METRIC] = 1.0
    return result


def meters_per_unit(scene: Reconstruction) -> float | None:
    """1 for a scene in metres, None for one whose scale is unknown."""
    return scene.settings.get(METRIC)
