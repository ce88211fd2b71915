"""Curves have different settings under different names, all compared with the dense model."""

from manyview.evaluation.analysis.sweeps import dense, pooling_curves, rule_curves, size_curves
from manyview.models.checkpoints import load_model


def test_curves(tiny_model) -> None:
    loaded = load_model(tiny_model)
    for curves in (rule_curves(loaded), pooling_curves(loaded), size_curves(loaded)):
        methods = [method for curve in curves for method in curve.methods]
        assert len({method.name for method in methods}) == len(methods) >= 16
        assert len({str(method.settings()) for method in methods}) == len(methods)
        assert {method.baseline for method in methods} == {dense(loaded).name}
        assert all(method.sparsity is None or method.sparsity.min_tokens == 0 for method in methods)
    assert rule_curves(loaded)[-1].name == "random"
