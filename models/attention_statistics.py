"""What global attention looks like, layer by layer, taken while a model runs and never holding an attention matrix.

    watch = AttentionStatistics(layers={11})
    model(images, global_attention=watch)
    watch.layers_found[11].matrix

Softmax rows are exact (float32). Of long inputs only some are made: all special tokens, and evenly spread blocks of
128 consecutive patches. Kinds of pairs are S (special) and P (patch): "S-P" is a special query and a patch key.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .attention import GlobalAttention, TokenLayout, dense_attention
from .sparse.blocks import BlockLayout, pool

KINDS = ("S-S", "S-P", "P-S", "P-P")
SHARES = (0.01, 0.05, 0.10, 0.25)
NUMBERS_AT_ONCE = 2**26  # weights of one step


@dataclass(frozen=True)
class LayerStatistics:
    """One layer of one pass; weights are softmax weights, means are over heads.

    mean, maximum: of the weights of each kind of pair. mass: the share of a query's attention that goes to each kind
    of key, so S-S and S-P sum to 1. best_mass: for each of the shares, how much of the patch-to-patch attention the
    best so many key blocks (at least one) hold, chosen for each query block and head by their true mass; pooled_mass:
    the same with blocks chosen by mean query . mean key, which is what the paper's rule can see.
    """

    matrix: Tensor  # (bins, bins) mean weight of a bin of queries to a bin of keys; NaN where no query was taken
    special_bins: tuple[bool, ...]  # which bins hold special tokens; the others hold patches
    special: Tensor  # (N * S, N * S), special queries to special keys
    mean: dict[str, float]
    maximum: dict[str, float]
    mass: dict[str, float]
    best_mass: tuple[float, ...]
    pooled_mass: tuple[float, ...]
    queries: int  # rows that were made, of `tokens`
    tokens: int
    key_blocks: int


@dataclass
class AttentionStatistics:
    """A GlobalAttention that takes statistics of dense attention in some layers and leaves the work to `attention`.

    layers: None takes all. query_blocks: at most so many blocks of patch queries, evenly spread; None takes all.
    bins: about the largest side of `matrix`.
    """

    layers: Collection[int] | None = None
    query_blocks: int | None = 32
    bins: int = 256
    shares: Sequence[float] = SHARES
    query_block: int = 128
    key_block: int = 64
    attention: GlobalAttention = dense_attention
    layers_found: dict[int, LayerStatistics] = field(default_factory=dict)

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        if self.layers is None or layer in self.layers:
            if query.shape[0] != 1:
                raise ValueError(f"Attention statistics look at one scene, got {query.shape[0]}; pass them one by one.")
            self.layers_found[layer] = layer_statistics(query[0], key[0], layout, self)
        return self.attention(query, key, value, layout, layer)


@torch.no_grad()
def layer_statistics(query: Tensor, key: Tensor, layout: TokenLayout, options: AttentionStatistics) -> LayerStatistics:
    """The statistics of queries and keys (heads, T, D)."""
    with torch.autocast(query.device.type, enabled=False):
        tally = Tally(query, key, layout, options)
        for rows in query_chunks(tally.special_at, query.shape[0] * query.shape[1]):
            tally.add_special(rows)
        for block in spread(tally.blocks.query_blocks, options.query_blocks):
            tally.add_patches(block)
        return tally.result()


def spread(count: int, most: int | None) -> list[int]:
    """At most `most` of 0 .. count - 1, evenly spread."""
    if most is None or count <= most:
        return list(range(count))
    return [(2 * i + 1) * count // (2 * most) for i in range(most)]


def token_bins(layout: TokenLayout, most: int, device: torch.device) -> tuple[Tensor, tuple[bool, ...]]:
    """The bin of each token, (T,), and which bins are special: about `most` bins in all.

    A frame, or a group of frames, has one bin of special tokens and then bins of whole patch rows (of single patches,
    where there is room), so that bins mean the same in every frame.
    """
    height, width = layout.height, layout.width
    groups = min(layout.frames, max(1, most // 2))
    room = max(1, most // groups - 1)
    row, column = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
    if room >= height and groups == layout.frames:
        parts = width if height * width <= room else 1  # halves of rows would show as a checkerboard
        patch_bins = height * parts
        inside = row * parts + column * parts // width
    else:
        patch_bins = room if groups == layout.frames else 1
        inside = (row * patch_bins // height).expand(height, width)
    special = 1 if layout.special else 0
    of_frame = torch.cat([inside.new_zeros(layout.special), special + inside.flatten()])  # (P,)
    group = torch.arange(layout.frames, device=device) * groups // layout.frames
    bins = group[:, None] * (special + patch_bins) + of_frame
    return bins.flatten(), tuple([True] * special + [False] * patch_bins) * groups


def query_chunks(tokens: Tensor, row_numbers: int) -> Iterator[Tensor]:
    """Tokens in pieces whose weights fit into one step."""
    yield from tokens.split(max(1, NUMBERS_AT_ONCE // row_numbers))


class Tally:
    """Sums over the rows seen so far."""

    def __init__(self, query: Tensor, key: Tensor, layout: TokenLayout, options: AttentionStatistics) -> None:
        self.query, self.key, self.layout, self.options = query, key, layout, options
        tokens = query.shape[1]
        device = query.device
        at = torch.arange(tokens, device=device)
        is_special = at % layout.tokens_per_frame < layout.special
        self.special_at, self.patch_at = at[is_special], at[~is_special]
        self.blocks = BlockLayout(layout, options.query_block, options.key_block)
        self.key_block_of = self.blocks.key_of(torch.arange(len(self.patch_at), device=device))
        self.bin_of, self.special_bins = token_bins(layout, options.bins, device)
        self.bins = len(self.special_bins)
        self.bin_size = torch.bincount(self.bin_of, minlength=self.bins).float()
        patches = key[None, :, self.patch_at]
        self.pooled_key = pool(patches, 1, options.key_block, self.blocks.keys_each)[0]  # (heads, Kb, D)
        self.rows = torch.zeros(self.bins, self.bins, device=device)
        self.row_count = torch.zeros(self.bins, device=device)
        self.special = torch.zeros(len(self.special_at), len(self.special_at), device=device)
        self.sums = {kind: torch.zeros((), device=device, dtype=torch.float64) for kind in KINDS}
        self.largest = {kind: torch.zeros((), device=device) for kind in KINDS}
        self.queries = {"S": 0, "P": 0}
        self.held = {name: torch.zeros(len(options.shares), device=device) for name in ("best", "pooled")}
        self.block_rows = 0

    def weights(self, tokens: Tensor) -> Iterator[Tensor]:
        """Softmax rows (heads', q, T) float32 of some tokens, a few heads at a time."""
        heads = self.query.shape[0]
        step = max(1, NUMBERS_AT_ONCE // (len(tokens) * self.query.shape[1]))
        scale = self.query.shape[-1] ** -0.5
        for first in range(0, heads, step):
            some = slice(first, first + step)
            logits = (self.query[some, tokens].float() * scale) @ self.key[some].float().transpose(1, 2)
            yield logits.softmax(-1)

    def add_special(self, tokens: Tensor) -> None:
        """Rows of special tokens."""
        place = torch.searchsorted(self.special_at, tokens)
        for weights in self.weights(tokens):
            self._add(weights, tokens, "S")
            self.special[place] += weights[..., self.special_at].sum(0) / self.query.shape[0]
        self.queries["S"] += len(tokens)
        self._count(tokens)

    def add_patches(self, block: int) -> None:
        """Rows of one block of patch queries."""
        first, end = self.blocks.query_span(block, block + 1)
        tokens = self.patch_at[first:end]
        pooled_query = self.query[:, tokens].float().mean(1)  # (heads, D)
        scores = (self.pooled_key @ pooled_query[..., None])[..., 0]  # (heads, Kb)
        head = 0
        for weights in self.weights(tokens):
            self._add(weights, tokens, "P")
            self._add_blocks(weights, scores[head : head + len(weights)])
            head += len(weights)
        self.queries["P"] += len(tokens)
        self.block_rows += 1
        self._count(tokens)

    def result(self) -> LayerStatistics:
        """Means of what was added."""
        heads, tokens = self.query.shape[:2]
        sizes = {"S": len(self.special_at), "P": len(self.patch_at)}
        rows = {kind: max(1, heads * self.queries[kind[0]]) for kind in KINDS}
        mass = {kind: float(self.sums[kind]) / rows[kind] for kind in KINDS}
        best, pooled = (
            tuple((self.held[name] / max(1, self.block_rows * heads)).tolist()) for name in ("best", "pooled")
        )
        return LayerStatistics(
            special_bins=self.special_bins,
            key_blocks=self.blocks.key_blocks,
            matrix=(self.rows / self.row_count[:, None] / self.bin_size).cpu(),
            special=self.special.cpu(),
            mean={kind: mass[kind] / max(1, sizes[kind[2]]) for kind in KINDS},
            maximum={kind: float(self.largest[kind]) for kind in KINDS},
            mass=mass,
            best_mass=best,
            pooled_mass=pooled,
            queries=sum(self.queries.values()),
            tokens=tokens,
        )

    def _count(self, tokens: Tensor) -> None:
        self.row_count += torch.bincount(self.bin_of[tokens], minlength=self.bins)

    def _add(self, weights: Tensor, tokens: Tensor, query_kind: str) -> None:
        """Weights (heads', q, T) into matrix, sums and maxima."""
        over_heads = weights.sum(0) / self.query.shape[0]  # (q, T)
        binned = over_heads.new_zeros(len(tokens), self.bins).index_add_(1, self.bin_of, over_heads)
        self.rows.index_add_(0, self.bin_of[tokens], binned)
        for key_kind, at in (("S", self.special_at), ("P", self.patch_at)):
            if len(at):
                part = weights[..., at]
                kind = f"{query_kind}-{key_kind}"
                self.sums[kind] += part.sum(dtype=torch.float64)
                self.largest[kind] = torch.maximum(self.largest[kind], part.max())

    def _add_blocks(self, weights: Tensor, scores: Tensor) -> None:
        """Share of patch-to-patch mass in the best blocks, by mass and by pooled score."""
        per_token = weights[..., self.patch_at].sum(1)  # (heads', T')
        mass = per_token.new_zeros(len(per_token), self.blocks.key_blocks).index_add_(1, self.key_block_of, per_token)
        mass = mass / mass.sum(-1, keepdim=True).clamp(min=1e-30)
        for name, order in (("best", mass), ("pooled", scores)):
            reached = mass.gather(-1, order.argsort(-1, descending=True)).cumsum(-1)  # (heads', Kb)
            for place, share in enumerate(self.options.shares):
                count = max(1, round(share * self.blocks.key_blocks))
                self.held[name][place] += reached[:, count - 1].sum()
