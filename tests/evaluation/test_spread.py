"""Ray runs and plain runs give the same numbers."""

import json
import sys
from pathlib import Path

import pytest

from manyview import commands
from manyview.commands.evaluate import own_command
from manyview.evaluation.spread import parts_at_once, spread


def test_parts_at_once() -> None:
    assert parts_at_once({"GPU": 8.0, "CPU": 64.0}, 1.0) == 8
    assert parts_at_once({"CPU": 6.0}, 0.0) == 3
    assert parts_at_once({"CPU": 1.0}, 0.0) == parts_at_once({}, 1.0) == 1


def test_own_command(root: Path) -> None:
    from argparse import Namespace

    words = ["evaluate", "--ray", "local", "--out", "x", "--parts=2", "--scenes", "4"]
    found = own_command(Namespace(argv=words))
    assert found == [sys.executable, str(root), "evaluate", "--out", "x", "--scenes", "4"]


def numbers(out: Path) -> list:
    """Results without what a clock measured."""
    benchmarks = json.loads((out / "results.json").read_text())["benchmarks"]
    rows = [row | {"seconds": 0} for benchmark in benchmarks for row in benchmark["rows"]]
    for benchmark in benchmarks:
        for method in benchmark["methods"]:
            method["summary"].pop("seconds")
            method["differences"].pop("seconds", None)
    return [benchmarks[0]["methods"], rows]


def test_ray_equals_a_plain_run(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (pip install ray)")
    words = ["evaluate", "--scenes", "3", "--frames", "3", "--size", "56", "--device", "cpu", "--no-plots"]
    words += ["--model", str(tiny_model), "--sparsity", "dense", "fast", "--min-tokens", "0"]
    assert commands.main([*words, "--out", str(tmp_path / "plain")]) == 0
    assert commands.main([*words, "--out", str(tmp_path / "ray"), "--ray", "local", "--parts", "2"]) == 0
    assert numbers(tmp_path / "plain") == numbers(tmp_path / "ray")


def test_a_part_that_fails(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (pip install ray)")
    with pytest.raises(RuntimeError, match="A part of the run failed: no such thing"):
        spread([sys.executable, "-c", "import sys; sys.exit('no such thing')"], 1, "local", 0.0)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match="pip install ray"):
        spread([], 1, "local", 0.0)
