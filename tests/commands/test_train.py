"""`python . train`: what is checked before anything is made, and going on after a kill."""

import json
import zipfile

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


def test_what_a_run_reads_is_checked_first(tmp_path, capsys, monkeypatch) -> None:
    out, text = ["--out", str(tmp_path / "run")], tmp_path / "text.zip"
    assert "--out where the model goes" in refused(capsys)
    assert "--pause must be a number above 0" in refused(capsys, *out, "--pause", "0")
    assert "none.zip is not there" in refused(capsys, *out, "--assets", str(tmp_path / "none.zip"))
    assert "none.safetensors is not there" in refused(capsys, *out, "--start", str(tmp_path / "none.safetensors"))
    assert "neither a COLMAP model nor" in refused(capsys, *out, "--photos", str(tmp_path))
    text.write_text("no zip")
    assert "is no pack of assets" in refused(capsys, *out, "--assets", str(text))
    with zipfile.ZipFile(tmp_path / "pack.zip", "w") as pack:
        pack.writestr("sources.json", "[]")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert commands.main(["train", *out, "--assets", str(tmp_path / "pack.zip")]) == 1
    assert "pip install warp-lang" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_fetching_makes_a_new_pack_and_overwrites_none(tmp_path, capsys, monkeypatch) -> None:
    from manyview.training import assets

    asked = []
    monkeypatch.setattr(assets, "build_pack", lambda *place, progress: asked.append(place) or {"photo": 2, "mesh": 1})
    assert commands.main(["train", "--fetch", str(tmp_path / "pack.zip")]) == 0
    assert "2 of photo, 1 of mesh" in capsys.readouterr().out
    assert asked == [(tmp_path / "pack.zip", tmp_path / "pack.packages")]
    (tmp_path / "pack.zip").write_text("mine")
    assert "pack.zip exists" in refused(capsys, "--fetch", str(tmp_path / "pack.zip"))
    assert "is no folder" in refused(capsys, "--fetch", str(tmp_path / "none" / "pack.zip"))
