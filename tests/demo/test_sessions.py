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
    assert sessions.token_of("1") == before.token != sessions.token_of("2")
    assert sessions.resume("2", before.token) is before and sessions.of("2") is before
    assert sessions.resume("3", before.token) is before, "a copy of the page shows the same"
    assert sessions.resume("4", before.token, user="bob") is None, "it belongs to somebody else"
    sessions.leave("2")
    assert sessions.of("3") is before
    for wrong in ("", "x", "\u4f60"):
        assert sessions.resume(f"new {wrong}", wrong) is None


def test_who_does_not_come_back_is_forgotten(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions", tmp_path / "models", torch.device("cpu"), leave_seconds=0.05)
    gone, back = sessions.of("1"), sessions.of("2")
    sessions.leave("2")
    assert sessions.resume("3", back.token) is back
    sessions.leave("1")
    end = time.monotonic() + 60
    while gone.host.base.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not gone.host.base.exists() and back.host.base.exists() and len(sessions) == 1
    assert sessions.resume("4", gone.token) is None
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


def test_those_who_have_done_something_stay(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all places are taken, unused sessions give way, then those whose page is not open; the others never."""
    monkeypatch.setattr(module, "MOST_SESSIONS", 2)
    used, unused = sessions.of("used"), sessions.of("unused")
    used.photos.clear()
    third = sessions.of("third")
    third.photos.clear()
    assert not unused.host.base.exists() and sessions.find("unused") is None
    with sessions.page_open("used"):
        fourth = sessions.of("fourth")
        assert not third.host.base.exists() and used.host.base.exists(), "nobody has the third one's page open"
        fourth.photos.clear()
        with sessions.page_open("fourth"), pytest.raises(ValueError, match="2 people are here already"):
            sessions.of("fifth")
        fourth.job = Job(lambda job: None)
        with pytest.raises(ValueError, match="2 people are here already"):
            sessions.of("fifth")
    assert sessions.find("used") is used and len(sessions) == 2


def test_invented_ids_take_no_places(sessions: Sessions) -> None:
    for number in range(3 * module.MOST_SESSIONS):
        assert sessions.find(str(number)) is None
        sessions.of(str(number))
    assert len(sessions) == module.MOST_SESSIONS
    for number in ("", "x" * 101):
        with pytest.raises(ValueError, match="load it again"):
            sessions.of(number)


def test_unused_ones_go_early(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNUSED_S", 10)
    unused, used = sessions.of("1"), sessions.of("2")
    used.photos.clear()
    for each in (unused, used):
        each.seen = time.monotonic() - 11
    sessions.of("3")
    assert not unused.host.base.exists() and used.host.base.exists()


def test_sessions_belong_to_who_logged_in(sessions: Sessions) -> None:
    assert sessions.belongs_to("1", "ada") and sessions.belongs_to("1", "ada")
    assert not sessions.belongs_to("1", "bob") and sessions.belongs_to("2", "bob")
