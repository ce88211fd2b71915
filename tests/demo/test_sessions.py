"""Visitors are apart, and what is theirs goes with them."""

import time
from pathlib import Path

import pytest
import torch

from manyview.demo import sessions as module
from manyview.demo.jobs import Job
from manyview.demo.sessions import Sessions


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions", tmp_path / "models", torch.device("cpu"), idle_seconds=60)


def test_each_has_folders_and_a_token(sessions: Sessions) -> None:
    one, other = sessions.of("1"), sessions.of("2")
    assert sessions.of("1") is one and len(sessions) == 2
    assert one.host.base != other.host.base and one.token != other.token and len(one.token) >= 24
    assert sessions.by_token(one.token) is one and sessions.by_token("x") is None
    assert one.runner.results is not other.runner.results and one.runner.shared is other.runner.shared
    with pytest.raises(ValueError, match="load it again"):
        sessions.of(None)


def test_all_is_deleted(sessions: Sessions) -> None:
    one, other = sessions.of("1"), sessions.of("2")
    one.job = Job(lambda job: job.check())
    sessions.close("1")
    one.job.run()
    assert one.job.state == "cancelled" and not one.host.base.exists() and other.host.base.exists()
    sessions.close("no such")
    sessions.close_all()
    assert not len(sessions) and not list(sessions.root.iterdir())


def test_a_page_that_is_loaded_again_finds_its_session(sessions: Sessions) -> None:
    before = sessions.of("1")
    sessions.leave("1")
    assert before.host.base.exists() and sessions.by_token(before.token) is before
    assert sessions.resume("2", before.token) == (before, True) and sessions.of("2") is before
    assert sessions.resume("3", before.token) == (before, True), "a copy of the page shows the same"
    sessions.leave("2")
    assert sessions.of("3") is before
    for wrong in ("", "x", "\u4f60"):
        other, is_back = sessions.resume(f"new {wrong}", wrong)
        assert not is_back and other is not before


def test_who_does_not_come_back_is_forgotten(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions", tmp_path / "models", torch.device("cpu"), leave_seconds=0.05)
    gone, back = sessions.of("1"), sessions.of("2")
    sessions.leave("2")
    assert sessions.resume("3", back.token)[1]
    sessions.leave("1")
    end = time.monotonic() + 60
    while gone.host.base.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not gone.host.base.exists() and back.host.base.exists() and len(sessions) == 1
    assert not sessions.resume("4", gone.token)[1]
    sessions.close_all()
    assert not back.host.base.exists()


def test_nothing_is_left_in_the_end(sessions: Sessions) -> None:
    """Neither of a visitor whose leaving is not over yet, nor of one who comes just then."""
    leaving = sessions.make()
    (leaving.host.base / "input" / "a.jpg").write_bytes(b"")
    sessions.close_all()
    for come in (sessions.make, lambda: sessions.of("1")):
        with pytest.raises(ValueError, match="being closed"):
            come()
    assert not list(sessions.root.iterdir())


def test_idle_ones_go_unless_they_work(sessions: Sessions) -> None:
    idle, busy = sessions.of("1"), sessions.of("2")
    busy.job = Job(lambda job: None)
    for each in (idle, busy):
        each.seen = time.monotonic() - 61
    sessions.of("3")
    assert not idle.host.base.exists() and busy.host.base.exists() and len(sessions) == 2


def test_too_many(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SESSIONS", 1)
    sessions.of("1")
    with pytest.raises(ValueError, match="are here already"):
        sessions.of("2")
