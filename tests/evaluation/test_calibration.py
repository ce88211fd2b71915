"""The schedule of layers: what is measured, and how the budget is dealt out."""

import itertools

import numpy as np
import pytest

from manyview.evaluation.calibration import STEPS, allot, calibrate, deviation, expected
from manyview.evaluation.scene import Prediction
from manyview.models.sparse import SparsityConfig

BASE = SparsityConfig(method="manyview", rho=0.9, tau=0.5, min_tokens=1000, layer_rho={0: 0.5})
KEEPS = (0.02, 0.08, 0.3)


def prediction(error: float) -> Prediction:
    poses = np.tile(np.eye(3, 4), (2, 1, 1))
    poses[1, 0, 3] = 1
    depth = np.full((2, 3, 4), 2.0)
    depth[0] *= np.exp(error)
    return Prediction(world_to_camera=poses, depth=depth)


def test_deviation_is_of_depth_and_angles() -> None:
    assert deviation(prediction(0), prediction(0)) == pytest.approx(0, abs=1e-6)
    assert deviation(prediction(0.2), prediction(0)) == pytest.approx(0.1)
    scaled = prediction(0)
    scaled.depth = scaled.depth * 7
    assert deviation(scaled, prediction(0)) == pytest.approx(0, abs=1e-6)
    turned = prediction(0)
    turned.world_to_camera = turned.world_to_camera.copy()
    turned.world_to_camera[1, :, 3] = [1, 1, 0]
    assert deviation(turned, prediction(0)) == pytest.approx(np.pi / 4)


def test_layers_that_matter_get_more() -> None:
    asked = []

    def predict(config: SparsityConfig) -> list[Prediction]:
        asked.append(config)
        if config.method == "dense":
            return [prediction(0)] * 2
        dense = {int(one) for one in config.dense_layers.split(",")}
        (layer,) = set(range(3)) - dense
        assert config.min_tokens == 0 and not config.layer_rho and config.tau == BASE.tau
        return [prediction((0.01, 1.0, 0.1)[layer] * config.rho)] * 2

    calls = []
    found = calibrate(predict, 3, BASE, 0.2, KEEPS, progress=lambda *call: calls.append(call))
    assert len(asked) == 10 and calls[-1] == ("calibrate", 8, 9)
    assert found.shares[0] < found.shares[2] < found.shares[1]
    assert 0.15 < np.mean(found.shares) <= 0.2
    assert found.config.layer_rho == {layer: round(1 - share, 4) for layer, share in enumerate(found.shares)}
    assert found.config.tau is None and found.config.min_tokens == 1000
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        calibrate(predict, 3, BASE, 1)


def test_equal_layers_get_equal_shares() -> None:
    shares = allot(np.tile([0.5, 0.2, 0.05], (4, 1)), KEEPS, 0.2)
    assert max(shares) <= 2 * min(shares) and np.mean(shares) <= 0.2
    assert allot(np.ones((4, 3)), KEEPS, 0.001) == (0.001,) * 4


def test_expected_deviation_goes_through_what_was_measured() -> None:
    row = [0.4, 0.1, 0.02]
    for keep, value in zip(KEEPS, row, strict=True):
        assert expected(row, KEEPS, keep) == pytest.approx(value)
    curve = [expected(row, KEEPS, step) for step in STEPS]
    assert all(one >= other for one, other in itertools.pairwise(curve)) and curve[0] > 0.4
    assert expected(row, KEEPS, 1.0) == 0
    noisy = [expected([0.1, 0.3, 0.2], KEEPS, step) for step in STEPS]
    assert max(np.diff(noisy)) <= 1e-12
