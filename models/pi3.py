"""Pi3 (Wang et al. 2025): images of one scene -> points, confidence and cameras, with no reference frame.

Permuting the frames permutes the results. Cameras are OpenCV (x right, y down, z forward), camera to world (the
opposite of VGGT), and the scale is arbitrary. Read top to bottom: configuration, output, model, its parts.
"""

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .aggregator import LayerTokens, stack_densities
from .attention import GlobalAttention, TokenLayout, dense_attention, patch_order
from .config_fields import check_fields, check_heads, read_config
from .dinov2 import EncoderConfig, VisionTransformer
from .gathered import Gathered
from .layers import Block, initialise_token
from .lean import may_overwrite
from .parallel import FrameParallel
from .progress import Progress
from .rope import RopeTable, rope_table
from .vggt import check_images


@dataclass(frozen=True)
class Pi3Config:
    """The decoder has the encoder's width; `depth` counts its blocks, frame and global in turn, so it is even.

    `head_width`, `head_heads` and `head_depth` describe the three small decoders before the heads.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    depth: int = 36
    heads: int = 16
    mlp_ratio: float = 4.0
    layer_scale: float = 0.01
    registers: int = 5
    head_width: int = 1024
    head_heads: int = 16
    head_depth: int = 5
    camera_width: int = 512

    def __post_init__(self) -> None:
        check_fields(self)
        check_heads(self.encoder.width, self.heads)
        check_heads(self.head_width, self.head_heads)
        if self.depth < 2 or self.depth % 2:
            raise ValueError(f"depth must be even, frame and global blocks in turn, got {self.depth}.")


PI3 = Pi3Config()


@dataclass(frozen=True)
class Pi3Output:
    """All float32 (or float64 if the heads are)."""

    points: Tensor  # (B, N, H, W, 3) in the world
    local_points: Tensor  # (B, N, H, W, 3) in each frame's camera
    confidence_logits: Tensor  # (B, N, H, W); the sigmoid is the confidence
    camera_to_world: Tensor  # (B, N, 4, 4)
    density: Tensor | None = None  # (global layers, B, heads), share of pairs computed; None: all


class Pi3(nn.Module):
    """The network; `global_attention` has no parameters, so every choice loads the same checkpoint."""

    def __init__(self, config: Pi3Config = PI3, global_attention: GlobalAttention = dense_attention) -> None:
        super().__init__()
        self.config = config
        self.global_attention = global_attention
        width, patch_size = config.encoder.width, config.encoder.patch_size
        self.register_token = nn.Parameter(torch.empty(1, 1, config.registers, width))
        initialise_token(self.register_token, 1e-6)
        self.encoder = VisionTransformer(config.encoder)
        self.decoder = nn.ModuleList(
            Block(
                width,
                config.heads,
                mlp_ratio=config.mlp_ratio,
                norm_eps=1e-6,
                qk_norm=True,
                layer_scale=config.layer_scale,
            )
            for _ in range(config.depth)
        )
        self.point_decoder = HeadDecoder(config, config.head_width)
        self.point_head = PatchHead(config.head_width, 3, patch_size)
        self.conf_decoder = HeadDecoder(config, config.head_width)
        self.conf_head = PatchHead(config.head_width, 1, patch_size)
        self.camera_decoder = HeadDecoder(config, config.camera_width)
        self.camera_head = PoseHead(config.camera_width)

    def forward(
        self,
        images: Tensor,
        *,
        frame_chunk: int = 8,
        global_attention: GlobalAttention | None = None,
        parallel: FrameParallel | None = None,
        progress: Progress | None = None,
        results: str | torch.device | None = None,
    ) -> Pi3Output:
        """Reconstruct B scenes of N frames.

        images: (B, N, 3, H, W) or (N, 3, H, W), RGB in [0, 1], H and W multiples of the patch size. They may lie on the
        CPU while the weights are on a GPU; each is then copied when its turn comes.
        Encoder and heads take `frame_chunk` frames at a time, which changes nothing but the memory (in training they
        take all at once). `global_attention` takes the place of the model's own for this pass. With
        `parallel` images and outputs are those of the frames of this process.
        results: where the results are collected, such as "cpu" to save the GPU's memory; None leaves them as they are.
        """
        images = check_images(images, self.config.encoder.patch_size)
        batch, frames = images.shape[:2]
        chunk = batch * frames if self.training else frame_chunk
        layout = self.layout(images)
        attend = global_attention or self.global_attention
        if parallel is not None:
            attend = parallel.attention(attend, self.config.heads)
        patches = self.encoder(images.flatten(0, 1), frame_chunk=chunk, progress=progress)  # (B*N, h*w, C)
        tokens, density = self.decode(patches, layout, attend, progress)  # (B*N, P, 2C)
        del patches

        gathered = Gathered(batch * frames, results)
        for start in range(0, batch * frames, chunk):
            if progress is not None:
                progress("heads", start, batch * frames)
            local_points, logits, camera_to_world = self.heads(tokens.joined(start, start + chunk)[0], layout)
            points = transform_points(camera_to_world, local_points)
            gathered.add((points, local_points, logits, camera_to_world))
        return Pi3Output(*(result.unflatten(0, (batch, frames)) for result in gathered.all()), density)

    def layout(self, images: Tensor) -> TokenLayout:
        """Registers and patches of images (B, N, 3, H, W)."""
        patch_size = self.config.encoder.patch_size
        height, width = images.shape[-2:]
        return TokenLayout(images.shape[1], self.config.registers, height // patch_size, width // patch_size)

    def decode(
        self,
        patches: Tensor,
        layout: TokenLayout,
        attend: GlobalAttention | None = None,
        progress: Progress | None = None,
    ) -> tuple[LayerTokens, Tensor | None]:
        """Patch tokens (B*N, h*w, C) -> those of the last two blocks, all frames as of one scene, and the density."""
        attend = attend or self.global_attention
        dtype = torch.promote_types(patches.dtype, torch.float32)  # of the residual stream
        registers = self.register_token[0].to(dtype).expand(patches.shape[0], -1, -1)
        tokens = torch.cat([registers, patches.to(dtype)], dim=1)  # (B*N, P, C)
        rope = rope_table(layout, tokens.shape[-1] // self.config.heads, tokens.device, dtype)
        order = patch_order(attend, layout, tokens.device)
        if order is not None:  # once for all layers
            tokens, rope, layout = tokens[:, order[0]], rope.take(order[0]), replace(layout, arranged=True)
        densities = []
        tokens = tokens.contiguous()
        inside = tokens
        for layer in range(self.config.depth // 2):
            if progress is not None:
                progress("decoder", 2 * layer, self.config.depth)
            inside, _ = self.decoder[2 * layer](tokens, rope, overwrite=True)
            if progress is not None:
                progress("decoder", 2 * layer + 1, self.config.depth)
            across = inside.unflatten(0, (-1, layout.frames)).flatten(1, 2)  # (B, N*P, C)
            if layer == self.config.depth // 2 - 1 and may_overwrite():
                inside = inside.clone()
            across, density = self.decoder[2 * layer + 1](across, rope, attend, layout, layer, overwrite=True)
            tokens = across.unflatten(1, (layout.frames, -1)).flatten(0, 1)
            densities.append(density)
        last = LayerTokens(inside[None], tokens[None], None if order is None else order[1])
        return last, stack_densities(densities)

    def heads(self, tokens: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor, Tensor]:
        """(M, P, 2C) -> local points (M, H, W, 3), confidence logits (M, H, W), camera to world (M, 4, 4)."""
        rope = rope_table(layout, self.config.head_width // self.config.head_heads, tokens.device, tokens.dtype)
        point_tokens = self.point_decoder(tokens, rope, layout)
        conf_tokens = self.conf_decoder(tokens, rope, layout)
        camera_tokens = self.camera_decoder(tokens, rope, layout)
        with self._head_precision(tokens.device):
            rays_and_depth = self.point_head(point_tokens, layout)  # (M, 3, H, W)
            logits = self.conf_head(conf_tokens, layout)[:, 0]
            return local_points_from_raw(rays_and_depth), logits, self.camera_head(camera_tokens)

    def _head_precision(self, device: torch.device) -> torch.autocast | nullcontext:
        """The last layers run in the precision of their weights; in training the caller's autocast stays."""
        return nullcontext() if self.training else torch.autocast(device.type, enabled=False)


