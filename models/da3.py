"""Depth Anything 3, any-view series (Lin et al. 2025): images of one scene -> depth, rays and cameras in one pass.

One vision transformer does everything: its first blocks see single frames, later ones single frames and all frames in
turn. The class token of every frame becomes its camera token on the way. Read top to bottom: configuration, output,
model, backbone, camera heads. Poses are OpenCV, camera to world, in a world near the reference frame's camera.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .aggregator import LayerTokens, stack_densities
from .attention import GlobalAttention, TokenLayout, dense_attention, patch_order
from .config_fields import check_fields, check_heads, read_config
from .dense_head import DenseHeadConfig, depth_from_raw
from .dinov2 import EncoderConfig, PatchEmbed, normalise, sent
from .dual_head import DualHead, rays_from_raw
from .gathered import Gathered
from .head_inputs import HeadInputs
from .layers import Block, LayerNorm, Mlp, initialise_token
from .lean import may_overwrite
from .parallel import FrameParallel
from .progress import Progress
from .reference_frame import REFERENCES, Reference, choose_reference
from .rope import RopeTable, rope_at, rope_table
from .vggt import check_images, check_pass_options

OUTPUTS = ("camera", "depth", "rays")
CAMERA_HEADS = 16  # of the camera encoder's attention, in every size
POSE_SIZE = 9


@dataclass(frozen=True)
class DepthAnything3Config:
    """The published "large"; `SIZES` has the others.

    Blocks from `alternate_from` on have rotary positions and normalised queries and keys, and those of them with odd
    numbers attend to all frames. `kept_layers` are the four blocks that the dense head reads, early to late; the camera
    head reads the last of them. `image_size` only fixes the learnt position table; `trained_size` is the longer side of
    the images that it was trained for.
    """

    width: int = 1024
    depth: int = 24
    heads: int = 16
    alternate_from: int = 8
    kept_layers: tuple[int, int, int, int] = (11, 15, 19, 23)
    dense: DenseHeadConfig = field(default_factory=DenseHeadConfig)
    patch_size: int = 14
    image_size: int = 518
    trained_size: int = 504

    def __post_init__(self) -> None:
        check_fields(self)
        check_heads(self.width, self.heads)
        check_heads(self.width, CAMERA_HEADS, turned=False)
        if not all(layer < self.depth for layer in self.kept_layers):
            raise ValueError(f"kept_layers must be four blocks below depth {self.depth}, got {self.kept_layers}.")
        if not 2 <= self.alternate_from < self.depth:
            raise ValueError(f"alternate_from must be 2 to {self.depth - 1}, got {self.alternate_from}.")

    def is_global(self, block: int) -> bool:
        """Whether a block attends to all frames."""
        return block >= self.alternate_from and block % 2 == 1

    @property
    def global_blocks(self) -> tuple[int, ...]:
        return tuple(block for block in range(self.depth) if self.is_global(block))


SIZES = {
    "small": DepthAnything3Config(
        width=384,
        depth=12,
        heads=6,
        alternate_from=4,
        kept_layers=(5, 7, 9, 11),
        dense=DenseHeadConfig(features=64, channels=(48, 96, 192, 384)),
    ),
    "base": DepthAnything3Config(
        width=768,
        depth=12,
        heads=12,
        alternate_from=4,
        kept_layers=(5, 7, 9, 11),
        dense=DenseHeadConfig(features=128, channels=(96, 192, 384, 768)),
    ),
    "large": DepthAnything3Config(),
}


@dataclass(frozen=True)
class DepthAnything3Output:
    """What was asked for; the rest is None. All float32 (or float64 if the heads are)."""

    pose_encoding: Tensor | None = None  # (B, N, 9) camera to world: [centre, quaternion xyzw, fov_h, fov_w]
    depth: Tensor | None = None  # (B, N, H, W), along the camera's z axis
    depth_confidence: Tensor | None = None  # (B, N, H, W), above 1
    rays: Tensor | None = None  # (B, N, 8h, 8w, 6) [direction, origin] in the world, directions of any length
    ray_confidence: Tensor | None = None  # (B, N, 8h, 8w), above 1
    reference: Tensor | None = None  # (B, N) bool: the reference frame; None where poses were given
    density: Tensor | None = None  # (global blocks, B, heads), share of pairs computed; None: all


class DepthAnything3(nn.Module):
    """The network; `global_attention` has no parameters, so every choice loads the same checkpoint."""

    def __init__(
        self, config: DepthAnything3Config = SIZES["large"], global_attention: GlobalAttention = dense_attention
    ) -> None:
        super().__init__()
        self.config = config
        self.global_attention = global_attention
        self.backbone = nn.ModuleDict({"pretrained": Backbone(config)})
        self.head = DualHead(2 * config.width, config.dense, config.patch_size)
        self.cam_dec = CameraDecoder(2 * config.width)
        self.cam_enc = CameraEncoder(config.width)

    def forward(
        self,
        images: Tensor,
        *,
        outputs: Sequence[str] = ("camera", "depth"),
        poses: Tensor | None = None,
        reference: str = "saddle_balanced",
        frame_chunk: int = 8,
        global_attention: GlobalAttention | None = None,
        parallel: FrameParallel | None = None,
        progress: Progress | None = None,
        head_dtype: torch.dtype | None = None,
        results: str | torch.device | None = None,
        maps: str | torch.device | None = None,
    ) -> DepthAnything3Output:
        """Reconstruct B scenes of N frames.

        images: (B, N, 3, H, W) or (N, 3, H, W), RGB in [0, 1], H and W multiples of the patch size. They may lie on the
        CPU while the weights are on a GPU; each is then copied when its turn comes.
        outputs: any of "camera", "depth", "rays". poses: known cameras (B, N, 9) in the form of `pose_encoding`, which
        condition the result; there is then no reference frame. reference: how the reference frame is chosen of three
        and more, a name of REFERENCES. Other arguments are those of `VGGT.forward`.
        """
        images = check_images(images, self.config.patch_size)
        check_pass_options(frame_chunk, head_dtype)
        self._check(images, outputs, poses, reference)
        size, scenes = tuple(images.shape[-2:]), images.shape[:2]
        device = next(self.parameters()).device
        chunk = scenes[0] * scenes[1] if self.training else frame_chunk
        wants_maps = "depth" in outputs or "rays" in outputs
        inputs = HeadInputs(
            dense={"depth": self.head} if wants_maps else {},
            kept_layers=self.config.kept_layers,
            camera_layer=self.config.kept_layers[-1] if "camera" in outputs else None,
            wants_tracks=False,
            special=1,
            image_size=size,
            frame_chunk=chunk,
            precision=lambda: torch.autocast(device.type, head_dtype, enabled=head_dtype is not None),
            maps_on=maps,
        )
        is_reference, density = self.backbone["pretrained"](
            images,
            inputs,
            attend=global_attention or self.global_attention,
            camera_tokens=None if poses is None else self._known_cameras(poses, parallel),
            reference=REFERENCES[reference],
            frame_chunk=chunk,
            parallel=parallel,
            progress=progress,
        )
        found: dict[str, Any] = {"reference": is_reference, "density": density}
        if "camera" in outputs:
            if progress is not None:
                progress("camera", 0, 1)
            with torch.autocast(device.type, enabled=False):
                found["pose_encoding"] = self.cam_dec(inputs.camera_tokens)
        if wants_maps:
            found |= self._dense(inputs, outputs, scenes, results, progress)
        return DepthAnything3Output(**found)

    def parts(self) -> dict[str, list[nn.Module]]:
        """The modules whose time is told apart; all modules inside a head belong to it."""
        backbone = self.backbone["pretrained"]
        numbered = list(enumerate(backbone.blocks))
        return {
            "encoder": [backbone.patch_embed],
            "frame": [block for number, block in numbered if not self.config.is_global(number)],
            "global": [block for number, block in numbered if self.config.is_global(number)],
            "camera": [*self.cam_dec.modules(), *self.cam_enc.modules()],
            "depth": list(self.head.modules()),
        }

    def _dense(
        self,
        inputs: HeadInputs,
        outputs: Sequence[str],
        scenes: tuple[int, int],
        results: str | torch.device | None,
        progress: Progress | None,
    ) -> dict[str, Tensor]:
        """Depth and rays of all frames, some frames at a time."""
        total = scenes[0] * scenes[1]
        gathered = Gathered(total, results)
        for start in range(0, total, inputs.frame_chunk):
            if progress is not None:
                progress("depth", start, total)
            maps = inputs.maps_of("depth", start, start + inputs.frame_chunk)
            with inputs.precision():
                if "rays" in outputs:
                    depth, rays = self.head.predict_both(maps, inputs.image_size)
                    gathered.add((*depth_from_raw(depth), *rays_from_raw(rays)))
                else:
                    gathered.add(depth_from_raw(self.head.predict(maps, inputs.image_size)))
        names = ("depth", "depth_confidence", "rays", "ray_confidence")
        found = dict(zip(names, (x.unflatten(0, scenes) for x in gathered.all()), strict=False))
        return found if "depth" in outputs else {name: found[name] for name in names[2:]}

    def _known_cameras(self, poses: Tensor, parallel: FrameParallel | None) -> Tensor:
        """The tokens (B, N, C) that take the place of the camera tokens; the cameras of a scene see each other."""
        device = next(self.parameters()).device
        poses = poses.to(device, torch.promote_types(poses.dtype, torch.float32))
        with torch.autocast(device.type, enabled=False):
            if parallel is None:
                return self.cam_enc(poses)
            return parallel.own_frames(self.cam_enc(parallel.all_frames(poses)))

    def _check(self, images: Tensor, outputs: Sequence[str], poses: Tensor | None, reference: str) -> None:
        for name in outputs:
            if name not in OUTPUTS:
                raise ValueError(f"Unknown output {name!r}; choose from {', '.join(OUTPUTS)}.")
        if reference not in REFERENCES:
            raise ValueError(f"Unknown choice of a reference frame {reference!r}; choose from {', '.join(REFERENCES)}.")
        if poses is not None and tuple(poses.shape) != (*images.shape[:2], POSE_SIZE):
            raise ValueError(
                f"Known poses must be (B, N, {POSE_SIZE}) for images {tuple(images.shape)}, got {tuple(poses.shape)}."
            )


class Backbone(nn.Module):
    """The vision transformer, by its public names."""

    def __init__(self, config: DepthAnything3Config) -> None:
        super().__init__()
        self.config = config
        grid = config.image_size // config.patch_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.camera_token = nn.Parameter(torch.empty(1, 2, config.width))  # of the reference frame, of every other
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + grid * grid, config.width))
        for token in (self.cls_token, self.camera_token, self.pos_embed):
            initialise_token(token, 0.02)
        self.patch_embed = PatchEmbed(EncoderConfig(width=config.width, patch_size=config.patch_size))
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, norm_eps=1e-6, qk_norm=number >= config.alternate_from, layer_scale=1.0)
            for number in range(config.depth)
        )
        self.norm = LayerNorm(config.width)

    def forward(
        self,
        images: Tensor,
        inputs: HeadInputs,
        *,
        attend: GlobalAttention,
        camera_tokens: Tensor | None,
        reference: Reference,
        frame_chunk: int,
        parallel: FrameParallel | None,
        progress: Progress | None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Images (B, N, 3, H, W) through all blocks; `inputs` takes what the heads need.

        camera_tokens: (B, N, C) of known cameras, or None. Returns where the reference frame is (B, N) and the density.
        The public code moves the reference frame to the front; since nothing in the network says where a frame stands,
        marking it by its camera token gives the same result.
        """
        config = self.config
        batch, frames, _, height, width = images.shape
        attend = attend if parallel is None else parallel.attention(attend, config.heads)
        tokens = self.embed_all(images, frame_chunk, progress)  # (B, N, P, C)
        layout = TokenLayout(frames, 1, height // config.patch_size, width // config.patch_size)
        head_width = config.width // config.heads
        rope = rope_table(layout, head_width, tokens.device, tokens.dtype)
        order = patch_order(attend, layout, tokens.device)
        if order is not None:
            tokens, rope, layout = (
                tokens[:, :, order[0]].contiguous(),
                rope.take(order[0]),
                replace(layout, arranged=True),
            )
        across = same_place(layout, head_width, tokens)
        is_reference, densities, inside = None, [], tokens
        for number, block in enumerate(self.blocks):
            if progress is not None:
                progress("aggregator", number, config.depth)
            if number == config.alternate_from - 1 and camera_tokens is None:
                is_reference = choose_reference(tokens[:, :, 0], reference, parallel)
            if number == config.alternate_from:
                tokens[:, :, 0] = self.reference_tokens(is_reference) if camera_tokens is None else camera_tokens
            if config.is_global(number):
                layer = len(densities)
                x, density = block(tokens.flatten(1, 2), across, attend, layout, layer, overwrite=True)
                densities.append(density)
                tokens = x.unflatten(1, (frames, -1))
            else:
                local = rope if number >= config.alternate_from else None
                tokens = block(tokens.flatten(0, 1), local, overwrite=True)[0].unflatten(0, (batch, frames))
                keeps = may_overwrite() and number + 1 in inputs.layers
                inside = tokens.clone() if keeps else tokens
            if number in inputs.layers:
                inputs.take(number, HeadTokens(inside, tokens, None if order is None else order[1], self.norm))
        return is_reference, stack_densities(densities)

    def embed_all(self, images: Tensor, frame_chunk: int, progress: Progress | None) -> Tensor:
        """The residual stream before the first block, (B, N, 1 + h*w, C); some images at a time are brought here."""
        flat = images.flatten(0, 1)
        gathered = Gathered(flat.shape[0])
        for start in range(0, flat.shape[0], frame_chunk):
            if progress is not None:
                progress("encoder", start, flat.shape[0])
            gathered.add((self.embed(sent(flat[start : start + frame_chunk], self.cls_token.device)),))
        return gathered.all()[0].unflatten(0, images.shape[:2])

    def embed(self, images: Tensor) -> Tensor:
        """(M, 3, H, W) -> class token and patches with their positions, (M, 1 + h*w, C)."""
        dtype = torch.promote_types(self.pos_embed.dtype, torch.float32)  # of the residual stream
        table = position_table(self.pos_embed.to(dtype), *images.shape[-2:], self.config.patch_size)
        first = (self.cls_token + table[:, :1]).expand(images.shape[0], -1, -1)
        return torch.cat([first, self.patch_embed(normalise(images)) + table[:, 1:]], dim=1)

    def reference_tokens(self, is_reference: Tensor) -> Tensor:
        """Camera tokens (B, N, C) for frames of which (B, N) says which is the reference."""
        own, others = self.camera_token[0]
        return torch.where(is_reference[..., None], own, others)


@dataclass(frozen=True)
class HeadTokens(LayerTokens):
    """Tokens of a layer as the dense head wants them: the second half goes through the backbone's last norm."""

    norm: LayerNorm

    def joined(self, first: int = 0, end: int | None = None) -> Tensor:
        across = self.norm(self.across[:, first:end])
        both = torch.cat([self.inside[:, first:end].to(across.dtype), across], dim=-1)
        return both if self.back is None else both[:, :, self.back]


class CameraDecoder(nn.Module):
    """Camera token (B, N, 2C) -> pose encoding (B, N, 9), one frame at a time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.fc_t = nn.Linear(width, 3)
        self.fc_qvec = nn.Linear(width, 4)
        self.fc_fov = nn.Sequential(nn.Linear(width, 2), nn.ReLU())

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.backbone(tokens.to(self.fc_t.weight.dtype))
        return torch.cat([self.fc_t(x), self.fc_qvec(x), self.fc_fov(x)], dim=-1)


class CameraEncoder(nn.Module):
    """Known cameras of a scene, pose encodings (B, N, 9) -> camera tokens (B, N, C)."""

    def __init__(self, width: int, depth: int = 4) -> None:
        super().__init__()
        self.pose_branch = Mlp(POSE_SIZE, width // 2, width)
        self.token_norm = LayerNorm(width)
        self.trunk = nn.ModuleList(Block(width, CAMERA_HEADS, layer_scale=0.01) for _ in range(depth))
        self.trunk_norm = LayerNorm(width)

    def forward(self, poses: Tensor) -> Tensor:
        x = self.token_norm(self.pose_branch(poses.to(self.pose_branch.fc1.weight.dtype)))
        for block in self.trunk:
            x, _ = block(x)
        return self.trunk_norm(x)


def position_table(table: Tensor, height: int, width: int, patch_size: int) -> Tensor:
    """The learnt table (1, 1 + g*g, C) resampled for height x width pixels, (1, 1 + h*w, C); class entry first.

    Without antialias, and with a tenth of a patch added to both sides, as DINOv2 had it before registers.
    """
    rows, columns = height // patch_size, width // patch_size
    side = round((table.shape[1] - 1) ** 0.5)
    if height == width and rows == side:
        return table
    grid = table[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)  # (1, C, g, g)
    scale = ((rows + 0.1) / side, (columns + 0.1) / side)
    grid = functional.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def same_place(layout: TokenLayout, head_width: int, like: Tensor) -> RopeTable:
    """Rotary positions of global blocks for a frame: the camera token at (0, 0), all patches at (1, 1)."""
    positions = torch.ones(layout.tokens_per_frame, 2, dtype=torch.int64, device=like.device)
    positions[: layout.special] = 0
    return rope_at(positions, head_width, like.dtype)


def config_from_dict(fields: dict[str, Any]) -> DepthAnything3Config:
    """The inverse of `dataclasses.asdict`, also after a round trip through JSON (which turns tuples into lists)."""
    return read_config(DepthAnything3Config, fields)


def config_for(shapes: Mapping[str, tuple[int, ...]]) -> DepthAnything3Config:
    """The published size of so wide a file; ValueError for others."""
    width = (shapes["backbone.pretrained.camera_token"] or (0,))[-1]
    for config in SIZES.values():
        if config.width == width:
            return config
    raise ValueError(
        f"These are Depth Anything 3 weights of width {width}; the any-view sizes {', '.join(SIZES)} are supported."
    )
