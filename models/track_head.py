"""Follows query points of the first frame through all frames (VGGT, section 3.3, after CoTracker, Karaev et al. 2024).

Positions are refined in a few passes: around each position the features of the frame are compared with those of the
query, and a small transformer, over frames and over points in turn, says where to move.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config_fields import check_fields, check_heads
from .dense_head import DenseHead, DenseHeadConfig
from .layers import LayerNorm, Mlp, initialise_token

GATHER_LIMIT = 1 << 26  # numbers that the correlation may gather at once, 256 MiB in float32


@dataclass(frozen=True)
class TrackHeadConfig:
    """`corr_levels` maps, each half the one before, need images of `stride` * 2^(corr_levels - 1) pixels a side."""

    features: int = 128
    channels: tuple[int, int, int, int] = (256, 512, 1024, 1024)  # of the feature extractor's four maps
    stride: int = 2  # image pixels for each feature pixel
    corr_levels: int = 7
    corr_radius: int = 4
    width: int = 384
    heads: int = 8
    depth: int = 6
    virtual_points: int = 64
    mlp_ratio: float = 4.0
    displacement_channels: int = 64  # for x and for y each
    displacement_scale: float = 518.0
    passes: int = 4

    def __post_init__(self) -> None:
        check_fields(self)
        check_heads(self.width, self.heads, turned=False)

    @property
    def corr_channels(self) -> int:
        """Numbers that compare a feature with its surroundings: a window on each level."""
        return self.corr_levels * (2 * self.corr_radius + 1) ** 2

    @property
    def token_width(self) -> int:
        """Numbers that describe a point in a frame: displacement twice, correlations, feature."""
        return 2 * self.displacement_channels + 4 + 2 * self.features


class Tracks(NamedTuple):
    """positions (passes, B, N, Q, 2), pixels (x, y); visibility and confidence (B, N, Q) in 0..1, of the last pass."""

    positions: Tensor
    visibility: Tensor
    confidence: Tensor


class TrackHead(nn.Module):
    """The whole head: features at half resolution, then the tracker."""

    def __init__(self, width: int, config: TrackHeadConfig, patch_size: int) -> None:
        super().__init__()
        self.config = config
        features = DenseHeadConfig(features=config.features, channels=config.channels)
        self.feature_extractor = DenseHead(width, None, features, patch_size)
        self.tracker = Tracker(config)

    def forward(
        self, kept: Sequence[Tensor], image_size: tuple[int, int], query_points: Tensor, *, frame_chunk: int = 8
    ) -> Tracks:
        """Patch tokens of four layers, (B, N, h*w, 2C) each, and query points (B, Q, 2), pixels (x, y) in frame 0."""
        return self.tracker(self.extract(kept, image_size, frame_chunk), query_points)

    def extract(self, kept: Sequence[Tensor], image_size: tuple[int, int], frame_chunk: int = 8) -> Tensor:
        """Feature maps (B, N, H/2, W/2, features), rounded down; frames go in chunks, with the same result."""
        size = self.feature_size(image_size)
        batch, frames = kept[0].shape[:2]
        flat = [tokens.flatten(0, 1) for tokens in kept]
        maps = []
        for start in range(0, batch * frames, frame_chunk):
            chunk = [tokens[start : start + frame_chunk] for tokens in flat]
            maps.append(self.feature_extractor(chunk, image_size, size).permute(0, 2, 3, 1))
        return torch.cat(maps).unflatten(0, (batch, frames))

    def feature_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the feature maps; ValueError if the image is too small for the correlation levels."""
        stride = self.config.stride
        smallest = stride * 2 ** (self.config.corr_levels - 1)
        if min(image_size) < smallest:
            height, width = image_size
            raise ValueError(
                f"Tracking with {self.config.corr_levels} correlation levels needs at least {smallest} pixels on both "
                f"sides of the image, got {height} x {width} (height x width); use a higher resolution."
            )
        return image_size[0] // stride, image_size[1] // stride


