"""The command line as a whole: help, errors, exit codes."""

import io
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from manyview import commands
from manyview.commands import reconstruct
from manyview.commands import run as run_workflow
from manyview.commands._terminal import SafeStream


def test_help_imports_no_torch(root: Path) -> None:
    code = (
        "import runpy, sys\n"
        "runpy.run_path('__main__.py', run_name='x')\n"
        "from manyview.commands import build_parser\n"
        "build_parser(['reconstruct']).format_help()\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'av', 'tqdm'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_help_is_instant(root: Path) -> None:
    started = time.perf_counter()
    shown = subprocess.run([sys.executable, ".", "reconstruct", "--help"], cwd=root, capture_output=True, text=True)
    assert time.perf_counter() - started < 5  # about 0.2 s; a busy machine may be slow, torch would be slower
    assert shown.returncode == 0
    for option in ("--model", "--out", "--resolution", "--confidence-percentile", "--no-use-masks", "--debug"):
        assert option in shown.stdout


@pytest.mark.parametrize("name", commands.command_names())
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        commands.main([name, "--help"])
    assert stopped.value.code == 0
    assert "--debug" in capsys.readouterr().out


def test_usage_error(capsys: pytest.CaptureFixture) -> None:
    for argv in ([], ["no-such-command"], ["reconstruct"], ["reconstruct", "x", "--limit", "0"]):
        with pytest.raises(SystemExit) as stopped:
            commands.main(argv)
        assert stopped.value.code == commands.BAD_INPUT
        shown = capsys.readouterr().err
        assert shown.startswith("error: ") and shown.count("\n") == 1
    assert "must be between 1 and" in shown


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ValueError("two\nlines"), 2, "error: two lines"),
        (FileNotFoundError("no such folder"), 2, "no such folder"),
        (
            FileNotFoundError(2, "No such file", "a.json"),
            2,
            "error: There is no file or folder a.json; check the name.",
        ),
        (PermissionError(13, "Permission denied", "a.json"), 1, "error: a.json cannot be used: Permission denied."),
        (ImportError("needs x: pip install x"), 1, "error: needs x: pip install x"),
        (MemoryError(), 1, "Out of memory: use fewer images"),
        (RuntimeError("odd"), 1, "RuntimeError: odd (run again with --debug"),
        (KeyboardInterrupt(), 130, "Stopped"),
    ],
)
def test_errors_are_one_sentence(
    error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def fail(arguments):
        raise error

    monkeypatch.setattr(reconstruct, "run", fail)
    assert commands.main(["reconstruct", "x"]) == code
    shown = capsys.readouterr().err
    assert words in shown and "Traceback" not in shown
    if code != 130:
        with pytest.raises(type(error)):
            commands.main(["reconstruct", "x", "--debug"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "--frames", "0"], "at least 1, got '0'"),
        (["evaluate", "--data", "moon"], "Unknown data set 'moon'; choose from synthetic"),
        (["evaluate", "--device", "nowhere"], "device must be auto"),
        (["render", "--out", "OUT", "--device", "nowhere"], "device must be auto"),
    ],
)
def test_bad_values_are_one_sentence(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert commands.main([str(tmp_path / "out") if word == "OUT" else word for word in words]) == commands.BAD_INPUT
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_space_starts_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    from manyview.commands import demo

    asked = []
    monkeypatch.setenv("SPACE_ID", "somebody/manyview")
    monkeypatch.setattr(demo, "run", lambda arguments: asked.append((arguments.command, arguments.host)))
    assert commands.main([]) == 0 and asked == [("demo", "0.0.0.0")]


def test_names_cannot_control_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(arguments: object) -> None:
        print("left out: \x1b[2Jphoto.jpg")
        logging.getLogger("manyview").warning("\x1b]0;title\x07 was skipped")

    monkeypatch.setattr(run_workflow, "run", run)
    before = sys.stdout
    assert commands.main(["run", "x"]) == 0 and sys.stdout is before
    shown = capsys.readouterr()
    assert shown.out == "left out: \\x1b[2Jphoto.jpg\n"
    assert commands.main(["reconstruct", f"{tmp_path}/\x1bc.jpg"]) == commands.BAD_INPUT
    assert "\\x1bc.jpg does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        commands.main(["reconstruct", "x", "--limit", "\x1b[31m"])
    assert "\x1b" not in capsys.readouterr().err


def test_names_that_a_code_page_lacks_are_printed_with_escapes() -> None:
    raw = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    print("caf\u00e9 \udcff", file=stream)
    assert raw.getvalue().split() == [b"caf\\xe9", b"\\udcff"]
    assert stream.encoding == "ascii"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["render", "--out", "FILE"], "FILE is a file; name a folder"),
        (["render", "--out", "new", "--frames", "10000000000"], "at most 10,000 frames"),
        (["render", "--out", "new", "--size", "1000000", "1000000"], "2,048 pixels a side"),
        (["benchmark", "attention", "--out", "FILE"], "FILE is a file; name a folder"),
        (["benchmark", "attention", "--sparsity", "fast"], "--sparsity belongs to selection, forward and memory"),
        (["analyze", "--out", "FILE", "--model", "no-such-model"], "FILE is a file; name a folder"),
        (["analyze", "--images", "missing", "--model", "no-such-model"], "missing does not exist"),
        (["analyze", "time", "--sparsity", "no", "--model", "no-such-model"], "method must be one of"),
        (["analyze", "--drop", "-1", "--model", "no-such-model"], "--drop counts layers, got -1"),
        (["run", "FILE", "--out", "FILE"], "FILE is a file; name a folder"),
        (["run", "FILE", "--input", "missing"], "There is no folder missing"),
        (["run", "FILE"], "This file holds no workflow"),
    ],
)
def test_what_is_wrong_is_told_before_the_work(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("text")
    assert commands.main(words) == commands.BAD_INPUT
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]
