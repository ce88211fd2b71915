"""Attempts to log in."""

import pytest

from manyview.demo import logins as module
from manyview.demo.logins import Logins, network_of


def test_a_few_attempts_then_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    logins = Logins()
    assert [logins.begin("1.1.1.1") for _ in range(5)] == [0] * 5
    assert logins.begin("1.1.1.1") == 60 and logins.begin("1.1.1.2") == 0
    now[0] += 61
    assert logins.begin("1.1.1.1") == 0
    for _ in range(4):
        logins.begin("1.1.1.1")
    logins.succeed("1.1.1.1")
    assert logins.begin("1.1.1.1") == 0


def test_a_household_counts_as_one() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::2:0:0:1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:1.2.3.4") == network_of("1.2.3.4") == "1.2.3.4" and network_of("x") == "x"