class Tracker(nn.Module):
    """From feature maps and query points to tracks; all positions inside are in feature pixels."""

    def __init__(self, config: TrackHeadConfig) -> None:
        super().__init__()
        self.config = config
        features = config.features
        # slot 0 of axis 1 belongs to the frame of the query, slot 1 to all others
        self.query_ref_token = nn.Parameter(torch.empty(1, 2, config.token_width))
        initialise_token(self.query_ref_token, 1.0)
        self.corr_mlp = Mlp(config.corr_channels, config.width, features)
        self.updateformer = UpdateTransformer(config)
        self.fmap_norm = LayerNorm(features)
        self.ffeat_norm = nn.GroupNorm(1, features)
        self.ffeat_updater = nn.Sequential(nn.Linear(features, features), nn.GELU())
        self.vis_predictor = nn.Sequential(nn.Linear(features, 1))
        self.conf_predictor = nn.Sequential(nn.Linear(features, 1))

    def forward(self, maps: Tensor, query_points: Tensor) -> Tracks:
        """Feature maps (B, N, h, w, C) and query points (B, Q, 2) in image pixels."""
        maps = self.fmap_norm(maps)
        frames = maps.shape[1]
        query = query_points.to(maps.dtype) / self.config.stride  # (B, Q, 2)
        features = sample_features(maps[:, 0], query)[:, None].expand(-1, frames, -1, -1)  # (B, N, Q, C)
        positions = query[:, None].expand(-1, frames, -1, -1)  # (B, N, Q, 2)
        constant = self.query_embedding(query, maps.shape[2:4], frames)
        pyramid = feature_pyramid(maps, self.config.corr_levels)

        passes = []
        for _ in range(self.config.passes):
            positions = positions.detach()
            tokens = self.describe(pyramid, features, positions) + constant  # (B, Q, N, token width)
            update = self.updateformer(tokens).transpose(1, 2)  # (B, N, Q, 2 + C)
            features = features + self.feature_update(update[..., 2:])
            positions = positions + update[..., :2]
            positions = torch.cat([query[:, None], positions[:, 1:]], dim=1)
            passes.append(positions * self.config.stride)
        visibility = self.vis_predictor(features).squeeze(-1).sigmoid()
        confidence = self.conf_predictor(features).squeeze(-1).sigmoid()
        return Tracks(torch.stack(passes), visibility, confidence)

    def describe(self, pyramid: Sequence[Tensor], features: Tensor, positions: Tensor) -> Tensor:
        """What the transformer reads of each point in each frame, (B, Q, N, token width)."""
        config = self.config
        correlations = self.corr_mlp(correlate(pyramid, features, positions, config.corr_radius))
        displacement = positions - positions[:, :1]
        scaled = displacement / config.displacement_scale
        embedding = embed_displacement(displacement, config.displacement_channels)
        tokens = torch.cat([embedding, scaled, scaled, correlations, features], dim=-1)
        return tokens.transpose(1, 2)

    def query_embedding(self, query: Tensor, map_size: Sequence[int], frames: int) -> Tensor:
        """The part of the description that stays the same in all passes, (B, Q, N, token width)."""
        place = embed_place(query, map_size, self.config.token_width)  # (B, Q, token width)
        first, others = self.query_ref_token[:, :1], self.query_ref_token[:, 1:].expand(-1, frames - 1, -1)
        return place[:, :, None] + torch.cat([first, others], dim=1)[:, None]

    def feature_update(self, update: Tensor) -> Tensor:
        normed = self.ffeat_norm(update.flatten(0, 2))  # each point by itself
        return self.ffeat_updater(normed).view(update.shape)


