"""`python . train`: what is checked before anything is made, and going on after a kill."""

import json

import pytest

from manyview import commands


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert commands.main(["train", "--no-compile", *words]) == commands.BAD_INPUT
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "nan"], "--minutes must be a number above 0, got nan"),
        (["--minutes", "0"], "--minutes must be a number above 0, got 0"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--resume"], "holds no run to go on with"),
    ],
)
def test_options_are_checked_before_anything_is_made(tmp_path, capsys, words, message) -> None:
    assert message in refused(capsys, "--out", str(tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused(tmp_path, capsys) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty" in refused(capsys, "--out", str(tmp_path))
    assert "is a file" in refused(capsys, "--out", str(tmp_path / "notes.txt"))
    (tmp_path / "log.jsonl").write_text(json.dumps({"plan": {"minutes": None, "steps": 9, "seed": 3}}) + "\n")
    assert "add --resume to go on" in refused(capsys, "--out", str(tmp_path))
    assert "has steps 9, not 8" in refused(capsys, "--out", str(tmp_path), "--resume", "--steps", "8")
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(json.dumps({"finished": True}) + "\n")
    assert "is finished" in refused(capsys, "--out", str(tmp_path), "--resume")
    assert (tmp_path / "notes.txt").read_text() == "mine"
