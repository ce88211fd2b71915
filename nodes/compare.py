"""How two reconstructions of the same images differ: cameras, depth, a picture."""

from dataclasses import dataclass

import numpy as np

from ..scene.preview import UNUSED, colorize
from ..scene.reconstruction import Reconstruction

STOPS = ((20, 28, 48), (24, 92, 132), (60, 170, 140), (250, 214, 90), (236, 110, 50), (170, 20, 40))


@dataclass(frozen=True)
class Comparison:
    """A scene against a reference of the same N images, both seen from the first camera of each.

    `depth` is NaN where either scene has none. `scale` makes the scene as large as the reference.
    """

    rotation_degrees: np.ndarray  # (N,) angle between the cameras' directions
    position: np.ndarray  # (N,) distance between the cameras, as a share of `extent`
    depth: np.ndarray  # (N, H, W) float32: |depth - reference| / reference, on the reference's pixels
    scale: float
    extent: float  # of the reference's camera path, in its units; its median depth where the camera stands still


def compare(scene: Reconstruction, reference: Reconstruction) -> Comparison:
    """The difference of two scenes of the same images, which may differ in model, settings and resolution."""
    if scene.names != reference.names:
        raise ValueError(
            f"The scenes are of different images ({len(scene)} and {len(reference)} views); compare results for the "
            "same images in the same order."
        )
    depth = np.stack([_on_pixels_of(reference, scene, frame) for frame in range(len(scene))])
    usable = np.stack([reference.usable(frame) for frame in range(len(reference))]) & np.isfinite(depth) & (depth > 0)
    ratios = reference.depth[usable] / depth[usable]
    scale = float(np.median(ratios)) if ratios.size else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = np.where(usable, np.abs(scale * depth - reference.depth) / reference.depth, np.nan)
    rotations, positions = _from_first(scene)
    true_rotations, true_positions = _from_first(reference)
    reach = float(np.linalg.norm(true_positions, axis=1).max())
    middle = float(np.median(reference.depth[usable])) if usable.any() else 1.0
    extent = reach if reach > 1e-3 * middle else middle
    turned = np.einsum("nij,nkj->nik", rotations, true_rotations)
    return Comparison(
        _angles(turned),
        np.linalg.norm(scale * positions - true_positions, axis=1) / extent,
        difference.astype(np.float32),
        scale,
        extent,
    )


def difference_pictures(found: Comparison, top: float = 0.1) -> np.ndarray:
    """Pictures (N, H, W, 3) uint8 of the depth difference: dark is none, red is `top` and more, grey is no depth."""
    pictures = colorize(np.nan_to_num(found.depth) / top, STOPS)
    pictures[np.isnan(found.depth)] = UNUSED
    return pictures


def comparison_text(found: Comparison) -> str:
    """The differences in a few lines."""
    values = found.depth[np.isfinite(found.depth)]
    depth = "no pixel has a depth in both"
    if values.size:
        middle, most = np.percentile(values, (50, 90))
        depth = f"{100 * middle:.2f} % for the median pixel, {100 * most:.2f} % for one in ten"
    return "\n".join(
        (
            f"depth: {depth}",
            f"camera direction: {_middle_and_most(found.rotation_degrees, 1, 'degrees')}",
            f"camera position: {_middle_and_most(found.position, 100, '% of the path')}",
            f"size: {found.scale:.4g} times to match",
        )
    )


def _middle_and_most(values: np.ndarray, times: float, unit: str) -> str:
    moved = values[1:] if len(values) > 1 else values  # the first camera is where both begin
    return f"median {times * np.median(moved):.3g}, at most {times * moved.max():.3g} {unit}"


def _from_first(scene: Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (N, 3, 3) and positions (N, 3) of the cameras in the frame of the first."""
    poses = scene.camera_to_world
    first = np.linalg.inv(poses[0])
    relative = first @ poses
    return relative[:, :3, :3], relative[:, :3, 3]


def _angles(rotations: np.ndarray) -> np.ndarray:
    """Angles (N,) in degrees of rotations (N, 3, 3); exact for small ones too."""
    skew = rotations - rotations.transpose(0, 2, 1)
    sine = np.sqrt((skew[:, [2, 0, 1], [1, 2, 0]] ** 2).sum(axis=1)) / 2
    cosine = (np.trace(rotations, axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arctan2(sine, cosine))


def _on_pixels_of(reference: Reconstruction, scene: Reconstruction, frame: int) -> np.ndarray:
    """Depth (H, W) of a frame of the scene, at the places of the reference's pixels; NaN outside its image."""
    height, width = reference.image_size
    columns, inside_columns = _places(np.arange(width), reference.scale_offset[frame, 0::2], scene, frame, 0)
    rows, inside_rows = _places(np.arange(height), reference.scale_offset[frame, 1::2], scene, frame, 1)
    depth = np.where(scene.usable(frame), scene.depth[frame], np.nan)[np.ix_(rows, columns)]
    return np.where(inside_rows[:, None] & inside_columns, depth, np.nan)


def _places(
    pixels: np.ndarray, mapping: np.ndarray, scene: Reconstruction, frame: int, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the scene's nearest pixels along an axis (0 is x), and which of them its image has.

    mapping: scale and offset from pixels to the original image.
    """
    original = mapping[0] * (pixels + 0.5) + mapping[1]
    scale, offset = scene.scale_offset[frame, axis::2]
    size = scene.image_size[1 - axis]
    found = np.floor((original - offset) / scale).astype(np.int64)
    return np.clip(found, 0, size - 1), (found >= 0) & (found < size)
