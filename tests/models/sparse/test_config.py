import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyview.models.attention import TokenLayout
from manyview.models.sparse import PRESETS, SparsityConfig, parse_layers, preset
from manyview.models.sparse.config import kept_blocks

FULL = SparsityConfig(
    method="manyview",
    rho=0.75,
    tau=0.5,
    pooling="spread",
    order="rows",
    score_block=8,
    centroid_block=128,
    max_keys=9000,
    dense_layers="0,1,20-23",
    layer_rho={3: 0.5, 4: (0.1, 0.9)},
    layer_tau={5: (1.0, 0.2)},
)


@pytest.mark.parametrize(
    ("text", "layers"),
    [("", set()), ("3", {3}), ("0,1,20-23", {0, 1, 20, 21, 22, 23}), (" 2 , 5 - 6 ,", {2, 5, 6}), ("4-4,4", {4})],
)
def test_layers(text, layers):
    assert parse_layers(text) == frozenset(layers)
    assert isinstance(parse_layers(text, 24), frozenset)


@pytest.mark.parametrize("text", ["a", "-1", "1-", "1;2", "1.5", "1,,2", ","])
def test_bad_layers(text):
    with pytest.raises(ValueError, match=r"Layers are numbers and ranges such as"):
        parse_layers(text)


def test_layer_that_does_not_exist():
    with pytest.raises(ValueError, match=r"Layer 23 does not exist: the model has global layers 0 to 11\."):
        parse_layers("20-23", 12)


@pytest.mark.parametrize("config", [*PRESETS.values(), FULL], ids=[*PRESETS, "full"])
def test_json_round_trip(config):
    assert SparsityConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert SparsityConfig.from_dict(config.to_dict()) == config


def test_json_may_be_partial_but_not_misspelt():
    assert SparsityConfig.from_dict({"rho": 0.5}) == SparsityConfig(rho=0.5)
    with pytest.raises(ValueError, match="has no roh"):
        SparsityConfig.from_dict({"roh": 0.5})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs rho or tau"),
        ({"method": "magic"}, "method must be one of dense, paper, manyview, got 'magic'"),
        ({"rho": 1.5}, "rho must be a number from 0 to 1, got 1.5"),
        ({"rho": True}, "rho must be a number"),
        ({"tau": "0.5"}, "tau must be a number"),
        ({"tau": float("nan")}, "tau must be a number"),
        ({"rho": 0.5, "query_block": 0}, "query_block must be a whole number of at least 1, got 0"),
        ({"rho": 0.5, "key_block": 6.4}, "key_block must be a whole number"),
        ({"rho": 0.5, "min_tokens": -1}, "min_tokens must be a whole number of at least 0"),
        ({"rho": 0.5, "pooling": "sum"}, "pooling of the method 'paper' must be one of avg, max, got 'sum'"),
        ({"rho": 0.5, "pooling": "spread"}, "must be one of avg, max"),
        ({"method": "manyview", "rho": 0.5, "pooling": "max"}, "must be one of avg, spread"),
        ({"rho": 0.5, "order": "spiral"}, "order must be one of rows, bands"),
        ({"rho": 0.5, "order": "rows"}, "'paper' has no order"),
        ({"rho": 0.5, "centroid_block": 0}, "'paper' has no centroid_block"),
        ({"rho": 0.5, "max_keys": 10}, "'paper' has no max_keys"),
        ({"rho": 0.5, "dense_layers": "x"}, "Layers are numbers"),
        (
            {"method": "manyview", "rho": 0.5, "query_block": 40},
            "query_block must be a multiple of score_block, got 40",
        ),
        ({"method": "manyview", "rho": 0.5, "centroid_block": 96}, "0 or key_block times 1, 2, 4 ..., got 96 and 64"),
        ({"method": "manyview", "rho": 0.5, "centroid_block": 192}, "0 or key_block times 1, 2, 4 ..., got 192 and 64"),
        ({"method": "manyview", "rho": 0.5, "fit_frames": 1}, "fit_frames must be true or false"),
        ({"method": "manyview", "rho": 0.5, "fit_frames": True, "key_block": 1, "centroid_block": 4}, "must be even"),
        ({"method": "manyview", "rho": 0.5, "max_keys": -1}, "max_keys must be a whole number of at least 0"),
        ({"method": "manyview", "rho": 0.5, "layer_rho": {0: 2.0}}, "layer_rho of layer 0 must be a number"),
        ({"method": "manyview", "rho": 0.5, "layer_tau": {0: ()}}, "layer_tau of layer 0 is empty"),
        ({"method": "manyview", "rho": 0.5, "layer_tau": {-1: 0.5}}, "A layer of layer_tau must be"),
    ],
)
def test_bad_values_get_a_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        SparsityConfig(**options)


