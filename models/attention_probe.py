"""Where one patch looks: the exact softmax row of one query in some global layers, taken while a model runs.

    probe = AttentionProbe(frame=0, row=8, column=8, layers={11})
    model(images, global_attention=probe)
    probe.rows[11].patches.mean(0)  # (N, h, w)

A row has T numbers a head, so the attention matrix is never held.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .attention import GlobalAttention, TokenLayout, dense_attention
from .sparse import BlockSparse, token_order
from .sparse.blocks import grouped, moments, patch_tokens
from .sparse.operation import Problem, summary_of
from .sparse.reference import selected_blocks
from .sparse.select import index_of_rows


@dataclass(frozen=True)
class AttentionRow:
    """Softmax weights of one query, float32; over patches and special tokens together each head sums to 1."""

    patches: Tensor  # (heads, N, h, w)
    special: Tensor  # (heads, N, S)
    computed: Tensor  # (heads, N, h, w) bool: seen key by key, not left out or seen through a centroid only

    @property
    def special_mass(self) -> Tensor:
        """The share that goes to special tokens, (heads,)."""
        return self.special.sum((1, 2))


@dataclass
class AttentionProbe:
    """A GlobalAttention that notes the row of one query patch in `layers` and leaves the work to `attention`.

    frame, row, column: the query patch, counted from 0; row and column on the patch grid. With a BlockSparse the row is
    what it computes: keys left out weigh 0, and a centroid's weight is spread evenly over the patches it stands for.
    Any other function is taken to be softmax attention over all tokens. One scene a pass.
    """

    frame: int
    row: int
    column: int
    layers: Collection[int]
    attention: GlobalAttention = dense_attention
    rows: dict[int, AttentionRow] = field(default_factory=dict)  # layer -> its row, filled by the pass

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, layout: TokenLayout, layer: int
    ) -> tuple[Tensor, Tensor | None]:
        if layer in self.layers:
            self._check(query, layout)
            self.rows[layer] = attention_row(
                query, key, layout, layer, (self.frame, self.row, self.column), self.attention
            )
        return self.attention(query, key, value, layout, layer)

    def _check(self, query: Tensor, layout: TokenLayout) -> None:
        if query.shape[0] != 1:
            raise ValueError(f"An attention probe looks at one scene, got {query.shape[0]}; pass them one by one.")
        for name, value, size in (
            ("frame", self.frame, layout.frames),
            ("row", self.row, layout.height),
            ("column", self.column, layout.width),
        ):
            if not 0 <= value < size:
                raise ValueError(f"The query's {name} must be from 0 to {size - 1} for these images, got {value}.")


@torch.no_grad()
def attention_row(
    query: Tensor,
    key: Tensor,
    layout: TokenLayout,
    layer: int,
    patch: tuple[int, int, int],
    attention: GlobalAttention = dense_attention,
) -> AttentionRow:
    """The row of the query `patch` (frame, row, column) for queries and keys (1, heads, T, D); see AttentionProbe."""
    frame, row, column = patch
    inside = row * layout.width + column
    at = frame * layout.tokens_per_frame + layout.special + inside
    with torch.autocast(query.device.type, enabled=False):
        one = query[0, :, at].float() * query.shape[-1] ** -0.5  # (heads, D)
        logits = (key[0].float() @ one[..., None])[..., 0]  # (heads, T)
        special, patches = split_row(logits, layout)
        if not is_sparse(attention, layer, query.shape[2]):
            weights = logits.softmax(-1)
            special, patches = split_row(weights, layout)
            computed = torch.ones_like(patches, dtype=torch.bool)
        else:
            special, patches, computed = sparse_row(
                query,
                key,
                layout,
                layer,
                frame * layout.height * layout.width + inside,
                attention,
                one,
                special,
                patches,
            )
    grid = (layout.frames, layout.height, layout.width)
    return AttentionRow(
        patches.unflatten(1, grid), special.unflatten(1, (layout.frames, layout.special)), computed.unflatten(1, grid)
    )


def is_sparse(attention: GlobalAttention, layer: int, tokens: int) -> bool:
    """True if `attention` leaves pairs out in this layer."""
    if not isinstance(attention, BlockSparse):
        return False
    return tokens >= attention.config.min_tokens and not attention.config.is_dense(layer)


def split_row(row: Tensor, layout: TokenLayout) -> tuple[Tensor, Tensor]:
    """(heads, T) -> special tokens (heads, N * S) and patches (heads, N * h * w)."""
    framed = row.unflatten(-1, (layout.frames, -1))
    return framed[..., : layout.special].flatten(-2), framed[..., layout.special :].flatten(-2)


def sparse_row(
    query: Tensor,
    key: Tensor,
    layout: TokenLayout,
    layer: int,
    patch: int,
    attention: BlockSparse,
    one: Tensor,
    special: Tensor,
    patches: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of special tokens (heads, N * S) and patches (heads, N * h * w), and which patches are computed.

    patch: the query among all patches, frame by frame. one: its scaled vector (heads, D). special, patches: logits.
    """
    per_frame = layout.height * layout.width
    orders = attention.patch_order(replace(layout, arranged=False), query.device)
    rows = torch.arange(per_frame, device=query.device)
    order, inverse = (rows, rows) if orders is None or layout.arranged else orders
    arranged = token_order(order, layout)
    problem = attention.problem(*(x[:, :, arranged] for x in (query, key, key)), layout, layer)
    blocks = problem.blocks
    place = torch.tensor(patch // per_frame * per_frame + int(inverse[patch % per_frame]))
    row = int(blocks.query_of(place))
    index = index_of_rows(summary_of(problem), blocks, problem.config, layer, row, row + 1)
    tokens = torch.arange(blocks.tokens, device=query.device)
    block = blocks.key_of(tokens)  # of each patch, in the order of blocks
    seen = selected_blocks(index, blocks)[0, :, 0][:, block]  # (heads, N * h * w)
    logits = patches.unflatten(1, (layout.frames, -1))[..., order].flatten(1)
    groups = [special, logits.masked_fill(~seen, -torch.inf)]
    if index.log_left is not None:
        groups.append(centroid_logits(problem, one) + index.log_left[0, :, 0])
    weights = torch.cat(groups, -1).softmax(-1).split([group.shape[-1] for group in groups], -1)
    spread = weights[1]
    if index.log_left is not None:  # a centroid's value is the mean over the patches that are not masked out
        sizes = problem.lengths.unflatten(0, (-1, blocks.group)).sum(-1).clamp(min=1)
        even = (weights[2] / sizes)[:, block // blocks.group]
        spread = spread + even.masked_fill(problem.lengths[block] == 0, 0)
    back = (x.unflatten(1, (layout.frames, -1))[..., inverse].flatten(1) for x in (spread, seen))
    return weights[0], *back


def centroid_logits(problem: Problem, one: Tensor) -> Tensor:
    """Logits of the scaled query `one` (heads, D) for all centroids, (heads, Kg), without the logarithm of a count."""
    blocks = problem.blocks
    found = moments(patch_tokens(problem.key, blocks), blocks.segments, blocks.key_block, blocks.keys_each)
    keys = grouped(found, problem.lengths, blocks.group)
    mean, variance = (x[0].to(problem.key.dtype).float() for x in (keys.mean, keys.variance))  # (heads, Kg, D)
    return (mean @ one[..., None])[..., 0] + 0.5 * (variance @ one.square()[..., None])[..., 0]
