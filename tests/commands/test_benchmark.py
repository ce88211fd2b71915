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
    ],
)
def test_wrong_input(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert commands.main(["benchmark", *TINY, *words, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
