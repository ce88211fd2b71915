"""Pooling and paired differences on rows with known answers."""

import numpy as np
import pytest

from manyview.evaluation.metrics import auc
from manyview.evaluation.scene import ScoringRules
from manyview.evaluation.statistics import paired_difference, summarise

PAIRS = ScoringRules(("pairs",), thresholds=(5,))


def row(scene: str, pairs: int = 1, group: str = "", error: str | None = None, **metrics: float) -> dict:
    base = {"scene": scene, "group": group, "error": error, "pairs": pairs, "metrics": metrics}
    return base | {"seconds": 1.0 + pairs, "density": 0.5, "peak_memory_bytes": pairs * 2**30}


def test_weighting_scenes_by_their_pairs_is_pooling_the_pairs() -> None:
    random = np.random.default_rng(0)
    errors = [random.uniform(0, 10, size=count) for count in (45, 10, 3)]
    rows = [row(str(i), len(e), auc_5=100 * auc(e, 5)) for i, e in enumerate(errors)]
    pairs = [{"rotation": e, "translation": e} for e in errors]
    found = summarise(rows, pairs, PAIRS)
    assert found["auc_5"] == pytest.approx(100 * auc(np.concatenate(errors), 5))
    assert found["rotation_median_deg"] == pytest.approx(np.median(np.concatenate(errors)))
    by_scene = summarise(rows, pairs, ScoringRules(("pairs",), pooling="scenes", thresholds=(5,)))
    assert by_scene["auc_5"] == pytest.approx(np.mean([r["metrics"]["auc_5"] for r in rows]))


def test_categories_count_alike() -> None:
    rows = [row("a", 9, "apple", auc_5=10.0), row("b", 1, "apple", auc_5=20.0), row("c", 1, "bowl", auc_5=50.0)]
    found = summarise(rows, [None] * 3, ScoringRules(("pairs",), pooling="groups"))
    assert found["auc_5"] == pytest.approx((11.0 + 50.0) / 2)


def test_failed_scenes_are_left_out_of_means() -> None:
    rows = [row("a", chamfer=1.0), row("b", chamfer=3.0), row("c", error="out of memory")]
    found = summarise(rows, [None] * 3, PAIRS)
    assert found["chamfer"] == 2.0
    assert found["density"] == 50.0 and found["seconds"] == 2.0 and found["peak_memory_gib"] == 1.0
    assert summarise([row("c", error="out of memory")], [None], PAIRS) == {}


def test_two_view_pools_before_the_trapezoid() -> None:
    errors = np.array([1.0, 4.0, 30.0])
    rows = [row(str(i), 1, auc_5=0.0) for i in range(3)]
    pairs = [{"rotation": np.array([e]), "translation": np.array([0.0])} for e in errors]
    found = summarise(rows, pairs, ScoringRules(("two_view",)))
    # recall 1/3 at 1, 2/3 at 4, held to 5: trapezoids 1/6 + 3/2 + 2/3 over 5
    assert found["auc_5_trapezoid"] == pytest.approx(100 * (1 / 6 + 3 / 2 + 2 / 3) / 5)


def test_paired_difference_is_over_scenes_that_both_finished() -> None:
    dense = [row(str(i), chamfer=float(i)) for i in range(20)]
    sparse = [row(str(i), chamfer=i + 0.5) for i in range(19)] + [row("19", error="out of memory")]
    found = paired_difference(sparse, dense, "chamfer", PAIRS)
    assert found.scenes == 19
    assert found.mean == found.low == found.high == 0.5  # scenes differ much, the difference does not


def test_interval_covers_the_mean_and_repeats() -> None:
    random = np.random.default_rng(1)
    dense = [row(str(i), 45, auc_5=50.0) for i in range(30)]
    sparse = [row(str(i), 45, auc_5=50.0 - 2 + random.normal()) for i in range(30)]
    found = paired_difference(sparse, dense, "auc_5", PAIRS)
    assert found.low < found.mean < found.high < 0
    assert found == paired_difference(sparse, dense, "auc_5", PAIRS)
    half = 1.96 * np.std([r["metrics"]["auc_5"] for r in sparse]) / 30**0.5
    assert found.high - found.low == pytest.approx(2 * half, rel=0.15)


def test_few_scenes_have_no_interval() -> None:
    one = paired_difference([row("a", chamfer=2.0)], [row("a", chamfer=1.0)], "chamfer", PAIRS)
    assert (one.mean, one.low, one.high, one.scenes) == (1.0, None, None, 1)
    assert paired_difference([row("a", chamfer=2.0)], [row("b", chamfer=1.0)], "chamfer", PAIRS) is None


def test_differences_of_categories() -> None:
    rules = ScoringRules(("pairs",), pooling="groups")
    dense = [row(n, 1, g, auc_5=10.0) for n, g in (("a", "x"), ("b", "x"), ("c", "y"))]
    sparse = [row(n, 1, g, auc_5=v) for n, g, v in (("a", "x", 9.0), ("b", "x", 9.0), ("c", "y", 6.0))]
    assert paired_difference(sparse, dense, "auc_5", rules).mean == pytest.approx(-2.5)
