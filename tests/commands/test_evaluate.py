"""`python . evaluate` from the command line to the report."""

import json
from pathlib import Path

import pytest

from manyview import commands

QUICK = ["evaluate", "--scenes", "2", "--frames", "3", "--size", "56", "--device", "cpu"]


def test_synthetic_from_end_to_end(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "run"
    words = [*QUICK, "--model", str(tiny_model), "--sparsity", "dense", "fast", "--min-tokens", "0", "--out", str(out)]
    assert commands.main(words) == 0
    shown = capsys.readouterr().out
    assert "tiny.safetensors dense" in shown and "difference to the baseline" in shown and "report.html" in shown
    results = json.loads((out / "results.json").read_text())
    dense, fast = results["benchmarks"][0]["methods"]
    assert dense["scenes"] == fast["scenes"] == 2
    assert fast["summary"]["density"] < 100 == dense["summary"]["density"]
    assert fast["settings"]["sparsity"]["min_tokens"] == 0
    for name in ("results.csv", "report.md", "report.html", "plots/synthetic-3-density.svg"):
        assert (out / name).stat().st_size > 100
    hashes = {json.loads(file.read_text())["sha256"] for file in out.glob("inputs/synthetic-3/*.json")}
    assert len(hashes) == 2

    # the same command again changes nothing and predicts nothing
    before = (out / "scores" / "synthetic-3" / "1000000").stat().st_mtime_ns
    assert commands.main(words) == 0
    assert (out / "scores" / "synthetic-3" / "1000000").stat().st_mtime_ns == before
    # another question does not go into this folder
    assert commands.main([*words, "--precision", "bfloat16"]) == commands.BAD_INPUT
    assert "other options" in capsys.readouterr().err


def test_short_inputs_stay_dense_unless_told(tiny_model: Path, tmp_path: Path) -> None:
    words = [*QUICK, "--model", str(tiny_model), "--sparsity", "fast", "--no-plots", "--out", str(tmp_path)]
    assert commands.main(words) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["benchmarks"][0]["methods"][0]["summary"]["density"] == 100
    assert not (tmp_path / "plots").exists()


def test_parts_then_the_whole(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = [*QUICK, "--model", str(tiny_model), "--no-plots", "--out", str(tmp_path / "run")]
    assert commands.main([*words, "--part", "1/2"]) == 0
    assert not (tmp_path / "run" / "results.json").exists()
    assert commands.main([*words, "--part", "2/2"]) == 0
    assert commands.main(words) == 0
    assert len(json.loads((tmp_path / "run" / "results.json").read_text())["benchmarks"][0]["rows"]) == 2
    with pytest.raises(SystemExit):
        commands.main([*words, "--part", "3/2"])


def test_check_of_what_needs_nothing(capsys: pytest.CaptureFixture) -> None:
    assert commands.main(["evaluate", "--check"]) == 0
    assert "complete" in capsys.readouterr().out


PLUGIN = """
import torch
from manyview.evaluation.scene import Prediction
class Still:
    name = baseline = "still"
    def settings(self): return {}
    def predict(self, images):
        import numpy as np
        poses = np.tile(np.eye(3, 4), (len(images), 1, 1))
        poses[:, 0, 3] = range(len(images))
        return Prediction(poses, np.tile(np.eye(3), (len(images), 1, 1)), np.ones((len(images), *images.shape[-2:])))
"""


def test_a_method_of_ones_own(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    words = [*QUICK, "--model", str(tiny_model), "--no-plots", "--out", str(tmp_path / "run")]
    assert commands.main([*words, "--plugin", f"{tmp_path / 'mine.py'}:Still"]) == 0
    assert "still" in capsys.readouterr().out
    for text, message in (("mine.py", "file.py:ClassName"), (f"{tmp_path / 'mine.py'}:Other", "has no class Other")):
        assert commands.main([*words, "--plugin", text]) == commands.BAD_INPUT
        assert message in capsys.readouterr().err


def test_check_says_where_to_get_a_data_set_without_having_it(capsys: pytest.CaptureFixture) -> None:
    from manyview.evaluation.datasets.catalog import DATASETS

    for name in DATASETS:
        code = commands.main(["evaluate", "--data", name, "--check"])
        shown = " ".join(capsys.readouterr().out.split())
        assert "source" in shown and "licence" in shown
        assert code == (0 if "complete" in shown else commands.BAD_INPUT)
        if name not in ("synthetic", "folder"):
            assert "http" in shown and "ROOT" in shown
    assert commands.main(["evaluate", "--data", "7scenes"]) == commands.BAD_INPUT
    assert "--data 7scenes --check` tells where to get it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "99"], "has no scene '99'"),
        (["--sparsity", "dense", "nonsense"], "nonsense"),
        (["--sparsity", "gone.json"], "gone.json"),
        (["--size", "57"], "must be a multiple of 14"),
    ],
)
def test_options_are_checked_before_a_model_is_read(tmp_path, capsys, monkeypatch, words, message) -> None:
    from manyview.nodes import load_model

    monkeypatch.setattr(load_model, "load_model", lambda *_, **__: pytest.fail("the model was read"))
    assert commands.main([*QUICK, "--out", str(tmp_path / "run"), "--no-plots", *words]) == commands.BAD_INPUT
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_results_say_which_version_made_them(tiny_model: Path, tmp_path: Path) -> None:
    from manyview.evaluation.commit import commit
    from manyview.version import __version__

    words = [*QUICK, "--model", str(tiny_model), "--no-plots", "--out", str(tmp_path / "run")]
    assert commands.main(words) == 0
    run = json.loads((tmp_path / "run" / "results.json").read_text())["run"]
    assert run["manyview"] == __version__
    assert (run["commit"] or "").split(" ")[0] == (commit() or "").split(" ")[0]
    assert f"manyview: `{__version__}`" in (tmp_path / "run" / "report.md").read_text()
