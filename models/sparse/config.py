"""What sparse attention computes, as plain data: options, presets, JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .blocks import LAYOUTS, ORDERS

METHODS = ("dense", "paper", "manyview")
POOLINGS = ("avg", "max", "spread")
OWN_FRAME = ("score", "always", "never")

Setting = float | tuple[float, ...]
"""One number for all heads, or one for each head."""


@dataclass(frozen=True)
class SparsityConfig:
    """How much of global attention is computed, and which part.

    Patch queries are taken in blocks; each block sees some key blocks and all special tokens. Special queries see all.

    method: "dense" computes everything; "paper" is the published rule and takes only rho, tau, block sizes, pooling and
        dense layers; "manyview" takes every option.
    rho: share of the key blocks to drop, 0..1. tau: softmax mass to keep, 0..1. With both, the one that keeps more
        blocks decides; one alone is allowed. rho = 0 or tau = 1 keeps everything; one block is always kept.
    layout: "packed" cuts the patches of all frames in one go, "frames" cuts each frame by itself.
    order: blocks hold patches row by row ("rows") or in compact patches of the picture ("bands"), which needs layout
        "frames" and costs a copy of queries, keys and values.
    pooling: what stands for a block when it is scored: the mean, the maximum, or the mean and the "spread" of keys.
    dense_layers: global layers left dense, such as "0,1,20-23". min_tokens: below so many tokens everything is dense.
    own_frame: key blocks of the query's own frame compete by "score", are kept "always" or "never". Frame attention
        has seen them already. "always" and "never" need layout "frames".
    frame_quota: the best so many key blocks of every frame are kept, even beyond the budget; needs layout "frames".
    centroids: a query sees one mean key and value in place of each block that it drops.
    layer_rho, layer_tau: other values of rho and tau for some layers: layer -> a number, or one number for each head.
    """

    method: str = "paper"
    rho: float | None = None
    tau: float | None = None
    query_block: int = 128
    key_block: int = 64
    layout: str = "packed"
    order: str = "rows"
    pooling: str = "avg"
    dense_layers: str = ""
    min_tokens: int = 0
    own_frame: str = "score"
    frame_quota: int = 0
    centroids: bool = False
    layer_rho: Mapping[int, Setting] = field(default_factory=dict)
    layer_tau: Mapping[int, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, choices in (
            ("method", METHODS),
            ("layout", LAYOUTS),
            ("order", ORDERS),
            ("pooling", POOLINGS),
            ("own_frame", OWN_FRAME),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}.")
        for name in ("query_block", "key_block"):
            _whole(name, getattr(self, name), 1)
        for name in ("min_tokens", "frame_quota"):
            _whole(name, getattr(self, name), 0)
        parse_layers(self.dense_layers)
        self._check_budgets()
        self._check_combination()

    def is_dense(self, layer: int) -> bool:
        """True if all of this layer is to be computed, whatever the input."""
        if self.method == "dense" or layer in parse_layers(self.dense_layers):
            return True
        rho, tau = self.settings(layer)
        keeps_all = (rho is not None and max(_values(rho)) == 0) or (tau is not None and min(_values(tau)) == 1)
        return keeps_all and self.own_frame != "never"

    def settings(self, layer: int) -> tuple[Setting | None, Setting | None]:
        """rho and tau of one layer."""
        return self.layer_rho.get(layer, self.rho), self.layer_tau.get(layer, self.tau)

    def budget(self, layer: int, heads: int, key_blocks: int) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
        """For each head, the least number of key blocks to keep, and the mass to reach (None: no such rule)."""
        rho, tau = self.settings(layer)
        rhos, taus = (_per_head(name, value, heads, layer) for name, value in (("rho", rho), ("tau", tau)))
        least = [1 if r is None else max(1, kept_blocks(key_blocks, r)) for r in rhos]
        everything = [r == 0 or t == 1 for r, t in zip(rhos, taus, strict=True)]
        least = [key_blocks if full else count for full, count in zip(everything, least, strict=True)]
        return tuple(least), tuple(None if full else t for full, t in zip(everything, taus, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, for JSON."""
        plain = asdict(self)
        for name in ("layer_rho", "layer_tau"):
            plain[name] = {str(layer): _plain(value) for layer, value in plain[name].items()}
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "SparsityConfig":
        """The inverse of `to_dict`, also after a round trip through JSON; what is left out has its default."""
        unknown = sorted(set(plain) - {one.name for one in fields(cls)})
        if unknown:
            raise ValueError(f"A sparsity setting has no {', '.join(unknown)}; see SparsityConfig for the names.")
        values = dict(plain)
        for name in {"layer_rho", "layer_tau"} & set(values):
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
                _whole(f"A layer of layer_{name}", layer, 0)
                if isinstance(setting, tuple) and not setting:
                    raise ValueError(f"layer_{name} of layer {layer} is empty; give one number for each head.")
                for share in _values(setting):
                    _share(f"layer_{name} of layer {layer}", share)
        if self.method != "dense" and self.rho is None and self.tau is None:
            raise ValueError(
                f"The method {self.method!r} needs rho or tau; set rho=0.5 to drop half of the key blocks."
            )

    def _check_combination(self) -> None:
        if self.method == "paper":
            plain = SparsityConfig(method="dense")
            for name in ("layout", "order", "own_frame", "frame_quota", "centroids", "layer_rho", "layer_tau"):
                if getattr(self, name) != getattr(plain, name):
                    raise ValueError(f"The method 'paper' is the published rule without {name}; use method='manyview'.")
            if self.pooling == "spread":
                raise ValueError("The published rule pools by 'avg' or 'max'; use method='manyview' for 'spread'.")
        if self.layout != "frames" and (self.own_frame != "score" or self.frame_quota or self.order != "rows"):
            raise ValueError("order, own_frame and frame_quota need blocks that lie in one frame; set layout='frames'.")


