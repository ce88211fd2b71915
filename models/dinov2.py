"""The image encoder: a DINOv2 vision transformer with register tokens (Oquab et al. 2023, Darcet et al. 2023)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config_fields import check_fields, check_heads
from .layers import Block, LayerNorm
from .progress import Progress

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class EncoderConfig:
    """ViT-L/14 with 4 registers unless said otherwise.

    `image_size` only fixes the learnt position table, (image_size / patch_size) squared; any multiple of the patch size
    can be encoded. `stem_channels` = (c1, c2) replaces the single patch projection by three convolutions, which learn
    faster from scratch.
    """

    width: int = 1024
    depth: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    patch_size: int = 14
    registers: int = 4
    image_size: int = 518
    layer_scale: float = 1.0
    stem_channels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        check_heads(self.width, self.heads, turned=False)
        if self.image_size < self.patch_size:
            raise ValueError(f"image_size must be at least patch_size, got {self.image_size} and {self.patch_size}.")


class PatchEmbed(nn.Module):
    """Images (M, 3, H, W) -> one token for each patch, (M, h*w, C), row by row."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if not config.stem_channels:
            self.proj = nn.Conv2d(3, config.width, kernel_size=config.patch_size, stride=config.patch_size)
            return
        if len(config.stem_channels) != 2 or config.patch_size % 2:
            raise ValueError(
                f"A stem needs two channel counts and an even patch size, got {config.stem_channels} and "
                f"{config.patch_size}; leave stem_channels empty for the plain projection."
            )
        first, second = config.stem_channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, kernel_size=3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(first, second, kernel_size=3, padding=1),
            nn.GELU(),
        )
        self.proj = nn.Conv2d(second, config.width, kernel_size=config.patch_size // 2, stride=config.patch_size // 2)

    def forward(self, images: Tensor) -> Tensor:
        x = images.to(self.proj.weight.dtype)
        if hasattr(self, "stem"):
            x = self.stem(x)  # (M, c2, H/2, W/2)
        return self.proj(x).flatten(2).transpose(1, 2)


class VisionTransformer(nn.Module):
    """DINOv2: images in [0, 1] -> normalised patch tokens."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        grid = config.image_size // config.patch_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.register_tokens = nn.Parameter(torch.empty(1, config.registers, config.width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + grid * grid, config.width))
        for parameter in (self.cls_token, self.register_tokens, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(
            Block(
                config.width,
                config.heads,
                mlp_ratio=config.mlp_ratio,
                norm_eps=1e-6,
                layer_scale=config.layer_scale,
            )
            for _ in range(config.depth)
        )
        self.norm = LayerNorm(config.width, eps=1e-6)

    def forward(self, images: Tensor, *, frame_chunk: int | None = None, progress: Progress | None = None) -> Tensor:
        """(M, 3, H, W) -> (M, h*w, C).

        The images may lie on another device. They do not see each other, so `frame_chunk` of them at a time gives the
        same result in less memory.
        """
        chunks = []
        for start in range(0, images.shape[0], frame_chunk or images.shape[0]):
            if progress is not None:
                progress("encoder", start, images.shape[0])
            chunk = images[start : start + (frame_chunk or images.shape[0])]
            chunks.append(self.encode(sent(chunk, self.cls_token.device)))
        return chunks[0] if len(chunks) == 1 else torch.cat(chunks)

    def encode(self, images: Tensor) -> Tensor:
        x = self.embed(images)
        for block in self.blocks:
            x, _ = block(x, overwrite=True)
        return self.norm(x[:, 1 + self.config.registers :])

    def embed(self, images: Tensor) -> Tensor:
        """The input of the first block, (M, 1 + registers + h*w, C): class token, registers, patches."""
        count, _, height, width = images.shape
        patches = self.patch_embed(normalise(images))  # (M, h*w, C)
        dtype = torch.promote_types(self.pos_embed.dtype, torch.float32)  # of the residual stream
        positions = position_table(self.pos_embed.to(dtype), height, width, self.config.patch_size)
        tokens = [
            (self.cls_token + positions[:, :1]).expand(count, -1, -1),
            self.register_tokens.to(dtype).expand(count, -1, -1),  # registers have no position
            patches + positions[:, 1:],
        ]
        return torch.cat(tokens, dim=1)


def sent(images: Tensor, device: torch.device) -> Tensor:
    """Images on a device; from the CPU to a GPU by way of page-locked memory, while that still computes."""
    if device.type == "cuda" and images.device.type == "cpu":
        images = images.pin_memory()
    return images.to(device, non_blocking=True)


def normalise(images: Tensor) -> Tensor:
    """RGB in [0, 1], (M, 3, H, W) -> zero mean and unit variance over ImageNet."""
    channels = zip(images.unbind(1), IMAGE_MEAN, IMAGE_STD, strict=True)
    return torch.stack([(channel - mean) / std for channel, mean, std in channels], dim=1)


def position_table(table: Tensor, height: int, width: int, patch_size: int) -> Tensor:
    """The learnt table (1, 1 + g*g, C) resampled for height x width pixels, (1, 1 + h*w, C); class entry first."""
    rows, columns = height // patch_size, width // patch_size
    if height == width and rows * columns == table.shape[1] - 1:
        return table
    side = round((table.shape[1] - 1) ** 0.5)
    grid = table[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)  # (1, C, g, g)
    grid = functional.interpolate(grid, size=(rows, columns), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
