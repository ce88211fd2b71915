"""VGGT's aggregator: image tokens, refined inside each frame and over all frames in turn (VGGT, section 3.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from .attention import GlobalAttention, TokenLayout, dense_attention, patch_order
from .config_fields import check_fields, check_heads
from .dinov2 import EncoderConfig, VisionTransformer
from .layers import Block, initialise_token
from .lean import may_overwrite
from .parallel import FrameParallel
from .progress import Progress
from .rope import rope_table


@dataclass(frozen=True)
class AggregatorConfig:
    """`depth` counts pairs of a frame block and a global block; their width is the encoder's.

    `special_token_std` is the spread of the camera and register tokens before training.
    """

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    depth: int = 24
    heads: int = 16
    mlp_ratio: float = 4.0
    layer_scale: float = 0.01
    registers: int = 4
    special_token_std: float = 1e-6

    def __post_init__(self) -> None:
        check_fields(self)
        check_heads(self.encoder.width, self.heads)


@dataclass(frozen=True)
class AggregatorOutput:
    """What the heads read.

    kept: layer -> (B, N, P, 2C), [tokens after the frame block | tokens after the global block], or what `take` gave.
    density: (layers, B, heads), the share of pairs that global attention computed; None if all of it was dense.
    """

    kept: dict[int, Any]
    density: Tensor | None


@dataclass(frozen=True)
class LayerTokens:
    """Tokens after a frame block and after the global block behind it, (B, N, P, C) each, in the attention's order.

    They hold until the next layer begins: without gradients it changes them in place.
    """

    inside: Tensor
    across: Tensor
    back: Tensor | None  # puts the tokens of a frame back into their own order, (P,); None: they are

    def joined(self, first: int = 0, end: int | None = None) -> Tensor:
        """[inside | across] of the frames first..end - 1 of every scene, in their own order, (B, n, P, 2C)."""
        both = torch.cat([self.inside[:, first:end], self.across[:, first:end]], dim=-1)
        return both if self.back is None else both[:, :, self.back]

    def special(self, number: int) -> Tensor:
        """One special token of every frame, (B, N, 2C)."""
        return torch.cat([self.inside[:, :, number], self.across[:, :, number]], dim=-1)


Take = Callable[[int, LayerTokens], Any]


class Aggregator(nn.Module):
    def __init__(self, config: AggregatorConfig, global_attention: GlobalAttention = dense_attention) -> None:
        super().__init__()
        width = config.encoder.width
        self.config = config
        self.global_attention = global_attention
        self.head_width = width // config.heads
        self.patch_size = config.encoder.patch_size
        self.patch_embed = VisionTransformer(config.encoder)
        # slot 0 of axis 1 belongs to the first frame, which is the world, slot 1 to every other frame
        self.camera_token = nn.Parameter(torch.empty(1, 2, 1, width))
        self.register_token = nn.Parameter(torch.empty(1, 2, config.registers, width))
        initialise_token(self.camera_token, config.special_token_std)
        initialise_token(self.register_token, config.special_token_std)
        self.frame_blocks = nn.ModuleList(aggregator_block(config) for _ in range(config.depth))
        self.global_blocks = nn.ModuleList(aggregator_block(config) for _ in range(config.depth))

    @property
    def special_tokens(self) -> int:
        """The camera token and the registers, which stand before the patches of each frame."""
        return 1 + self.config.registers

    def encode(self, images: Tensor, *, frame_chunk: int | None = None, progress: Progress | None = None) -> Tensor:
        """Images (B, N, 3, H, W) in [0, 1] -> patch tokens (B, N, h*w, C)."""
        tokens = self.patch_embed(images.flatten(0, 1), frame_chunk=frame_chunk, progress=progress)
        return tokens.unflatten(0, images.shape[:2])

    def forward(
        self,
        images: Tensor,
        keep: Sequence[int],
        *,
        patch_tokens: Tensor | None = None,
        frame_chunk: int | None = None,
        global_attention: GlobalAttention | None = None,
        parallel: FrameParallel | None = None,
        progress: Progress | None = None,
        take: Take | None = None,
    ) -> AggregatorOutput:
        """Images (B, N, 3, H, W) through all layers; only those in `keep` stay.

        `patch_tokens` from `encode` save encoding again; the images then only give the size. `global_attention` takes
        the place of the model's own for this pass. `take` (layer, tokens) gives what is to be kept of a layer, as soon
        as it is ready: by default all its tokens. With `parallel` the images are the frames of this process.
        """
        take = take or (lambda layer, tokens: tokens.joined())
        attend = global_attention or self.global_attention
        if parallel is not None:
            attend = parallel.attention(attend, self.config.heads)
        batch, frames, _, height, width = images.shape
        if patch_tokens is None:
            patch_tokens = self.encode(images, frame_chunk=frame_chunk, progress=progress)
        tokens = self.add_special_tokens(patch_tokens, parallel is None or parallel.has_first_frame)  # (B, N, P, C)
        del patch_tokens
        layout = TokenLayout(frames, self.special_tokens, height // self.patch_size, width // self.patch_size)
        rope = rope_table(layout, self.head_width, tokens.device, tokens.dtype)
        order = patch_order(attend, layout, tokens.device)
        if order is not None:  # once for all layers; what is kept goes back
            tokens, rope, layout = tokens[:, :, order[0]], rope.take(order[0]), replace(layout, arranged=True)
        tokens = tokens.contiguous()
        overwrite = may_overwrite()

        kept: dict[int, Tensor] = {}
        densities: list[Tensor | None] = []
        for layer, (frame_block, global_block) in enumerate(zip(self.frame_blocks, self.global_blocks, strict=True)):
            if progress is not None:
                progress("aggregator", 2 * layer, 2 * len(self.frame_blocks))
            inside, _ = frame_block(tokens.flatten(0, 1), rope, overwrite=True)  # (B*N, P, C)
            inside = inside.unflatten(0, (batch, frames))
            if progress is not None:
                progress("aggregator", 2 * layer + 1, 2 * len(self.frame_blocks))
            before = inside.clone() if overwrite and layer in keep else inside
            across, density = global_block(inside.flatten(1, 2), rope, attend, layout, layer, overwrite=True)
            tokens = across.unflatten(1, (frames, -1))
            densities.append(density)
            if layer in keep:
                kept[layer] = take(layer, LayerTokens(before, tokens, None if order is None else order[1]))
            del inside, before, across
        return AggregatorOutput(kept, stack_densities(densities))

    def add_special_tokens(self, patch_tokens: Tensor, has_first: bool = True) -> Tensor:
        """(B, N, h*w, C) -> (B, N, P, C), the start of the residual stream: camera, registers, patches.

        has_first: the first of these frames is that of the scene.
        """
        batch, frames = patch_tokens.shape[:2]
        dtype = torch.promote_types(patch_tokens.dtype, torch.float32)
        slots = torch.cat([self.camera_token, self.register_token], dim=2).to(dtype)  # (1, 2, 1 + registers, C)
        first, others = slots[:, :1] if has_first else slots[:, 1:], slots[:, 1:].expand(-1, frames - 1, -1, -1)
        special = torch.cat([first, others], dim=1).expand(batch, -1, -1, -1)
        return torch.cat([special, patch_tokens.to(dtype)], dim=2)


def aggregator_block(config: AggregatorConfig) -> Block:
    return Block(
        config.encoder.width, config.heads, mlp_ratio=config.mlp_ratio, qk_norm=True, layer_scale=config.layer_scale
    )


def stack_densities(densities: Sequence[Tensor | None]) -> Tensor | None:
    """One (B, heads) tensor a layer -> (layers, B, heads); layers without one were dense, all of them so: None."""
    known = [density for density in densities if density is not None]
    if not known:
        return None
    return torch.stack([torch.ones_like(known[0]) if density is None else density for density in densities])