def preset(name: str) -> SparsityConfig:
    """A configuration by its name in PRESETS."""
    if name not in PRESETS:
        raise ValueError(f"Unknown sparsity preset {name!r}; choose from {', '.join(PRESETS)}.")
    return PRESETS[name]


def parse_layers(text: str, count: int | None = None) -> frozenset[int]:
    """ "0,1,20-23" -> those numbers; with `count`, a layer that the model lacks is refused."""
    layers: set[int] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        ends = [end.strip() for end in part.split("-")]
        if len(ends) > 2 or not all(end.isascii() and end.isdigit() for end in ends) or int(ends[0]) > int(ends[-1]):
            raise ValueError(f"Layers are numbers and ranges such as '0,1,20-23', got {part!r} in {text!r}.")
        layers.update(range(int(ends[0]), int(ends[-1]) + 1))
    if count is not None and layers and max(layers) >= count:
        raise ValueError(f"Layer {max(layers)} does not exist: the model has global layers 0 to {count - 1}.")
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
        raise ValueError(f"{name} must be a number from 0 to 1, got {value!r}.")


def _whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")


OURS: Mapping[str, Any] = {
    "layout": "frames",
    "order": "bands",
    "pooling": "spread",
    "centroids": True,
    "min_tokens": 20_000,
}
PRESETS: Mapping[str, SparsityConfig] = {
    # The paper's operating points: about 8, 26 and 75 % of the blocks dropped in VGGT, whatever their names say.
    "dense": SparsityConfig(method="dense"),
    "quality": SparsityConfig(method="manyview", rho=0.5, **OURS),
    "balanced": SparsityConfig(method="manyview", rho=0.75, **OURS),
    "fast": SparsityConfig(method="manyview", rho=0.9, **OURS),
    "paper-s25": SparsityConfig(rho=0.10, tau=0.97),
    "paper-s50": SparsityConfig(rho=0.50, tau=0.90),
    "paper-s75": SparsityConfig(rho=0.80, tau=0.40),
}
