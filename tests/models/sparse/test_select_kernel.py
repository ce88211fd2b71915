"""Pooling and block choice by Triton against plain torch; on a machine without a GPU through Triton's interpreter."""

import pytest
import torch
from torch import Tensor

from manyview.models.attention import TokenLayout
from manyview.models.sparse.blocks import BlockLayout, key_centroids, pool
from manyview.models.sparse.config import SparsityConfig
from manyview.models.sparse.select import select_blocks

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
triton = pytest.importorskip("triton", reason="Triton is not installed")
if DEVICE == "cpu" and tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7):
    pytest.skip("the interpreter of Triton before 3.7 does not work with NumPy 2.4", allow_module_level=True)
kernels = pytest.importorskip("manyview.models.sparse.select_kernel", reason="Triton is not installed")

LAYOUT = TokenLayout(frames=3, special=2, height=3, width=7)


def tokens(special: int = 0, whole: bool = False, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Random patches of LAYOUT, (1, 2, T, 16), or a view (1, 2, N, patches, 16) that leaves special tokens out."""
    random = torch.Generator().manual_seed(seed)
    per_frame = special + LAYOUT.height * LAYOUT.width
    x = torch.randn(1, LAYOUT.frames * per_frame, 2, 16, generator=random).transpose(1, 2)
    if whole:  # small whole numbers: products are exact in any order, and many scores are equal
        x = x.round()
    return x.to(DEVICE, dtype).unflatten(2, (LAYOUT.frames, -1))[:, :, :, special:]


def blocks_of(config: SparsityConfig) -> BlockLayout:
    return BlockLayout.of(LAYOUT, config.query_block, config.key_block, config.layout)


def agree(query: Tensor, key: Tensor, config: SparsityConfig, first: int = 0, rows: int | None = None) -> None:
    blocks = blocks_of(config)
    expected = select_blocks(query, key, blocks, config, 0, first, rows)
    chosen = kernels.select_blocks_triton(query, key, blocks, config, 0, first, rows)
    assert torch.equal(chosen.counts, expected.counts)
    assert torch.equal(chosen.indices, expected.indices)
    assert chosen.first == expected.first


def pooled(config: SparsityConfig, whole: bool = False) -> tuple[Tensor, Tensor]:
    """Made as pooled queries and keys, with as many blocks."""
    blocks = blocks_of(config)
    random = torch.Generator().manual_seed(1)
    sizes = (blocks.query_blocks, blocks.key_blocks)
    query, key = (torch.randn(1, 2, size, 16, generator=random).to(DEVICE) for size in sizes)
    return (query.round(), key.round() * (key.new_ones(16).cumsum(0) < 3)) if whole else (query, key)


@pytest.mark.parametrize("kind", ["packed", "frames"])
@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("size", [10, 64])
@pytest.mark.parametrize("special", [0, 3])
def test_pooling(kind: str, mode: str, size: int, special: int) -> None:
    x = tokens(special)
    segments = LAYOUT.frames if kind == "frames" else 1
    expected = pool(x.flatten(2, 3), segments, size, mode)
    torch.testing.assert_close(kernels.pool_triton(x, segments, size, mode), expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_centroids(dtype: torch.dtype) -> None:
    key, value = tokens(2, dtype=dtype), tokens(2, dtype=dtype, seed=1)
    blocks = BlockLayout.of(LAYOUT, 16, 8, "frames")
    chosen = kernels.key_centroids_triton(key, value, blocks)
    expected = key_centroids(key.flatten(2, 3), value.flatten(2, 3), blocks)
    step = torch.finfo(dtype).eps  # one unit in the last place where a sum in another order is rounded otherwise
    torch.testing.assert_close(chosen.key, expected.key, rtol=step, atol=1e-6)
    torch.testing.assert_close(chosen.value, expected.value, rtol=step, atol=1e-6)
    assert torch.equal(chosen.log_count, expected.log_count)


RULES = [
    {"rho": 0.5},
    {"tau": 0.63},
    {"rho": 0.8, "tau": 0.53},
    {"rho": 0.7, "tau": 0.41, "own_frame": "never"},
    {"rho": 0.9, "own_frame": "always"},
    {"rho": 0.7, "tau": 0.33, "frame_quota": 1},
    {"rho": 0.8, "own_frame": "never", "frame_quota": 2},
    {"layer_rho": {0: (0.2, 0.9)}, "layer_tau": {0: (0.9, 0.1)}, "rho": 0.5},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_same_choice_as_by_sorting(rule: dict) -> None:
    config = SparsityConfig(method="manyview", layout="frames", query_block=16, key_block=4, **rule)
    agree(*pooled(config), config)


@pytest.mark.parametrize("rule", [RULES[0], *RULES[4:7:2]], ids=str)
def test_equal_scores_by_their_number(rule: dict) -> None:
    config = SparsityConfig(method="manyview", layout="frames", query_block=16, key_block=4, **rule)
    agree(*pooled(config, whole=True), config)


def test_blocks_that_straddle_frames() -> None:
    config = SparsityConfig(rho=0.6, tau=0.57, query_block=32, key_block=8)
    agree(*pooled(config), config)


@pytest.mark.parametrize("rule", [RULES[2], RULES[6]], ids=str)
def test_rows_longer_than_a_tile(rule: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "LARGEST_TILE", 32)
    config = SparsityConfig(method="manyview", layout="frames", query_block=21, key_block=2, **rule)  # 33 key blocks
    agree(*pooled(config), config, first=1, rows=1)


def test_a_piece_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "SCORES_AT_ONCE", 100)
    config = SparsityConfig(method="manyview", rho=0.6, layout="frames", own_frame="never", query_block=8, key_block=4)
    agree(*pooled(config), config, first=3, rows=5)


def test_zero_has_no_sign() -> None:
    config = SparsityConfig(rho=0.5, query_block=64, key_block=8)
    query, key = (torch.zeros_like(x) for x in pooled(config))
    query[..., 0], key[..., 0] = 1, torch.tensor([-0.0, 0.0, -1.0], device=DEVICE).repeat(4)[: key.shape[2]]
    agree(query, key, config)
