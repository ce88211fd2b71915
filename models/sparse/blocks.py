"""Patch tokens cut into query blocks and key blocks, and what stands for a block: means and variances."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention import TokenLayout

ORDERS = ("rows", "bands")


@dataclass(frozen=True)
class BlockLayout:
    """The patches of all frames as equal segments, each cut by itself every `query_block` and every `key_block` tokens.

    Unframed there is one segment, the published cut: blocks straddle frames. Framed, each frame is a segment. The last
    block of a segment may be short; nothing is padded. A query block has `parts` rows of scores. Key blocks come in
    groups of `group`: the last group of a segment is filled up with empty blocks, so that no group straddles segments.
    """

    layout: TokenLayout
    query_block: int
    key_block: int
    framed: bool = False
    parts: int = 1
    group: int = 1

    @property
    def segments(self) -> int:
        return self.layout.frames if self.framed else 1

    @property
    def segment_length(self) -> int:
        """Patches of a segment."""
        patches = self.layout.height * self.layout.width
        return patches if self.framed else self.layout.frames * patches

    @property
    def tokens(self) -> int:
        """All patches."""
        return self.segments * self.segment_length

    @property
    def last_key_block(self) -> int:
        """Patches of the last block that holds any, of each segment."""
        return self.segment_length % self.key_block or self.key_block

    @property
    def queries_each(self) -> int:
        """Query blocks of a segment."""
        return blocks_in(self.segment_length, self.query_block)

    @property
    def keys_each(self) -> int:
        """Key blocks of a segment, empty ones included."""
        return blocks_in(self.segment_length, self.key_block * self.group) * self.group

    @property
    def query_blocks(self) -> int:
        """Qb, in all segments."""
        return self.segments * self.queries_each

    @property
    def key_blocks(self) -> int:
        """Kb, in all segments, empty ones included."""
        return self.segments * self.keys_each

    @property
    def key_groups(self) -> int:
        """Kg, in all segments."""
        return self.key_blocks // self.group

    @property
    def filled_key_blocks(self) -> int:
        """Key blocks that hold a token."""
        return self.segments * blocks_in(self.segment_length, self.key_block)

    def query_table(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """First patch and number of patches of each query block, int32 (Qb,) each."""
        return self._table(self.query_block, self.queries_each, device)

    def part_table(self, device: torch.device | str = "cpu") -> Tensor:
        """Number of patches of each row of scores, int32 (Qb, parts)."""
        size = self.query_block // self.parts
        return self._table(size, self.queries_each * self.parts, device)[1].view(-1, self.parts)

    def key_table(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """First patch and number of patches of each key block, int32 (Kb,) each."""
        return self._table(self.key_block, self.keys_each, device)

    def query_of(self, patches: Tensor) -> Tensor:
        """Patches -> the query block that each lies in."""
        return self._block_of(patches, self.query_block, self.queries_each)

    def key_of(self, patches: Tensor) -> Tensor:
        """Patches -> the key block that each lies in."""
        return self._block_of(patches, self.key_block, self.keys_each)

    def token_rows(self, patches: Tensor) -> Tensor:
        """Patches -> their rows among all tokens, where every frame begins with its special tokens."""
        per_frame = self.layout.height * self.layout.width
        return patches + (patches // per_frame + 1) * self.layout.special

    def query_span(self, first: int, last: int) -> tuple[int, int]:
        """First patch and end of the query blocks first..last - 1, which lie one after another."""
        return self._start(first), self._start(last)

    def _block_of(self, patches: Tensor, size: int, each: int) -> Tensor:
        return patches // self.segment_length * each + patches % self.segment_length // size

    def _start(self, block: int) -> int:
        """The first patch of a query block; that behind the last one for the number behind the last."""
        segment, inside = divmod(block, self.queries_each)
        return segment * self.segment_length + min(inside * self.query_block, self.segment_length)

    def _table(self, size: int, each: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        inside = (torch.arange(each, dtype=torch.int32, device=device) * size).clamp(max=self.segment_length)
        lengths = (self.segment_length - inside).clamp(max=size)
        offsets = torch.arange(self.segments, dtype=torch.int32, device=device) * self.segment_length
        return (offsets[:, None] + inside).flatten(), lengths.repeat(self.segments)


def band_order(height: int, width: int, key_block: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """An order of a frame's patches in which blocks are compact, and its inverse, (height * width,) each.

    The rows are dealt into bands about as high as a square key block, and a band is read column by column, forth and
    back in turn. So every stretch of the order covers a compact part of the picture, whatever its size.
    """
    bands = max(1, round(height / key_block**0.5))
    row = torch.arange(height, device=device)[:, None]
    column = torch.arange(width, device=device)
    band = row * bands // height
    column = torch.where(band % 2 == 0, column, width - 1 - column)  # (height, width)
    order = ((band * width + column) * height + row).flatten().argsort()
    return order, order.argsort()


@dataclass(frozen=True)
class Moments:
    """Mean and variance of the tokens of each block; zero in empty blocks."""

    mean: Tensor  # (B, heads, blocks, D)
    variance: Tensor | None  # the same shape


@dataclass(frozen=True)
class Centroids:
    """What a query sees of key blocks that it drops: one key and one value for each group of key blocks.

    The logit of a group is q . key / sqrt(D) + sum_d q_d^2 spread_d / 2D + ln n, where n is the number of its tokens
    that the query drops: the logarithm of the sum of their exponentials, to second order.
    """

    key: Tensor  # (B, heads, Kg, D), the mean
    spread: Tensor  # (B, heads, Kg, D), the variance of the keys
    value: Tensor  # (B, heads, Kg, D), the mean


def in_blocks(x: Tensor, segments: int, size: int, each: int) -> Tensor:
    """Patches (B, heads, T, D) as blocks (B, heads, segments * each, size, D), filled up with zeros at their ends."""
    x = x.unflatten(2, (segments, -1))
    x = torch.nn.functional.pad(x, (0, 0, 0, size * each - x.shape[3]))
    return x.unflatten(3, (each, size)).flatten(2, 3)


def pool(x: Tensor, segments: int, size: int, each: int, mode: str = "avg") -> Tensor:
    """Means ("avg"), maxima ("max") or mean squares ("square") of blocks, (B, heads, segments * each, D).

    x: patches (B, heads, T, D). Computed in float32 at least. A short block is pooled over the tokens that it has, an
    empty one gives zero.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    inside = torch.arange(size * each, device=x.device).view(each, size, 1) < x.shape[2] // segments
    x = in_blocks(x, segments, size, each).unflatten(2, (segments, each))
    count = inside.sum(1).clamp(min=1)  # (each, 1)
    if mode == "max":
        pooled = x.masked_fill(~inside, -torch.inf).amax(4).masked_fill(~inside.any(1), 0).to(dtype)
    else:
        x = x.to(dtype)
        pooled = (x.square() if mode == "square" else x).sum(4) / count
    return pooled.flatten(2, 3)