class UpdateTransformer(nn.Module):
    """Attention over the frames of each point, then over the points of each frame by way of a few virtual points."""

    def __init__(self, config: TrackHeadConfig) -> None:
        super().__init__()
        width = config.width
        self.input_norm = LayerNorm(config.token_width)
        self.input_transform = nn.Linear(config.token_width, width)
        self.virual_tracks = nn.Parameter(torch.empty(1, config.virtual_points, 1, width))  # (sic) the public key
        initialise_token(self.virual_tracks, 1.0)
        self.time_blocks = self._blocks(SelfBlock, config)
        self.space_virtual2point_blocks = self._blocks(CrossBlock, config)
        self.space_virtual_blocks = self._blocks(SelfBlock, config)
        self.space_point2virtual_blocks = self._blocks(CrossBlock, config)
        self.output_norm = LayerNorm(width)
        self.flow_head = nn.Linear(width, 2 + config.features)
        nn.init.trunc_normal_(self.flow_head.weight, std=0.001)  # training starts with small moves

    @staticmethod
    def _blocks(kind: type[nn.Module], config: TrackHeadConfig) -> nn.ModuleList:
        return nn.ModuleList(kind(config.width, config.heads, config.mlp_ratio) for _ in range(config.depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, Q, N, token width) -> updates (B, Q, N, 2 + features): position, then feature."""
        batch, points, frames, _ = tokens.shape
        start = self.input_transform(self.input_norm(tokens))  # (B, Q, N, D)
        virtual = self.virual_tracks.expand(batch, -1, frames, -1)
        x = torch.cat([start, virtual], dim=1)  # (B, Q + V, N, D)
        rounds = zip(
            self.time_blocks,
            self.space_virtual2point_blocks,
            self.space_virtual_blocks,
            self.space_point2virtual_blocks,
            strict=True,
        )
        for over_time, virtual_from_points, among_virtual, points_from_virtual in rounds:
            x = over_time(x.flatten(0, 1)).unflatten(0, (batch, -1))
            x = x.transpose(1, 2).flatten(0, 1)  # (B*N, Q + V, D)
            actual, virtual = x[:, :points], x[:, points:]
            virtual = among_virtual(virtual_from_points(virtual, actual))
            actual = points_from_virtual(actual, virtual)
            x = torch.cat([actual, virtual], dim=1).unflatten(0, (batch, frames)).transpose(1, 2)
        return self.flow_head(self.output_norm(x[:, :points] + start))


class SelfBlock(nn.Module):
    """Attention and MLP whose residuals start from the normalised input, unlike the blocks of the aggregator."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.norm2 = LayerNorm(width)
        self.attn = PackedAttention(width, heads)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> the same."""
        x = self.norm1(x)
        x = x + self.attn(x, x)
        return x + self.mlp(self.norm2(x))


class CrossBlock(nn.Module):
    """The same with queries from one set of tokens and keys and values from another."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.norm_context = LayerNorm(width)
        self.norm2 = LayerNorm(width)
        self.cross_attn = PackedAttention(width, heads)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, T, D) attends to context (B, U, D)."""
        x = self.norm1(x)
        x = x + self.cross_attn(x, self.norm_context(context))
        return x + self.mlp(self.norm2(x))


class PackedAttention(nn.Module):
    """Multi-head attention with the parameter names of torch.nn.MultiheadAttention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Queries (B, T, D), keys and values from context (B, U, D)."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (
            functional.linear(source, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for source, weight, bias in zip((x, context, context), weights, biases, strict=True)
        )  # (B, heads, tokens, head width)
        out = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(out.transpose(1, 2).flatten(2))


def sample_features(maps: Tensor, positions: Tensor) -> Tensor:
    """Bilinear samples of (B, h, w, C) at positions (B, Q, 2) = (x, y), clamped to the border: (B, Q, C)."""
    height, width = maps.shape[1:3]
    limits = positions.new_tensor([width - 1, height - 1])
    positions = torch.minimum(positions.clamp(min=0), limits)
    low = torch.minimum(positions.floor(), (limits - 1).clamp(min=0))
    share = positions - low
    low = low.long()
    high = torch.minimum(low + 1, limits.long())
    rows = torch.stack([low[..., 1], low[..., 1], high[..., 1], high[..., 1]], dim=-1)  # (B, Q, 4)
    columns = torch.stack([low[..., 0], high[..., 0], low[..., 0], high[..., 0]], dim=-1)
    x, y = share.unbind(-1)
    weights = torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], dim=-1)
    scene = torch.arange(maps.shape[0], device=maps.device)[:, None, None]
    return (maps[scene, rows, columns] * weights[..., None]).sum(dim=2)


def feature_pyramid(maps: Tensor, levels: int) -> list[Tensor]:
    """(B, N, h, w, C) and its halvings by averages of 2x2; odd last rows and columns are dropped."""
    pyramid = [maps]
    for _ in range(levels - 1):
        coarser = functional.avg_pool2d(pyramid[-1].flatten(0, 1).permute(0, 3, 1, 2), kernel_size=2)
        pyramid.append(coarser.permute(0, 2, 3, 1).contiguous().unflatten(0, maps.shape[:2]))
    return pyramid


