"""`run`: example workflows without ComfyUI."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from manyview import commands

EXAMPLES = Path(__file__).resolve().parents[2] / "example_workflows"
QUICK = EXAMPLES / "1 Quick Start.json"
SMALL = ("--set", "load images.limit=2", "--set", "load images.resolution=112")


def run(*words: str | Path) -> int:
    return commands.main(["run", *map(str, words)])


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_example_runs(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    code = run(path, "--out", tmp_path / "out", *SMALL)
    shown = capsys.readouterr()
    if path.stem.startswith("6"):
        assert code == commands.BAD_INPUT and "download https://huggingface.co/facebook/VGGT-1B" in shown.err
        return
    assert code == 0, shown.err
    assert "2 frames of" in shown.out
    written = files(tmp_path / "out")
    assert f"{len(written)} files in" in shown.out
    if "ExportPointCloud" in path.read_text():
        assert "manyview/scene_00001_/scene.glb" in written


def test_values_are_set_and_previews_kept(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    words = (*SMALL, "--set", "5.max_points=500", "--set", "sparsity control.method=dense", "--previews")
    assert run(QUICK, "--out", out, *words) == 0
    shown = capsys.readouterr().out
    points = int(re.search(r"([\d,]+) points", shown)[1].replace(",", ""))
    assert 300 < points <= 500 and "points.ply" in shown
    assert any(re.fullmatch(r"previews/6_ManyView_Preview_0_\d+_\.ply", name) for name in files(out))
    assert run(QUICK, "--out", out, *words) == 0
    assert "manyview/scene_00002_/points.ply" in files(out), "nothing is overwritten"


def test_what_fails_is_told_and_the_rest_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args, **options):
        raise OSError("the disk is full")

    monkeypatch.setattr("manyview.nodes.graph.preview.write_viewer", full)
    assert run(QUICK, "--out", tmp_path / "out", *SMALL) == commands.FAILED
    said = capsys.readouterr()
    assert "the disk is full" in said.err and "files in" in said.out
    assert "manyview/scene_00001_/scene.glb" in files(tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "unmounted")
    assert run(QUICK, "--out", tmp_path / "link") == commands.BAD_INPUT
    assert "unmounted, which is not there" in capsys.readouterr().err


def test_a_glb_runs_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    assert run(QUICK, "--out", out, *SMALL) == 0
    assert run(out / "manyview" / "scene_00001_" / "scene.glb", "--out", tmp_path / "again") == 0
    assert "2 frames of 112 x 84" in capsys.readouterr().out
    written = [f"manyview/scene_00001_/{name}" for name in ("points.ply", "scene.glb", "thumbnail.png")]
    assert files(tmp_path / "again") == written
    first, second = ((each / "manyview" / "scene_00001_" / "points.ply") for each in (out, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()


def test_input_folder(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture) -> None:
    words = ("--input", photos.parent, "--set", "load images.source=photos", "--set", "2.resolution=112")
    assert run(QUICK, "--out", tmp_path / "out", *words) == 0
    assert "3 frames" in capsys.readouterr().out
    assert run(QUICK, "--out", tmp_path / "out", *words[2:]) == commands.BAD_INPUT
    assert "source is 'photos', but must be one of sample scene" in capsys.readouterr().err


def test_list_and_check(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(QUICK, "--list") == 0
    shown = capsys.readouterr().out
    assert "Node 5 (Point Cloud)\n    confidence_percentile = 20.0\n" in shown
    assert 'reduce = "voxel"   one of voxel, random' in shown
    assert run(QUICK, "--check") == 0
    assert "1 Quick Start.json: 7 nodes, nothing wrong." in capsys.readouterr().out
    assert run(QUICK, "--check", "--set", "5.max_points=0") == commands.BAD_INPUT
    assert "Node 5 (Point Cloud): max_points is 0" in capsys.readouterr().err
    assert files(tmp_path) == [], "looking writes nothing"


def test_strangers_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"1": {"class_type": "KSampler", "inputs": {}}}))
    assert run(path, "--list") == 0
    assert "Node 1 (KSampler): can only run in ComfyUI" in capsys.readouterr().out
    assert run(path, "--out", tmp_path / "out") == commands.BAD_INPUT
    assert "KSampler (node 1)" in capsys.readouterr().err


def test_files_that_are_no_workflows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "x.png")
    for name, words in (("none.json", "There is no file"), ("x.png", "PNG file carries no workflow")):
        assert run(tmp_path / name) == commands.BAD_INPUT
        shown = capsys.readouterr().err
        assert words in shown and shown.count("\n") == 1
