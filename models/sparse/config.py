"""What sparse attention computes, as plain data: options, presets, JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ...texts.ranges import LARGEST, parse_ranges
from ...texts.shown import shortened
from ..attention import TokenLayout
from .blocks import ORDERS, BlockLayout

METHODS = ("dense", "paper", "manyview")
POOLINGS = {"paper": ("avg", "max"), "manyview": ("avg", "spread"), "dense": ("avg",)}
OWN_OPTIONS = ("order", "score_block", "centroid_block", "fit_frames", "max_keys")
"""Options that the method "manyview" alone has."""
LARGEST_BLOCK = 1024  # tokens, about those of a frame; the presets have at most 512
MOST_TOKENS = 10**12
SMALL_FRAME = 640  # patches; 518 x 518 pixels make 1,369, 518 x 294 make 777, 224 x 224 make 256

Setting = float | tuple[float, ...]
"""One number for all heads, or one for each head."""


@dataclass(frozen=True)
class SparsityConfig:
    """How much of global attention is computed, and which part.

    Patch queries are taken in blocks; each block sees some key blocks and all special tokens. Special queries see all.

    method: "dense" computes everything. "paper" is the published rule (section 3): blocks straddle frames, every query
        block keeps its own share of the key blocks. "manyview": blocks lie inside frames and hold compact parts of the
        picture, all query blocks and heads of a layer share one budget, and what is dropped is seen as centroids.
    rho: share of the key blocks to drop, 0..1. tau: softmax mass to keep, 0..1. With both, the one that keeps more
        blocks decides; one alone is allowed. rho = 0 or tau = 1 keeps everything; one block is always kept.
    pooling: how well a block suits a query block is told from their means ("avg"), their maxima ("max", paper only), or
        from means and the "spread" of the keys inside their block (manyview only).
    order: the patches of a frame row by row ("rows"), or in compact parts of the picture ("bands").
    score_block: queries that are pooled for one row of scores; a query block has as many rows as fit into it.
    centroid_block: keys that share one centroid, key_block times a power of two; 0 for none.
    fit_frames: halve key_block, score_block and centroid_block for frames of fewer than 640 patches, so that blocks
        hold parts of the picture of about the same size at 224 and at 518 pixels.
    max_keys: at most so many keys for a query on average, however long the input; 0 for no limit. Cost is then linear.
    dense_layers: global layers left dense, such as "0,1,20-23". min_tokens: below so many tokens everything is dense.
    layer_rho, layer_tau: other values of rho and tau for some layers: layer -> a number, or one number for each head.
        Heads with numbers of their own do not share their budget with others.
    """

    method: str = "paper"
    rho: float | None = None
    tau: float | None = None
    query_block: int = 128
    key_block: int = 64
    pooling: str = "avg"
    order: str = "bands"
    score_block: int = 16
    centroid_block: int = 64
    fit_frames: bool = False
    max_keys: int = 0
    dense_layers: str = ""
    min_tokens: int = 0
    layer_rho: Mapping[int, Setting] = field(default_factory=dict)
    layer_tau: Mapping[int, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, choices in (("method", METHODS), ("order", ORDERS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}.")
        for name in ("query_block", "key_block", "score_block"):
            _whole(name, getattr(self, name), 1, LARGEST_BLOCK)
        _whole("centroid_block", self.centroid_block, 0, LARGEST_BLOCK)
        for name in ("min_tokens", "max_keys"):
            _whole(name, getattr(self, name), 0, MOST_TOKENS)
        parse_layers(self.dense_layers)
        self._check_budgets()
        self._check_combination()

    @property
    def own(self) -> bool:
        """True for ManyView's own method, whose blocks lie inside frames."""
        return self.method == "manyview"

    @property
    def pooled(self) -> bool:
        """True if queries see centroids of what they drop."""
        return self.own and self.centroid_block > 0

    def blocks(self, layout: TokenLayout) -> BlockLayout:
        """How the patches of `layout` are cut."""
        if not self.own:
            return BlockLayout(layout, self.query_block, self.key_block)
        half = 2 if self.fit_frames and layout.height * layout.width < SMALL_FRAME else 1
        group = max(1, self.centroid_block // self.key_block)
        parts = self.query_block * half // self.score_block
        return BlockLayout(layout, self.query_block, self.key_block // half, framed=True, parts=parts, group=group)

    def is_dense(self, layer: int) -> bool:
        """True if all of this layer is to be computed, whatever the input."""
        if self.method == "dense" or layer in parse_layers(self.dense_layers):
            return True
        rho, tau = self.settings(layer)
        keeps_all = rho is not None and max(_values(rho)) == 0 and not self.max_keys
        return keeps_all or (tau is not None and min(_values(tau)) == 1)

    def settings(self, layer: int) -> tuple[Setting | None, Setting | None]:
        """rho and tau of one layer."""
        return self.layer_rho.get(layer, self.rho), self.layer_tau.get(layer, self.tau)

    def budget(self, layer: int, heads: int, blocks: BlockLayout) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
        """For each head, the number of key blocks that rho leaves, and the mass to reach (None: no such rule).

        Where tau stands alone the first is 1. A head that keeps everything has the number of all filled blocks.
        """
        key_blocks = blocks.filled_key_blocks
        rho, tau = self.settings(layer)
        rhos, taus = (_per_head(name, value, heads, layer) for name, value in (("rho", rho), ("tau", tau)))
        least = [1 if r is None else max(1, kept_blocks(key_blocks, r)) for r in rhos]
        if self.max_keys:
            least = [min(count, max(1, self.max_keys // blocks.key_block)) for count in least]
        least = [key_blocks if t == 1 else count for count, t in zip(least, taus, strict=True)]
        everything = [count == key_blocks for count in least]
        return tuple(least), tuple(None if full else t for full, t in zip(everything, taus, strict=True))

    def shares_budget(self, layer: int) -> bool:
        """True if the heads of a layer share one budget."""
        return not any(isinstance(setting, tuple) for setting in self.settings(layer))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, for JSON."""
        plain = asdict(self)
        for name in ("layer_rho", "layer_tau"):
            plain[name] = {str(layer): _plain(value) for layer, value in plain[name].items()}
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SparsityConfig":
        """The inverse of `to_dict`, also after a round trip through JSON; what is left out has its default."""
        if not isinstance(plain, Mapping):
            raise ValueError(f"A sparsity setting is an object with names and values, got {type(plain).__name__}.")
        unknown = sorted(shortened(str(name)) for name in set(plain) - {one.name for one in fields(cls)})
        if unknown:
            raise ValueError(f"A sparsity setting has no {', '.join(unknown[:9])}; see SparsityConfig for the names.")
        values = dict(plain)
        for name in {"layer_rho", "layer_tau"} & set(values):
            if not isinstance(values[name], Mapping):
                raise ValueError(f"{name} is an object with a value for each layer, got {type(values[name]).__name__}.")
            values[name] = {
                int(layer): tuple(value) if isinstance(value, list | tuple) else value
                for layer, value in values[name].items()
            }
        return cls(**values)

    def _check_budgets(self) -> None:
        for name, value, layered in (("rho", self.rho, self.layer_rho), ("tau", self.tau, self.layer_tau)):
            if value is not None:
                _share(name, value)
            for layer, setting in layered.items():
                _whole(f"A layer of layer_{name}", layer, 0, LARGEST)
                if isinstance(setting, tuple) and not setting:
                    raise ValueError(f"layer_{name} of layer {layer} is empty; give one number for each head.")
                for share in _values(setting):
                    _share(f"layer_{name} of layer {layer}", share)
        if self.method != "dense" and self.rho is None and self.tau is None:
            raise ValueError(
                f"The method {self.method!r} needs rho or tau; set rho=0.5 to drop half of the key blocks."
            )

    def _check_combination(self) -> None:
        if self.pooling not in POOLINGS[self.method]:
            choices = ", ".join(POOLINGS[self.method])
            raise ValueError(f"pooling of the method {self.method!r} must be one of {choices}, got {self.pooling!r}.")
        if not self.own:
            for one in fields(self):
                if one.name in OWN_OPTIONS and getattr(self, one.name) != one.default:
                    raise ValueError(f"The method {self.method!r} has no {one.name}; use method='manyview'.")
            return
        if self.query_block % self.score_block:
            raise ValueError(
                f"query_block must be a multiple of score_block, got {self.query_block} and {self.score_block}."
            )
        group, rest = divmod(self.centroid_block, self.key_block)
        if rest or group & (group - 1):
            sizes = f"got {self.centroid_block} and {self.key_block}"
            raise ValueError(f"centroid_block must be 0 or key_block times 1, 2, 4 ..., {sizes}.")
        if not isinstance(self.fit_frames, bool):
            raise ValueError(f"fit_frames must be true or false, got {self.fit_frames!r}.")
        if self.fit_frames and (self.key_block % 2 or self.score_block % 2):
            raise ValueError("With fit_frames, key_block and score_block must be even.")


def preset(name: str) -> SparsityConfig:
    """A configuration by its name in PRESETS."""
    if name not in PRESETS:
        raise ValueError(f"Unknown sparsity preset {name!r}; choose from {', '.join(PRESETS)}.")
    return PRESETS[name]


def parse_layers(text: str, count: int | None = None) -> frozenset[int]:
    """ "0,1,20-23" -> those numbers; with `count`, a layer that the model lacks is refused."""
    layers = parse_ranges(text, "Layers")
    if count is not None and layers and layers[-1] >= count:
        raise ValueError(f"Layer {layers[-1]} does not exist: the model has global layers 0 to {count - 1}.")
    return frozenset(layers)


def kept_blocks(key_blocks: int, rho: float) -> int:
    """floor(key_blocks (1 - rho)), without the rounding error of 1 - rho."""
    return math.floor(key_blocks * (1 - rho) + 1e-9 * key_blocks)


def _per_head(name: str, setting: Setting | None, heads: int, layer: int) -> tuple[float | None, ...]:
    if not isinstance(setting, tuple):
        return (setting,) * heads
    if len(setting) != heads:
        raise ValueError(f"layer_{name} of layer {layer} has {len(setting)} numbers, but the model has {heads} heads.")
    return setting


def _values(setting: Setting) -> tuple[float, ...]:
    return setting if isinstance(setting, tuple) else (setting,)


def _plain(setting: Setting) -> float | list[float]:
    return list(setting) if isinstance(setting, tuple) else setting


def _share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {_short(value)}.")


def _whole(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {_short(value)}.")
    if value > most:
        raise ValueError(f"{name} must be at most {most:,}, got {_short(value)}.")


def _short(value: Any) -> str:
    """A value for a message; numbers of thousands of digits cannot even be printed."""
    long = isinstance(value, int) and abs(value) > MOST_TOKENS
    return f"a number beyond {MOST_TOKENS:,}" if long else shortened(repr(value))


OURS: Mapping[str, Any] = {
    "method": "manyview",
    "query_block": 64,
    "key_block": 32,
    "score_block": 32,
    "fit_frames": True,
    "pooling": "spread",
    "min_tokens": 20_000,
}

LARGE_BLOCKS: Mapping[str, Any] = {"query_block": 128, "key_block": 64, "score_block": 64, "centroid_block": 512}

PRESETS: Mapping[str, SparsityConfig] = {
    "dense": SparsityConfig(method="dense"),
    # Accuracy, density and speed of these: docs/sparsity.md.
    "quality": SparsityConfig(rho=0.6, **OURS),
    "balanced": SparsityConfig(rho=0.75, **OURS),
    "fast": SparsityConfig(rho=0.92, **OURS),
    # For hundreds of frames: as many keys for a query whatever their number; larger blocks, whose choice costs less.
    "long": SparsityConfig(rho=0.9, max_keys=8192, **OURS | LARGE_BLOCKS | {"min_tokens": 100_000}),
    # The paper's operating points: about 8, 26 and 75 % of the blocks dropped in VGGT, whatever their names say.
    "paper-s25": SparsityConfig(rho=0.10, tau=0.97),
    "paper-s50": SparsityConfig(rho=0.50, tau=0.90),
    "paper-s75": SparsityConfig(rho=0.80, tau=0.40),
}
