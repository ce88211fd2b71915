"""Training losses: cameras, depth, and two helpers that make a small model learn to match views in minutes.

The helpers (patch matching between frames, coarse points for every token) have small heads of their own, which are
thrown away after training.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models.geometry import encode_pose, quaternion_to_rotation
from ..models.vggt import VGGT
from .batches import Batch, world_points

PASS_DISCOUNT = 0.6
DESCRIPTOR_WIDTH = 64


@dataclass(frozen=True)
class LossWeights:
    camera: float = 5.0
    relative: float = 2.0
    depth: float = 1.0
    token_points: float = 1.0
    matching: float = 0.3


class TrainingModel(nn.Module):
    """A VGGT with its training-only heads; one call gives the losses of a batch."""

    def __init__(self, model: VGGT, weights: LossWeights, depth_frames: int = 64) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self.depth_frames = depth_frames
        width = model.config.encoder.width
        self.middle = model.config.depth // 2
        self.encoder_descriptor = nn.Linear(width, DESCRIPTOR_WIDTH)
        self.middle_descriptor = nn.Linear(2 * width, DESCRIPTOR_WIDTH)
        self.token_points = nn.Linear(2 * width, 3)
        self.sharpness = nn.Parameter(torch.tensor([2.5, 2.5]))

    def forward(self, batch: Batch, shift: int, matching_share: float) -> dict[str, Tensor]:
        """Scalar losses by name, with "total" weighted. `shift` says which other frame each frame is matched with."""
        aggregator, config = self.model.aggregator, self.model.config
        special, last = aggregator.special_tokens, config.depth - 1
        encoded = aggregator.encode(batch.images)  # (S, N, h*w, C)
        kept = aggregator(batch.images, {*config.kept_layers, self.middle, last}, patch_tokens=encoded).kept
        guess = self.token_points(kept[last][:, :, special:])
        descriptors = self.encoder_descriptor(encoded), self.middle_descriptor(kept[self.middle][:, :, special:])
        depth = self.depth_loss(kept, batch, special)
        with torch.autocast(batch.images.device.type, enabled=False):  # poses and geometry need float32
            poses = self.model.camera_head(kept[last][:, :, 0])  # (passes, S, N, 9)
            targets = patch_targets(batch, config.encoder.patch_size, shift)
            matching = [matching_loss(*pair, targets) for pair in zip(descriptors, self.sharpness, strict=True)]
            losses = {
                "camera": camera_loss(poses, batch),
                "relative": relative_loss(poses[-1], batch),
                "depth": depth,
                "token_points": token_point_loss(guess.float(), targets),
                "matching": sum(matching),
            }
        shares = asdict(self.weights) | {"matching": matching_share * self.weights.matching}
        return losses | {"total": sum(shares[name] * loss for name, loss in losses.items())}

    def depth_loss(self, kept: dict[int, Tensor], batch: Batch, special: int) -> Tensor:
        """On random frames of the batch: the dense head is costly, and frames are independent in it."""
        frames = batch.depth.flatten(0, 1).shape[0]
        chosen = torch.randperm(frames, device=batch.depth.device)[: self.depth_frames]
        tokens = [kept[layer].flatten(0, 1)[chosen, special:] for layer in self.model.config.kept_layers]
        raw = self.model.depth_head(tokens, batch.images.shape[-2:]).float()
        depth, valid = batch.depth.flatten(0, 1)[chosen], batch.valid.flatten(0, 1)[chosen]
        return log_depth_loss(raw[:, 0], raw[:, 1], depth, valid)


def camera_loss(poses: Tensor, batch: Batch) -> Tensor:
    """Huber loss on the nine numbers of every pass, later passes counting more (VGGT, section 3.4)."""
    truth = encode_pose(batch.world_to_camera, batch.intrinsics, batch.images.shape[-2:])
    total = 0.0
    for index, pose in enumerate(poses):
        error = functional.huber_loss(pose, truth.expand_as(pose), reduction="none", delta=0.1) / 0.1
        error = error[..., :3].mean() + error[..., 3:7].mean() + 0.5 * error[..., 7:].mean()
        total = total + PASS_DISCOUNT ** (len(poses) - 1 - index) * error
    return total


def relative_loss(pose: Tensor, batch: Batch) -> Tensor:
    """Errors of the motion between every pair of frames: chordal distance of rotations, offset of translations."""
    rotation, truth = quaternion_to_rotation(pose[..., 3:7]), batch.world_to_camera[..., :3]
    moved, true_moved = (
        pairwise_translation(rotation, pose[..., :3]),
        pairwise_translation(truth, batch.world_to_camera[..., 3]),
    )
    turned = rotation[:, :, None] @ rotation[:, None].mT  # (S, N, N, 3, 3)
    true_turned = truth[:, :, None] @ truth[:, None].mT
    angular = (turned - true_turned).square().sum((-1, -2)).add(1e-6).sqrt().mean()
    length = true_moved.norm(dim=-1)
    directional = (moved - true_moved).norm(dim=-1) / (length + 0.1)
    return angular + directional.clamp(max=3.0).mean()


def pairwise_translation(rotation: Tensor, translation: Tensor) -> Tensor:
    """(S, N, N, 3): t_i - R_i R_j^T t_j, where camera j's origin lies for camera i."""
    back = rotation.mT @ translation[..., None]  # (S, N, 3, 1)
    return translation[:, :, None] - (rotation[:, :, None] @ back[:, None]).squeeze(-1)