class HeadDecoder(nn.Module):
    """A few blocks inside each frame, before a head."""

    def __init__(self, config: Pi3Config, outputs: int) -> None:
        super().__init__()
        width = config.head_width
        self.projects = nn.Linear(2 * config.encoder.width, width)
        self.blocks = nn.ModuleList(
            Block(width, config.head_heads, mlp_ratio=config.mlp_ratio, norm_eps=1e-6) for _ in range(config.head_depth)
        )
        self.linear_out = nn.Linear(width, outputs)

    def forward(self, tokens: Tensor, rope: RopeTable, layout: TokenLayout) -> Tensor:
        """(M, P, 2C) -> patch tokens (M, h*w, outputs)."""
        x = self.projects(tokens.to(self.projects.weight.dtype)).to(tokens.dtype)
        for block in self.blocks:
            x, _ = block(x, rope, overwrite=True)
        return self.linear_out(x[:, layout.special :].to(self.linear_out.weight.dtype))


class PatchHead(nn.Module):
    """One linear layer from a patch token to all its pixels."""

    def __init__(self, width: int, channels: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Linear(width, channels * patch_size**2)

    def forward(self, tokens: Tensor, layout: TokenLayout) -> Tensor:
        """(M, h*w, C) -> (M, channels, H, W)."""
        pixels = self.proj(tokens.to(self.proj.weight.dtype)).transpose(1, 2)
        return functional.pixel_shuffle(pixels.unflatten(2, (layout.height, layout.width)), self.patch_size)


class PoseHead(nn.Module):
    """Patch tokens of a frame -> its camera."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.res_conv = nn.ModuleList(ResidualUnit(width) for _ in range(2))
        self.more_mlps = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.fc_t = nn.Linear(width, 3)
        self.fc_rot = nn.Linear(width, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        """(M, h*w, C) -> camera to world (M, 4, 4)."""
        x = tokens.to(self.fc_t.weight.dtype)
        for unit in self.res_conv:
            x = unit(x)
        x = self.more_mlps(x.mean(dim=1))
        rotation = nearest_rotation(self.fc_rot(x).unflatten(-1, (3, 3)))
        translation = self.fc_t(x).to(rotation.dtype)
        bottom = translation.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(x.shape[0], 1, 4)
        return torch.cat([torch.cat([rotation, translation[..., None]], dim=-1), bottom], dim=-2)


class ResidualUnit(nn.Module):
    """Three linear layers around a skip; the public names say convolution, but they are not."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.res_conv1 = nn.Linear(width, width)
        self.res_conv2 = nn.Linear(width, width)
        self.res_conv3 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        branch = x
        for layer in (self.res_conv1, self.res_conv2, self.res_conv3):
            branch = functional.relu(layer(branch))
        return x + branch


def nearest_rotation(matrices: Tensor) -> Tensor:
    """Any 3x3 matrices (..., 3, 3) -> the rotations nearest to them after their rows are brought to length 1.

    Computed in float32 at least: the SVD has no 16-bit form. What is not finite gives NaN, and fails nobody else.
    """
    matrices = matrices.to(torch.promote_types(matrices.dtype, torch.float32))
    with torch.autocast(matrices.device.type, enabled=False):
        matrices = functional.normalize(matrices, dim=-1)
        finite = matrices.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)  # (..., 1, 1)
        left, _, right = torch.linalg.svd(matrices.where(finite, torch.zeros_like(matrices)))  # M = left S right
        sign = torch.linalg.det(left @ right)  # -1: flip the direction of the smallest singular value
        flip = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign], dim=-1)
        return ((left * flip[..., None, :]) @ right).where(finite, torch.nan)


def transform_points(camera_to_world: Tensor, points: Tensor) -> Tensor:
    """Points (M, H, W, 3) of cameras (M, 4, 4) -> the same points in the world; never in 16 bits."""
    rotation, translation = camera_to_world[:, :3, :3], camera_to_world[:, :3, 3]
    with torch.autocast(points.device.type, enabled=False):
        return points.to(rotation.dtype) @ rotation.transpose(1, 2)[:, None] + translation[:, None, None]


def local_points_from_raw(raw: Tensor) -> Tensor:
    """(M, 3, H, W) = (a, b, s) -> (M, H, W, 3) = (a z, b z, z) with z = exp(s)."""
    rays, depth = raw[:, :2], raw[:, 2:].exp()
    return torch.cat([rays * depth, depth], dim=1).permute(0, 2, 3, 1)


def config_from_dict(fields: dict[str, Any]) -> Pi3Config:
    """The inverse of `dataclasses.asdict`, also after a round trip through JSON (which turns tuples into lists)."""
    return read_config(Pi3Config, fields)