def moments(x: Tensor, segments: int, size: int, each: int, spread: bool = True) -> Moments:
    """Mean and, with `spread`, variance of blocks of patches (B, heads, T, D), float32 at least."""
    mean = pool(x, segments, size, each)
    if not spread:
        return Moments(mean, None)
    return Moments(mean, (pool(x, segments, size, each, "square") - mean.square()).clamp(min=0))


def grouped(blocks: Moments, lengths: Tensor, group: int) -> Moments:
    """The moments of groups of `group` blocks in a row, from those of the blocks, which have `lengths` tokens."""
    weight = lengths.to(blocks.mean.dtype).view(-1, group, 1)
    weight = weight / weight.sum(1, keepdim=True).clamp(min=1)  # (Kg, group, 1)
    mean, variance = blocks.mean.unflatten(2, (-1, group)), blocks.variance
    centre = (mean * weight).sum(3)
    if variance is None:
        return Moments(centre, None)
    square = ((variance.unflatten(2, (-1, group)) + mean.square()) * weight).sum(3)
    return Moments(centre, (square - centre.square()).clamp(min=0))


def special_tokens(x: Tensor, blocks: BlockLayout) -> Tensor:
    """Tokens (B, heads, N * P, D) -> the special ones (B, heads, N * S, D)."""
    return x.unflatten(2, (blocks.layout.frames, -1))[:, :, :, : blocks.layout.special].flatten(2, 3)


def special_keys_and_values(key: Tensor, value: Tensor, blocks: BlockLayout) -> tuple[Tensor, Tensor]:
    """Those of all tokens (B, heads, N * P, D), (B, heads, N * S, D) each, in one piece."""
    return special_tokens(key, blocks).contiguous(), special_tokens(value, blocks).contiguous()


def patch_tokens(x: Tensor, blocks: BlockLayout) -> Tensor:
    """Tokens (B, heads, N * P, D) -> patches (B, heads, N * h * w, D)."""
    return x.unflatten(2, (blocks.layout.frames, -1))[:, :, :, blocks.layout.special :].flatten(2, 3)


def blocks_in(length: int, size: int) -> int:
    return -(-length // size)
