"""A known length makes a scene metric."""

import numpy as np
import pytest

from manyview.nodes.set_scale import meters_per_unit, set_scale


def test_the_measured_length_is_as_long_as_it_is(make_scene) -> None:
    scene = make_scene()
    assert meters_per_unit(scene) is None
    first, second = scene.points()[0, 3, 3], scene.points()[1, 5, 7]
    measured = float(np.linalg.norm(first - second))
    metric = set_scale(scene, measured=measured, meters=2.0)
    assert np.linalg.norm(metric.points()[0, 3, 3] - metric.points()[1, 5, 7]) == pytest.approx(2.0, rel=1e-5)
    assert meters_per_unit(metric) == 1 and meters_per_unit(scene) is None


@pytest.mark.parametrize("values", [{"measured": 0.0}, {"meters": -1.0}, {"meters": float("nan")}])
def test_lengths_are_positive(make_scene, values: dict) -> None:
    with pytest.raises(ValueError, match="must be a positive length"):
        set_scale(make_scene(), **values)
