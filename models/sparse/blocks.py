"""How patch tokens are cut into blocks, and what a block is pooled to.

Patch tokens stand frame after frame, row by row, without the special tokens between them: patch p of frame n has index
n * patches + p. A BlockLayout is plain numbers; tables are made on the device when they are needed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention import TokenLayout

LAYOUTS = ("packed", "frames")
ORDERS = ("rows", "bands")


@dataclass(frozen=True)
class BlockLayout:
    """Patch tokens as equal segments, each cut by itself every `query_block` and every `key_block` tokens.

    The last block of a segment may be short; nothing is padded. "packed" is the published cut: one segment of all
    frames, so blocks straddle frames. "frames" has one segment a frame, so every block lies in one frame.
    """

    segments: int
    segment_length: int
    query_block: int
    key_block: int
    frames: int

    @classmethod
    def of(cls, layout: TokenLayout, query_block: int, key_block: int, kind: str = "packed") -> "BlockLayout":
        """The blocks of the patch tokens of `layout`; `kind` is "packed" or "frames"."""
        if kind not in LAYOUTS:
            raise ValueError(f"Unknown block layout {kind!r}; choose from {', '.join(LAYOUTS)}.")
        patches = layout.height * layout.width
        if kind == "frames":
            return cls(layout.frames, patches, query_block, key_block, layout.frames)
        return cls(1, layout.frames * patches, query_block, key_block, layout.frames)

    @property
    def tokens(self) -> int:
        """T, all patch tokens."""
        return self.segments * self.segment_length

    @property
    def query_blocks(self) -> int:
        """Qb, in all segments."""
        return self.segments * blocks_in(self.segment_length, self.query_block)

    @property
    def key_blocks(self) -> int:
        """Kb, in all segments."""
        return self.segments * blocks_in(self.segment_length, self.key_block)

    def query_table(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """First patch and number of patches of each query block, int32 (Qb,) each."""
        return self._table(self.query_block, device)

    def key_table(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """First patch and number of patches of each key block, int32 (Kb,) each."""
        return self._table(self.key_block, device)

    def query_frames(self, device: torch.device | str = "cpu") -> Tensor:
        """The frame of each query block's first patch, int32 (Qb,)."""
        return self.query_table(device)[0] // (self.tokens // self.frames)

    def key_frames(self, device: torch.device | str = "cpu") -> Tensor:
        """The frame of each key block's first patch, int32 (Kb,)."""
        return self.key_table(device)[0] // (self.tokens // self.frames)

    def place(self, tokens: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Patches -> the number of the block of `size` that each lies in, and its place in that block."""
        inside = tokens % self.segment_length
        return tokens // self.segment_length * blocks_in(self.segment_length, size) + inside // size, inside % size

    def query_span(self, first: int, last: int) -> tuple[int, int]:
        """First patch and end of the query blocks first..last - 1, which lie one after another."""
        return self._start(first), self._start(last)

    def _start(self, block: int) -> int:
        """The first patch of a query block; T for the one after the last."""
        segment, inside = divmod(block, blocks_in(self.segment_length, self.query_block))
        return segment * self.segment_length + inside * self.query_block

    def _table(self, size: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
        inside = torch.arange(0, self.segment_length, size, dtype=torch.int32, device=device)
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
class Centroids:
    """One pooled key and value for each key block; a query sees them in place of the blocks it drops.

    The logit of a centroid is query . key * scale + log_count.
    """

    key: Tensor  # (B, heads, Kb, D)
    value: Tensor  # (B, heads, Kb, D)
    log_count: Tensor  # (Kb,) float32, the logarithm of the tokens in the block


def key_centroids(key: Tensor, value: Tensor, blocks: BlockLayout) -> Centroids:
    """Means of patch keys and values (B, heads, T, D) over key blocks, in their own type."""
    means = (pool(x, blocks.segments, blocks.key_block).to(x.dtype) for x in (key, value))
    return Centroids(*means, blocks.key_table(key.device)[1].float().log())


def pool(x: Tensor, segments: int, size: int, mode: str = "avg") -> Tensor:
    """Means ("avg"), maxima ("max") or mean squares ("square") of blocks, (B, heads, blocks, D), float32 at least.

    x: patches, (B, heads, T, D) or (B, heads, N, patches, D). A short block is pooled over the tokens that it has.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    if x.dim() == 4 or x.shape[2] != segments:
        x = x.flatten(2, -2).unflatten(2, (segments, -1))  # (B, heads, segments, L, D)
    whole = x.shape[3] // size * size
    parts = [x[:, :, :, :whole].unflatten(3, (-1, size)), x[:, :, :, None, whole:]]
    parts = [part for part in parts if part.shape[3] and part.shape[4]]
    if mode == "max":
        pooled = [part.amax(4).to(dtype) for part in parts]
    elif mode == "square":
        pooled = [part.to(dtype).square().mean(4) for part in parts]
    else:
        pooled = [part.mean(4, dtype=dtype) for part in parts]
    return torch.cat(pooled, dim=3).flatten(2, 3)


def blocks_in(length: int, size: int) -> int:
    return -(-length // size)