def blocks_of(config, patches):
    return config.blocks(TokenLayout(1, 5, 1, patches))


def test_heads_must_match():
    with pytest.raises(ValueError, match="layer_rho of layer 4 has 2 numbers, but the model has 3 heads"):
        FULL.budget(4, 3, blocks_of(FULL, 100))


def test_presets():
    assert preset("paper-s75") == SparsityConfig(method="paper", rho=0.8, tau=0.4)
    with pytest.raises(ValueError, match="Unknown sparsity preset 'fastest'; choose from dense, "):
        preset("fastest")


def test_which_layers_are_dense():
    assert [FULL.is_dense(layer) for layer in (0, 1, 2, 19, 20, 24)] == [True, True, False, False, True, False]
    assert preset("dense").is_dense(7)
    assert SparsityConfig(rho=0.0).is_dense(0) and SparsityConfig(tau=1.0, rho=0.5).is_dense(0)
    assert not SparsityConfig(rho=0.5, tau=0.9).is_dense(0)
    some = SparsityConfig(method="manyview", rho=0.5, layer_rho={0: (0.0, 0.5), 1: (0.0, 0.0)}, layer_tau={2: (1, 0.5)})
    assert [some.is_dense(layer) for layer in range(4)] == [False, True, False, False]
    assert not SparsityConfig(method="manyview", rho=0.0, max_keys=100).is_dense(0)


def test_blocks_of_the_methods():
    layout = TokenLayout(3, 5, 20, 30)
    paper = SparsityConfig(rho=0.5).blocks(layout)
    assert (paper.framed, paper.parts, paper.group, paper.query_blocks) == (False, 1, 1, 15)
    ours = SparsityConfig(method="manyview", rho=0.5, score_block=32, key_block=16).blocks(layout)
    assert (ours.framed, ours.parts, ours.group, ours.query_blocks, ours.key_blocks) == (True, 4, 4, 15, 120)
    fitted = replace(SparsityConfig(method="manyview", rho=0.5, score_block=32, key_block=32), fit_frames=True)
    small, large = fitted.blocks(layout), fitted.blocks(TokenLayout(3, 5, 20, 32))
    assert (small.key_block, small.parts, small.group) == (16, 8, 2)
    assert (large.key_block, large.parts, large.group) == (32, 4, 2)
    alone = SparsityConfig(method="manyview", rho=0.5, centroid_block=0).blocks(layout)
    assert (alone.group, alone.key_blocks) == (1, 30)


def test_budgets():
    unlimited = replace(FULL, max_keys=0)
    blocks = blocks_of(unlimited, 40 * 64)
    assert unlimited.budget(0, 2, blocks) == ((10, 10), (0.5, 0.5))
    assert unlimited.budget(4, 2, blocks) == ((36, 4), (0.5, 0.5))
    assert unlimited.budget(5, 2, blocks) == ((40, 10), (None, 0.2))  # a head that keeps all mass keeps all blocks
    assert [unlimited.shares_budget(layer) for layer in (0, 3, 4, 5)] == [True, True, False, False]
    one = SparsityConfig(rho=0.9)
    assert one.budget(0, 1, blocks_of(one, 5 * 64)) == ((1,), (None,))  # one block is always kept
    by_mass = SparsityConfig(tau=0.9)
    assert by_mass.budget(0, 1, blocks_of(by_mass, 5 * 64)) == ((1,), (0.9,))


def test_most_keys_for_a_query():
    config = SparsityConfig(method="manyview", rho=0.5, max_keys=640)
    assert config.budget(0, 1, blocks_of(config, 16 * 64))[0] == (8,)
    assert config.budget(0, 1, blocks_of(config, 20 * 64))[0] == (10,)
    assert config.budget(0, 1, blocks_of(config, 100 * 64))[0] == (10,)


@settings(deadline=None)
@given(st.integers(1, 30_000), st.integers(0, 1000))
def test_kept_blocks_is_the_exact_floor(blocks, thousandths):
    exact = blocks * (1 - Fraction(thousandths, 1000))
    assert kept_blocks(blocks, thousandths / 1000) == exact.numerator // exact.denominator
