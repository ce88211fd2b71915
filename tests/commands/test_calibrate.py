"""The command that calibrates a schedule."""

import json
from pathlib import Path

import pytest

from manyview import commands
from manyview.nodes.sparsity import sparsity


def test_writes_a_schedule_that_can_be_used(
    tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "new" / "schedule.json"
    common = ["calibrate", "--model", str(tiny_model), "--device", "cpu", "--keep", "0.3", "--out", str(out)]
    assert commands.main([*common, "--images", str(photos)]) == 0
    assert "share kept" in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert report["model"] == "tiny.safetensors" and report["frames"] == [3]
    config = sparsity(method="file", schedule=out)
    assert set(config.layer_rho) == {0, 1, 2, 3} and config.own
    assert commands.main([*common, "--scenes", "1", "--frames", "2", "--size", "56"]) == 2  # it exists
    out.unlink()
    assert commands.main([*common, "--scenes", "1", "--frames", "2", "--size", "56"]) == 0
    assert json.loads(out.read_text())["scenes"] == "1 rendered from seed 3000000"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--keep", "1.5"], "between 0 and 1"),
        (["--base", "paper-s50"], "take quality, balanced, fast or long"),
        (["--scenes", "0"], "at least 1"),
        (["--size", "100"], "must be a multiple of 14"),
        (["--images", "gone/"], "does not exist"),
    ],
)
def test_wrong_input(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from manyview.nodes import load_model

    monkeypatch.setattr(load_model, "load_model", lambda *_, **__: pytest.fail("the model was read"))
    assert commands.main(["calibrate", "--frames", "2", "--out", str(tmp_path / "out.json"), *words]) == 2
    assert message in capsys.readouterr().err
