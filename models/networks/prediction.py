"""What a network says about one scene, in one form for all families."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Prediction:
    """N frames of H x W pixels; OpenCV axes; tensors on the CPU.

    `confidence` means the same for every family: the sigmoid of the network's own number, from 0 up to 1.
    `pixel_center` is the coordinate that the intrinsics give to the centre of the first pixel: 0.0 or 0.5.
    """

    world_to_camera: Tensor  # (N, 3, 4) float64
    intrinsics: Tensor  # (N, 3, 3) float64, pixels
    depth: Tensor  # (N, H, W) float32, along the camera's z axis
    confidence: Tensor  # (N, H, W) float32 in 0..1
    points: Tensor | None = None  # (N, H, W, 3) float32 in the world, from a point head
    points_confidence: Tensor | None = None  # (N, H, W) float32 in 0..1, where it is another one
    density: Tensor | None = None  # (layers, heads) float32, share of pairs that global attention computed; None: all
    tracks: dict[str, Tensor] | None = None  # positions (N, Q, 2) pixels, visibility (N, Q), confidence (N, Q)
    point_source: str = "depth"  # where its world points are best taken from: "depth" or "points"
    pixel_center: float = 0.5


def single(batched: Tensor) -> Tensor:
    """The only scene of a batch, on the CPU; ValueError for more."""
    if batched.shape[0] != 1:
        raise ValueError(
            f"A reconstruction holds one scene, got a batch of {batched.shape[0]}; pass one scene at a time."
        )
    return batched[0].detach().cpu()


def single_density(density: Tensor | None) -> Tensor | None:
    """(layers, 1, heads) -> (layers, heads) float32."""
    return None if density is None else density[:, 0].float().cpu()


def above_one(raw: Tensor) -> Tensor:
    """Confidence of the form 1 + exp(v), as the sigmoid of v."""
    return 1 - 1 / raw.float()
