"""The command that measures speed."""

import json
from pathlib import Path

import pytest

from manyview import commands

TINY = ["--frames", "2", "--grid", "4", "5", "--heads", "2", "--width", "16", "--repeats", "1", "--device", "cpu"]


def test_writes_numbers_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert commands.main(["benchmark", *TINY, "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "benchmark.json").read_text())
    assert report["machine"]["torch"] and report["options"]["grid"] == [4, 5]
    assert report["attention"][0]["kernel"] == "SDPA, as it comes"
    assert {row["setting"] for row in report["selection"]} == {"balanced", "paper-s75"}
    for name in ("kernels", "selection"):
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
    assert "choice / attention" in capsys.readouterr().out


def test_settings_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "third.json"
    file.write_text(
        json.dumps({"method": "paper", "rho": 0.66, "query_block": 16, "key_block": 8, "min_tokens": 10**6})
    )
    words = ["selection", *TINY, "--sparsity", str(file), "--out", str(tmp_path)]
    assert commands.main(["benchmark", *words]) == 0
    (row,) = json.loads((tmp_path / "benchmark.json").read_text())["selection"]
    assert row["setting"] == "third" and row["density"] < 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["speed"], "Nothing called speed"),
        (["--keep", "0"], "--keep above 0"),
        (["--frames", "0"], "at least 1"),
        (["--sparsity", "none"], "method must be one of"),
        (["--sparsity", "dense"], "dense chooses no blocks"),
        (["--compare", "old.json"], "belong to the subject forward"),
    ],
)
def test_wrong_input(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert commands.main(["benchmark", *TINY, *words, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def forward(tiny_model: Path, tmp_path: Path):
    """Runs the subject forward on the tiny model: words -> exit code."""
    words = ["benchmark", "forward", "--model", str(tiny_model), "--frames", "1", "2", "--image-sizes", "28x42"]
    words += ["--repeats", "1", "--device", "cpu", "--out", str(tmp_path / "out")]
    return lambda *more: commands.main([*words, *more])


def test_forward(forward, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    schedule = tmp_path / "mine.json"
    schedule.write_text(json.dumps({"sparsity": {"rho": 0.5, "query_block": 8, "key_block": 4}}))
    assert forward("--sparsity", "dense", "keep-25", str(schedule), "--outputs", "camera", "depth") == 0
    report = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert report["machine"]["torch"] and report["command"] and report["peak"] is None
    rows = report["forward"]
    assert [(row["method"], row["frames"]) for row in rows] == [
        (name, frames) for name in ("dense", "keep-25", "mine") for frames in (1, 2)
    ]
    assert all(row["precision"] == "float32" and row["outputs"] == ["camera", "depth"] for row in rows)
    assert [row["tokens"] for row in rows[:2]] == [11, 22]
    assert rows[2]["sparsity"]["rho"] == 0.75 and rows[2]["sparsity"]["method"] == "paper"
    assert "points" not in rows[0]["parts"] and rows[0]["parts"]["depth"]["flop"] > 0
    for name in ("forward-28x42", "parts-28x42"):
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 1000
    shown = capsys.readouterr().out
    assert "keep-25, 28x42, 2 frames:" in shown and "median of up to 1 passes after 1 to warm up" in shown


def test_forward_with_peers_and_without_parts(forward, tmp_path: Path) -> None:
    assert forward("--sparsity", "dense", "--no-parts", "--peers", f"fastvggt={tmp_path}", "--outputs", "depth") == 0
    rows = json.loads((tmp_path / "out" / "benchmark.json").read_text())["forward"]
    assert "parts" not in rows[0] and rows[0]["seconds"] > 0
    assert rows[-1]["method"] == "public fastvggt" and "CUDA only" in rows[-1]["error"]


def test_forward_against_an_earlier_report(forward, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert forward("--sparsity", "dense", "--no-parts") == 0
    first = tmp_path / "first.json"
    (tmp_path / "out" / "benchmark.json").rename(first)
    capsys.readouterr()
    assert forward("--sparsity", "dense", "keep-50", "--no-parts", "--add", str(first), "--compare", str(first)) == 0
    shown = capsys.readouterr().out
    assert "0 of 2 rows are slower" in shown and shown.count(" 1.000") == 4
    before, after = (json.loads(path.read_text())["forward"] for path in (first, tmp_path / "out" / "benchmark.json"))
    assert after[:2] == before and [row["method"] for row in after[2:]] == ["keep-50", "keep-50"]
    elsewhere = json.loads(first.read_text())
    elsewhere["machine"]["device"] = "another"
    first.write_text(json.dumps(elsewhere))
    assert forward("--add", str(first)) == 2
    assert "from another device" in capsys.readouterr().err


def test_rows_stay_when_it_is_stopped(
    forward, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from manyview.evaluation.speed import forward as measuring

    def stopped(contender, frames, *others):
        if frames == 2:
            raise KeyboardInterrupt
        return measure(contender, frames, *others)

    measure = measuring.measure
    monkeypatch.setattr(measuring, "measure", stopped)
    assert forward("--sparsity", "dense") == 130
    rows = json.loads((tmp_path / "out" / "benchmark.json").read_text())["forward"]
    assert [row["frames"] for row in rows] == [1] and (tmp_path / "out" / "forward-28x42.png").exists()
    assert "dense   28x42" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image-sizes", "28x43"], "multiples of 14 pixels, got 28x43"),
        (["--sparsity", "keep-0"], "keeps N percent"),
        (["--sparsity", "none"], "method must be one of dense"),
        (["--peers", "vggt=nowhere"], "nowhere is not there"),
        (["--peers", "pi3=."], "another network than"),
        (["--peers", "vggt=.,weights.pt"], "leave out weights.pt"),
        (["--compare", "pyproject.toml"], "no benchmark.json with forward rows"),
        (["--limit-s", "0"], "--limit-s above 0"),
        (["--frame-chunk", "0"], "--frame-chunk and --most-frames must be at least 1"),
        (["--memory-caps", "8"], "needs CUDA, and the device is cpu"),
    ],
)
def test_forward_wrong_input(
    forward, words: list[str], message: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(root)
    assert forward(*words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
