"""Pictures of attention layer by layer."""

import numpy as np
import pytest

from manyview.models.checkpoints import load_model
from manyview.nodes.attention_layers import (
    STRIPE,
    attention_layers,
    blocks_picture,
    kinds_picture,
    matrix_picture,
)
from manyview.nodes.chart import Line, chart


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_model(tiny_model)


@pytest.fixture(scope="module")
def found(model):
    images = np.random.default_rng(0).integers(0, 255, (3, 84, 112, 3), dtype=np.uint8)
    return attention_layers(model, images)


def test_every_layer_is_there(found) -> None:
    assert sorted(found) == [0, 1, 2, 3]
    assert found[0].queries == found[0].tokens == 3 * (5 + 48)


def test_matrix_marks_special_tokens(model, found) -> None:
    picture = matrix_picture(model, found)
    assert picture.dtype == np.uint8 and picture.ndim == 3
    marked = (picture == STRIPE).all(-1)
    rows = np.flatnonzero(marked[:, 22])  # left of the matrix
    assert len(np.flatnonzero(np.diff(rows) > 1)) == 2  # three stripes
    assert (matrix_picture(model, found, 0) != picture[: matrix_picture(model, found, 0).shape[0]]).any()
    with pytest.raises(ValueError, match="from 0 to 3"):
        matrix_picture(model, found, 4)


def test_charts(found) -> None:
    assert kinds_picture(found).shape == (600, 640, 3)
    assert blocks_picture(found).shape == (300, 640, 3)


def test_a_chart_draws_its_lines_where_they_belong() -> None:
    red, blue = (200, 0, 0), (0, 0, 200)
    picture = chart("x", [0, 1, 2], [Line("high", red, [9.0, 9.0, 9.0]), Line("low", blue, [1.0, 1.0, 1.0])], top=10.0)
    inside = picture[:, 64:470]
    high, low = (np.argwhere((inside == colour).all(-1))[:, 0].mean() for colour in (red, blue))
    assert high < 80 < 200 < low
    logarithmic = chart("x", [0, 1], [Line("a", red, [1e-3, 10.0]), Line("b", blue, [0.0, 0.1])], logarithmic=True)
    assert (logarithmic == red).all(-1).any() and (logarithmic == blue).all(-1).any()
