"""Every data set can be opened by name, says what it needs, and ships its frames."""

from pathlib import Path

import pytest

from manyview import commands
from manyview.evaluation.datasets.catalog import DATASETS, open_benchmarks
from manyview.evaluation.datasets.files import FRAMES


@pytest.mark.parametrize("name", DATASETS)
def test_opens_without_data(name: str, tmp_path: Path) -> None:
    for benchmark in open_benchmarks([name], root=tmp_path):
        card = benchmark.card
        assert card.name == name and benchmark.name.startswith(name)
        assert len(benchmark.scenes()) == len(set(benchmark.scenes())) > 0
        assert min(len(text) for text in (card.title, card.source, card.licence, card.frames)) > 2
        if name != "synthetic":
            lines = benchmark.missing()
            assert len(lines) == len(benchmark.scenes())
            with pytest.raises((FileNotFoundError, OSError)):
                benchmark.load(benchmark.scenes()[0])


def test_choices(tmp_path: Path) -> None:
    def names(*data: str, **choice) -> list[str]:
        return [benchmark.name for benchmark in open_benchmarks(data, **choice)]

    assert names("synthetic") == ["synthetic-8", "synthetic-24"]
    assert names("tanks", root=tmp_path) == ["tanks-25", "tanks-50", "tanks-100", "tanks-200", "tanks-full"]
    assert names("tanks", root=tmp_path, frames=["full"]) == ["tanks-full"]
    assert names("7scenes", "tum", root=tmp_path, views=["dense"]) == ["7scenes-dense", "tum"]
    assert open_benchmarks(["7scenes", "tum"], root=tmp_path)[-1].root == tmp_path / "tum"
    with pytest.raises(ValueError, match="--root where the data set tum"):
        names("tum")
    with pytest.raises(ValueError, match="got 'many'"):
        names("synthetic", frames=["many"])


def test_shipped_lists_say_what_they_are() -> None:
    for file in FRAMES.glob("*.json"):
        assert '"about"' in file.read_text(encoding="utf-8")


def test_check_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert commands.main(["evaluate", "--data", "7scenes", "--root", str(tmp_path), "--check"]) == commands.BAD_INPUT
    shown = capsys.readouterr().out
    assert "licence" in shown and "seq-03" in shown and "18 things are missing" in shown
    assert commands.main(["evaluate", "--data", "tum", "--root", str(tmp_path)]) == commands.BAD_INPUT
    assert "--check" in capsys.readouterr().err
