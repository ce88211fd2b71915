"""A name that is there goes before any reading of signs in it."""

import glob
from pathlib import Path

import pytest

from manyview.texts.paths import named_path, pattern_of


def test_a_file_named_like_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~backup").mkdir()
    home = Path("~").expanduser()
    assert named_path("~backup") == Path("~backup")
    assert named_path("~backup/missing.jpg") == Path("~backup/missing.jpg")
    assert named_path("~nobody-of-that-name") == Path("~nobody-of-that-name")
    assert named_path("~/x") == home / "x"
    (tmp_path / "~").mkdir()
    assert named_path("~") == Path("~")


def test_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("[2024] trip/a.jpg", "[2024] trip/b[1].jpg", "plain/c.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    assert pattern_of("plain/c.jpg") is None
    assert pattern_of("plain/missing.jpg") is None
    assert pattern_of("[2024] trip/b[1].jpg") is None
    assert pattern_of("[2024] trip/missing.jpg") is None
    found = sorted(glob.glob(pattern_of("[2024] trip/*.jpg")))
    assert [Path(each).name for each in found] == ["a.jpg", "b[1].jpg"]
    assert glob.glob(pattern_of(tmp_path / "pl*" / "?.jpg")) == [str(tmp_path / "plain" / "c.jpg")]
    assert glob.glob(pattern_of("[a-z]*/c.jpg")) == [str(Path("plain") / "c.jpg")]


def test_names_that_no_file_can_have_are_no_error() -> None:
    assert pattern_of("a\0b") is None
    assert pattern_of("x" * 5000) is None
