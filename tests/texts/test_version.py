"""Which ManyView this is."""

import re

from manyview.texts import version


def test_the_version_is_that_of_the_project(root):
    assert f'version = "{version.version()}"' in (root / "pyproject.toml").read_text(encoding="utf-8")


def test_an_installed_package_knows_its_version_too(monkeypatch, tmp_path):
    monkeypatch.setattr(version, "ROOT", tmp_path)
    monkeypatch.setattr(version.metadata, "version", lambda name: f"7 of {name}")
    assert version.version() == "7 of manyview"
    assert version.commit() is None


def test_the_commit_of_a_checkout(monkeypatch):
    told = {"rev-parse": "0123abc", "status": " M a.py"}
    monkeypatch.setattr(version, "_git", lambda word, *rest: told[word])
    if (version.ROOT / ".git").exists():
        assert version.commit() == "0123abc and changes"
        told["status"] = ""
        assert version.commit() == "0123abc"


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert version.commit() is None or re.match("[0-9a-f]{40}", version.commit())