def log_depth_loss(raw: Tensor, raw_confidence: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Confidence-weighted L1 on log depth with gradients at two scales; all (M, H, W)."""
    difference = torch.where(valid, raw - depth.clamp(min=1e-3).log(), 0.0)
    confidence = 1.0 + raw_confidence.exp()
    count = valid.sum().clamp(min=1)
    weighted = torch.where(valid, confidence * difference.abs() - 0.1 * confidence.log(), 0.0).sum() / count
    sky = (~valid).sum().clamp(min=1)
    weighted = weighted + 0.1 * torch.where(valid, 0.0, confidence.log()).sum() / sky  # infinitely far: not sure
    gradient = 0.0
    for step in (1, 4):
        for axis in (-1, -2):
            length = difference.shape[axis] - step
            ahead, here = difference.narrow(axis, step, length), difference.narrow(axis, 0, length)
            both = valid.narrow(axis, step, length) & valid.narrow(axis, 0, length)
            gradient = gradient + torch.where(both, (ahead - here).abs(), 0.0).sum() / count
    return weighted + 0.5 * gradient


@dataclass
class PatchTargets:
    """Where the centre of every patch lies: in space and in another frame."""

    points: Tensor  # (S, N, h*w, 3) world
    valid: Tensor  # (S, N, h*w)
    match: Tensor  # (S, N, h*w) index of the patch in the other frame
    matched: Tensor  # (S, N, h*w) seen there
    shift: int


@torch.no_grad()
def patch_targets(batch: Batch, patch_size: int, shift: int) -> PatchTargets:
    half = patch_size // 2
    points = world_points(batch.depth, batch.world_to_camera, batch.intrinsics, patch_size, half)
    valid = batch.valid[..., half::patch_size, half::patch_size].flatten(-2)
    points = points.flatten(2, 3)  # (S, N, h*w, 3)
    pose, intrinsics = batch.world_to_camera.roll(-shift, 1), batch.intrinsics.roll(-shift, 1)
    depth = batch.depth.roll(-shift, 1).flatten(2)
    height, width = batch.depth.shape[-2:]
    camera = points @ pose[..., :3].mT + pose[..., None, :, 3]
    z = camera[..., 2].clamp(min=1e-3)
    x = (camera[..., 0] / z * intrinsics[..., None, 0, 0] + intrinsics[..., None, 0, 2]).round().long()
    y = (camera[..., 1] / z * intrinsics[..., None, 1, 1] + intrinsics[..., None, 1, 2]).round().long()
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (camera[..., 2] > 1e-3)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    seen = depth.gather(2, y * width + x)
    matched = valid & inside & ((seen - z).abs() < 0.05 * z)
    return PatchTargets(points, valid, y // patch_size * (width // patch_size) + x // patch_size, matched, shift)


def token_point_loss(guess: Tensor, targets: PatchTargets) -> Tensor:
    distance = targets.points.norm(dim=-1)
    error = (guess - targets.points).norm(dim=-1) / (0.5 + distance)
    return torch.where(targets.valid, error, 0.0).sum() / targets.valid.sum().clamp(min=1)


def matching_loss(values: Tensor, sharpness: Tensor, targets: PatchTargets) -> Tensor:
    """InfoNCE: among all patches of the other frame, find the one that shows the same surface point."""
    values = functional.normalize(values.float(), dim=-1)
    other = values.roll(-targets.shift, 1)
    scores = sharpness.exp() * (values @ other.mT)  # (S, N, h*w, h*w)
    loss = functional.cross_entropy(scores.flatten(0, 2), targets.match.flatten(), reduction="none")
    return torch.where(targets.matched.flatten(), loss, 0.0).sum() / targets.matched.sum().clamp(min=1)