def correlate(pyramid: Sequence[Tensor], features: Tensor, positions: Tensor, radius: int) -> Tensor:
    """Similarity of each feature (B, N, Q, C) with the maps around its position, (B, N, Q, levels * window * window).

    The slow axis of a window moves x, the fast one y. Outside a map the similarity is zero.
    """
    batch, frames, points, channels = features.shape
    side = 2 * radius + 2  # integer positions that a window of 2 * radius + 1 bilinear samples touches
    step = max(1, GATHER_LIMIT // (points * side * side * channels))
    features, positions = features.flatten(0, 1), positions.flatten(0, 1)
    levels = []
    for level, maps in enumerate(pyramid):
        maps = maps.flatten(0, 1)
        windows = [
            correlate_window(maps[i : i + step], features[i : i + step], positions[i : i + step] / 2**level, radius)
            for i in range(0, batch * frames, step)
        ]
        levels.append(torch.cat(windows))
    return torch.cat(levels, dim=-1).unflatten(0, (batch, frames))


def correlate_window(maps: Tensor, features: Tensor, positions: Tensor, radius: int) -> Tensor:
    """One level: maps (M, h, w, C), features (M, Q, C), positions (M, Q, 2) -> (M, Q, window * window).

    The samples of a window lie one pixel apart, so they share one fractional part: similarities are computed at the
    integer positions around them and interpolated, and the full similarity map is never made.
    """
    height, width = maps.shape[1:3]
    low = positions.floor()
    share = positions - low
    offsets = torch.arange(-radius, radius + 2, device=maps.device)
    columns = low[..., 0, None].long() + offsets  # (M, Q, 2 * radius + 2)
    rows = low[..., 1, None].long() + offsets
    # a map one pixel wide answers for every place: align_corners sampling scales by width - 1 = 0
    inside_x = (columns >= 0) & (columns < width) | (width == 1)
    inside_y = (rows >= 0) & (rows < height) | (height == 1)
    frame = torch.arange(maps.shape[0], device=maps.device)[:, None, None, None]
    around = maps[frame, rows.clamp(0, height - 1)[..., None, :], columns.clamp(0, width - 1)[..., :, None]]
    similarity = torch.einsum("mqxyc,mqc->mqxy", around, features) / math.sqrt(features.shape[-1])
    similarity = similarity * (inside_x[..., :, None] & inside_y[..., None, :])
    x, y = share[..., 0, None, None], share[..., 1, None, None]
    similarity = similarity[..., :-1, :] * (1 - x) + similarity[..., 1:, :] * x
    similarity = similarity[..., :-1] * (1 - y) + similarity[..., 1:] * y
    return similarity.flatten(2)


def embed_displacement(displacement: Tensor, channels: int) -> Tensor:
    """(..., 2) -> (..., 2 * channels): for x, then y, sine and cosine in turn, on a linear ladder of frequencies."""
    ladder = torch.arange(0, channels, 2, device=displacement.device, dtype=displacement.dtype) * (1000.0 / channels)
    angles = displacement[..., None] * ladder  # (..., 2, channels / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-3)


def embed_place(positions: Tensor, map_size: Sequence[int], channels: int) -> Tensor:
    """Where a point lies in a map of (height, width), (..., 2) -> (..., channels): first half x, second half y.

    The public model samples a map of sinusoids bilinearly; each half depends on one coordinate only, so interpolating
    between the two nearest integers gives the same.
    """
    halves = []
    for coordinate, size in zip(positions.unbind(-1), (map_size[1], map_size[0]), strict=True):
        table = sinusoid_table(size, channels // 2).to(positions.dtype).to(positions.device)
        coordinate = coordinate.clamp(0, size - 1)
        low = coordinate.floor().long()
        share = (coordinate - low)[..., None]
        halves.append(table[low] * (1 - share) + table[(low + 1).clamp(max=size - 1)] * share)
    return torch.cat(halves, dim=-1)


def sinusoid_table(size: int, channels: int) -> Tensor:
    """[sines | cosines] of 0 .. size - 1 with frequencies from 1 down to nearly 1/10000, (size, channels), float64."""
    exponents = torch.arange(channels // 2, dtype=torch.float64) / (channels // 2)
    angles = torch.arange(size)[:, None] * 10000.0**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
