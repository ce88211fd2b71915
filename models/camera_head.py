"""VGGT's camera head: the camera tokens, refined in a few passes with the same weights (VGGT, section 3.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config_fields import check_fields
from .layers import Block, LayerNorm, Mlp

POSE_SIZE = 9
"""Translation (3), quaternion x y z w (4), vertical and horizontal field of view in radians (2): camera from world."""


@dataclass(frozen=True)
class CameraHeadConfig:
    trunk_depth: int = 4
    heads: int = 16
    mlp_ratio: float = 4.0
    layer_scale: float = 0.01
    passes: int = 4

    def __post_init__(self) -> None:
        check_fields(self)


class CameraHead(nn.Module):
    def __init__(self, width: int, config: CameraHeadConfig) -> None:
        super().__init__()
        self.config = config
        self.token_norm = LayerNorm(width)
        self.empty_pose_tokens = nn.Parameter(torch.zeros(1, 1, POSE_SIZE))
        self.embed_pose = nn.Linear(POSE_SIZE, width)
        self.poseLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        self.trunk = nn.ModuleList(
            Block(width, config.heads, mlp_ratio=config.mlp_ratio, layer_scale=config.layer_scale)
            for _ in range(config.trunk_depth)
        )
        self.trunk_norm = LayerNorm(width)
        self.pose_branch = Mlp(width, width // 2, POSE_SIZE)
        self._initialise_pose()

    def _initialise_pose(self) -> None:
        """Start near the identity rotation and a field of view of 1 radian, where its ReLU lets gradients pass."""
        share = 1 / self.config.passes
        start = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, share, share, share])
        nn.init.trunc_normal_(self.pose_branch.fc2.weight, std=0.002)
        with torch.no_grad():
            self.pose_branch.fc2.bias.copy_(start)

    def forward(self, tokens: Tensor) -> Tensor:
        """Camera tokens of the last layer (B, N, 2C) -> activated poses after every pass (passes, B, N, 9), float32."""
        tokens = self.token_norm(tokens)
        pose = None  # the running estimate, not activated
        poses = []
        for _ in range(self.config.passes):
            # passes are trained one by one, as in RAFT: no gradient through the fed-back estimate
            previous = self.empty_pose_tokens.expand(*tokens.shape[:2], -1) if pose is None else pose.detach()
            delta = self.refine(tokens, previous.to(tokens.dtype)).float()  # (B, N, 9)
            pose = delta if pose is None else pose + delta
            poses.append(activate_pose(pose))
        return torch.stack(poses)

    def refine(self, tokens: Tensor, previous: Tensor) -> Tensor:
        """What one pass adds to the pose (B, N, 9), given the normalised tokens (B, N, 2C) and the pose so far."""
        shift, scale, gate = self.poseLN_modulation(self.embed_pose(previous)).chunk(3, dim=-1)  # (B, N, 2C) each
        normalised = functional.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)
        x = tokens + gate * (normalised * (1 + scale) + shift)
        for block in self.trunk:
            x, _ = block(x, overwrite=True)  # the cameras of one scene attend to each other
        return self.pose_branch(self.trunk_norm(x))


def activate_pose(pose: Tensor) -> Tensor:
    """Translation and quaternion as they are (the quaternion is not normalised), field of view at least 0."""
    return torch.cat([pose[..., :7], functional.relu(pose[..., 7:])], dim=-1)
