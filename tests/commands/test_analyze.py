"""`python . analyze` from the command line to the figures."""

import json
from pathlib import Path

import pytest

from manyview import commands
from manyview.evaluation.analysis import sweeps

QUICK = ["--frames", "3", "--size", "84", "--scenes", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rule_curves", "pooling_curves", "size_curves"):
        whole = getattr(sweeps, name)
        monkeypatch.setattr(sweeps, name, lambda loaded, whole=whole: whole(loaded, (0.5,)))


def test_all_figures(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    words = ["analyze", "--model", str(tiny_model), *QUICK, "--time-frames", "1", "2", "--repeats", "1"]
    assert commands.main([*words, "--drop", "2", "--out", str(out)]) == 0
    expected = {
        *("attention-matrix-layer-2", "attention-of-a-patch-layer-2", "attention-by-layer", "attention-in-best-blocks"),
        *("dropped-layers", "time-by-part", "accuracy-by-rule", "ablation-pooling", "ablation-block-size"),
    }
    for suffix in (".svg", ".png", ".txt"):
        assert {file.stem for file in out.glob(f"*{suffix}")} == expected
    for file in out.glob("*.txt"):
        text = " ".join(file.read_text().split())
        assert "84 x 84 px" in text and "CPU, float32" in text
    numbers = json.loads((out / "analysis.json").read_text())
    assert set(numbers) == {"attention", "drop", "time", "density", "ablation"}
    assert len(numbers["attention"]["layers"]) == 4
    assert f"{tiny_model.name} middle 2" in numbers["drop"]["methods"]
    assert {row["frames"] for row in numbers["time"]["passes"]["balanced"]} == {1, 2}
    assert numbers["density"]["methods"][f"{tiny_model.name} random 0.5"]["density"] < 100
    assert "attention-by-layer.svg: Softmax weights" in capsys.readouterr().out


def test_photos(tiny_model: Path, tmp_path: Path, photos: Path) -> None:
    words = ["analyze", "attention", "--model", str(tiny_model), "--images", str(photos), "--layer", "0"]
    assert commands.main([*words, "--frames", "2", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    assert "2 frames of" in (tmp_path / "out" / "attention-matrix-layer-0.txt").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["everything"], "no figure 'everything'; choose from attention"),
        (["attention", "--layer", "4"], "--layer must be from 0 to 3"),
    ],
)
def test_wrong_words(
    words: list[str], message: str, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    start = ["analyze", "--model", str(tiny_model), *QUICK, "--out", str(tmp_path / "out"), *words]
    assert commands.main(start) == commands.BAD_INPUT
    assert message in capsys.readouterr().err


def test_a_full_folder_is_left_alone(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert commands.main(["analyze", "--model", str(tiny_model), "--out", str(tmp_path)]) == commands.BAD_INPUT
    assert "holds no analysis" in capsys.readouterr().err
