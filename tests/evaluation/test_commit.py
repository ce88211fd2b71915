"""Which commit made the results."""

import re

from manyview.evaluation import commit


def test_the_commit_of_a_checkout(monkeypatch):
    told = {"rev-parse": "0123abc", "status": " M a.py"}
    monkeypatch.setattr(commit, "_git", lambda word, *rest: told[word])
    if (commit.ROOT / ".git").exists():
        assert commit.commit() == "0123abc and changes"
        told["status"] = ""
        assert commit.commit() == "0123abc"


def test_what_is_no_checkout_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr(commit, "ROOT", tmp_path)
    assert commit.commit() is None


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit.commit() is None or re.match("[0-9a-f]{40}", commit.commit())
