"""`reconstruct` from photos to files."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manyview import commands
from manyview.commands.reconstruct import output_folder
from manyview.scene.export import npz
from manyview.scene.export.claim import MARK, claimed
from manyview.scene.files import find_files


def run(*words: str | Path) -> int:
    return commands.main(["reconstruct", *map(str, words)])


def test_photos_to_files(tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (photos / "text.jpg").write_text("not a picture")
    out = tmp_path / "out"
    assert run(photos, "--model", tiny_model, "--out", out, "--max-points", "500", "--reduce", "random") == 0
    report = capsys.readouterr().out
    for words in (
        "left out: text.jpg is a text file",
        "3 frames of 112 x 84 pixels, 159 tokens",
        "points: 500",
        "peak memory",
        "seconds:",
    ):
        assert words in report
    for name in ("points.ply", "scene.glb", "scene.npz", "colmap/sparse/0/points3D.bin", "depth/photo_0.png"):
        assert (out / name).stat().st_size > 0
    assert any((out / "preview").iterdir())
    scene = npz.read_npz(out / "scene.npz")
    assert scene.names == ("photo_0.jpg", "photo_1.jpg", "photo_2.jpg")
    assert scene.settings["tokens"] == 3 * (6 * 8 + 5)
    assert {"encoder", "aggregator", "camera", "depth"} <= scene.timings.keys()


def test_nothing_is_overwritten_silently(
    tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = [photos, "--model", tiny_model, "--formats", "ply", "--limit", "1"]
    out.mkdir()
    (out / "points.ply").write_text("precious")
    assert run(*command, "--out", out) == commands.BAD_INPUT
    assert "not empty" in capsys.readouterr().err
    assert (out / "points.ply").read_text() == "precious"
    (out / "notes.txt").write_text("mine")
    assert run(*command, "--out", out, "--overwrite") == 0
    assert (out / "points.ply").read_bytes().startswith(b"ply")
    assert (out / "notes.txt").read_text() == "mine"
    monkeypatch.chdir(tmp_path)
    assert run(*command) == 0 and run(*command) == 0
    assert sorted(path.name for path in Path("output").iterdir()) == ["photos", "photos-2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing"], "missing does not exist"),
        (["photos", "--model", "no-such-model"], "no-such-model"),
        (["photos", "--model", "MODEL", "--frames", "9"], "Frames must be some of 0 to 2"),
        (["photos", "--model", "MODEL", "--frames", "a"], "such as 0,3,5-9"),
        (["photos", "--model", "MODEL", "--resolution", "100"], "multiple of the patch size 14"),
        (["photos", "--model", "MODEL", "--device", "nowhere"], "device must be"),
        (["photos", "--model", "MODEL", "--start", "5"], "only 3 images"),
        (["photos", "--model", "MODEL", "--frame-rate", "2"], "frame_rate is 2: it is for a video"),
        (["photos", "--model", "MODEL", "--resize", "pi3", "--resolution", "112"], "resize pi3 has a size of its own"),
        (["photos", "--out", "photos/photo_0.jpg/below"], "photo_0.jpg is a file; name a folder"),
        (["photos", "--model", "MODEL", "--out", "photos/photo_0.jpg"], "photo_0.jpg is a file; name a folder"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str],
    message: str,
    tiny_model: Path,
    photos: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photos.parent)
    assert run(*(str(tiny_model) if word == "MODEL" else word for word in words)) == commands.BAD_INPUT
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0]
    assert not Path("output").exists()


def test_unwritable_folder_is_told_before_the_work(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    assert run(photos, "--model", "no-such-model", "--out", tmp_path / "a" / "b") == commands.BAD_INPUT
    assert f"nothing can be written to {tmp_path}; name another folder" in capsys.readouterr().err


def test_a_retry_after_a_run_that_was_killed(
    tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    (out / ".depth.0123abcd.partial").mkdir(parents=True)
    (out / MARK).touch()
    (out / "points.ply").write_text("of the run that was killed")
    (out / "notes.txt").write_text("mine")
    command = [photos, "--model", tiny_model, "--formats", "ply", "--limit", "1", "--out", out]
    assert run(*command) == 0
    assert "has files of a run that was ended; they are replaced" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["notes.txt", "points.ply"]
    assert (out / "points.ply").read_bytes().startswith(b"ply") and (out / "notes.txt").read_text() == "mine"
    assert run(*command) == commands.BAD_INPUT


def test_no_two_runs_write_into_one_folder(
    tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = [photos, "--model", tiny_model, "--formats", "ply", "--limit", "1"]
    with ThreadPoolExecutor(1) as other:
        taken = claimed(Path("output") / "photos")
        other.submit(taken.__enter__).result()  # as another process would hold it
        assert run(*command, "--out", "output/photos", "--overwrite") == commands.BAD_INPUT
        assert "another run is writing into output/photos" in capsys.readouterr().err
        assert run(*command) == 0
        other.submit(taken.__exit__, None, None, None).result()
    assert [path.name for path in Path("output").iterdir()] == ["photos-2"]


def test_a_format_that_fails_costs_no_other(
    tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args, **options):
        raise OSError("the disk is full")

    monkeypatch.setattr("manyview.nodes.export.write_npz", full)
    command = [photos, "--model", tiny_model, "--limit", "1", "--out", tmp_path / "out"]
    assert run(*command, "--formats", "npz", "ply") == commands.FAILED
    said = capsys.readouterr()
    assert "1 files in" in said.out and "error: npz could not be written: the disk is full." in said.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["points.ply"]


def test_points_that_cannot_be_made_cost_no_scene(
    tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args, **options):
        raise MemoryError

    monkeypatch.setattr("manyview.nodes.point_cloud.point_cloud", fail)
    command = [photos, "--model", tiny_model, "--limit", "1", "--out", tmp_path / "out"]
    assert run(*command) == commands.FAILED
    assert "error: The points could not be made: Out of memory" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"scene.npz", "depth"}
    assert len(npz.read_npz(tmp_path / "out" / "scene.npz")) == 1


def test_an_output_that_leads_nowhere_is_told_before_the_work(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "unmounted")
    assert run(photos, "--model", "no-such-model", "--out", tmp_path / "link") == commands.BAD_INPUT
    assert "unmounted, which is not there" in capsys.readouterr().err


def test_no_point_left_is_told(tiny_model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(photos, "--model", tiny_model, "--out", tmp_path / "out", "--confidence-threshold", "1") == 0
    assert "note: no point is left" in capsys.readouterr().out
    assert (tmp_path / "out" / "preview" / "cloud.png").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C in another way")
def test_ctrl_c_leaves_no_half_file(root: Path, tiny_model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # A process started in the background may ignore Ctrl-C; this one must not.
    code = "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, root, "reconstruct", photos, "--model", tiny_model, "--out", out]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "points.ply").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGINT)  # previews, which come last, take seconds
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Stopped" in errors and "Traceback" not in errors
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]
    assert not (out / "preview").exists()


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        (["scan.v1"], "scan.v1"),
        (["scan.v1/"], "scan.v1"),
        (["scan.v2"], "scan.v2"),
        (["scan.v1/a.b.jpg"], "a.b"),
        (["scan.v1/?.jpg"], "scene"),
        (["scan.v*/a.b.jpg"], "scene"),
        (["[2024] trip"], "[2024] trip"),
        (["[2024] trip/*.jpg"], "scene"),
        (["[2024] trip/a.jpg"], "a"),
        (["~backup"], "~backup"),
        (["scan.v1", "scan.v2"], "scene"),
    ],
)
def test_results_are_named_after_the_input(
    inputs: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("scan.v1/a.b.jpg", "scan.v1/b.jpg", "scan.v2/a.jpg", "[2024] trip/a.jpg", "~backup/a.jpg"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).touch()
    assert output_folder(inputs, None, False) == Path("output") / name
    assert all(path.exists() for path in find_files(inputs if len(inputs) > 1 else inputs[0]))
    (Path("output") / name).mkdir(parents=True)
    (Path("output") / name / "scene.npz").touch()
    assert output_folder(inputs, None, False) == Path("output") / f"{name}-2"
