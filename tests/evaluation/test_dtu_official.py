"""DTU's rules: thinning, the observed volume, the table, the outlier limit."""

import numpy as np
import pytest

from manyview.evaluation.dtu_official import DtuScan, dtu_errors, thin

MASK = np.ones((101, 101, 101), dtype=bool)
BOUNDS = np.array([[0.0, 0, 0], [100.0, 100, 100]])
PLANE = np.array([0.0, 0, 1, 1])  # everything above z = -1


def errors(predicted: np.ndarray, scan: np.ndarray, mask: np.ndarray = MASK, plane: np.ndarray = PLANE) -> dict:
    found = dtu_errors(predicted, DtuScan(scan, mask, BOUNDS, 1.0, plane))
    return {name.removeprefix("dtu_"): value for name, value in found.items()}


def test_close_pairs_collapse() -> None:
    assert len(thin(np.array([[0.0, 0, 0], [0.19, 0, 0]]))) == 1
    assert len(thin(np.array([[0.0, 0, 0], [0.21, 0, 0]]))) == 2
    points = np.random.default_rng(0).uniform(0, 3, size=(2000, 3))
    kept = thin(points)
    from scipy.spatial import cKDTree

    assert not cKDTree(kept).query_pairs(0.2)
    assert cKDTree(kept).query(points)[0].max() <= 0.2  # every point is kept or has a kept one near it


def test_distances_of_20_mm_and_more_do_not_count() -> None:
    scan = np.array([[10.0, 10, 10]])
    assert errors(np.array([[29.0, 10, 10]]), scan)["accuracy"] == pytest.approx(19)
    both = errors(np.array([[31.0, 10, 10], [12.0, 10, 10]]), scan)
    assert both["accuracy"] == pytest.approx(2) and both["completion"] == pytest.approx(2)
    assert np.isnan(errors(np.array([[31.0, 10, 10]]), scan)["accuracy"])


def test_only_the_observed_volume_counts_for_accuracy() -> None:
    mask = MASK.copy()
    mask[50:] = False
    predicted = np.array([[10.0, 10, 10], [60.0, 10, 10]])
    scan = np.array([[10.0, 10, 11], [60.0, 10, 15]])
    found = errors(predicted, scan, mask)
    assert found["accuracy"] == pytest.approx(1)
    assert found["completion"] == pytest.approx(3)  # both scan points, so also the one outside the mask
    assert found["overall"] == pytest.approx(2)


def test_the_scan_below_the_table_does_not_count() -> None:
    scan = np.array([[10.0, 10, 10], [10.0, 10, -5]])
    assert errors(np.array([[10.0, 10, 10]]), scan)["completion"] == 0


def test_the_margin_is_wider_above() -> None:
    scan = np.array([[0.0, 0, 10]])
    assert errors(np.array([[-59.0, 0, 10], [1, 0, 10]]), scan)["completion"] == pytest.approx(1)
    wide = np.array([[10.0, 10, 210]])
    assert np.isnan(errors(wide, np.array([[10.0, 10, 225]]))["accuracy"])  # outside the volume
    assert errors(wide, np.array([[10.0, 10, 225]]))["completion"] == pytest.approx(15)  # but inside the margin
    assert np.isnan(errors(np.array([[10.0, 10, 221]]), np.array([[10.0, 10, 225]]))["completion"])
