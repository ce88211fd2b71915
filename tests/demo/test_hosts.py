"""Names that lead to the demo, and pages that may use it."""

import pytest

from manyview.demo.hosts import Hosts, checked_name


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:7860", "[::1]:7860", "localhost.:80"])
def test_a_local_demo_answers_to_this_computer(host: str) -> None:
    assert Hosts().answers_to(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:7860", "192.168.1.5:7860", "localhost.evil.example", "127.0.0.1.evil.example"]
    + ["localhost@evil.example", "evil.example#localhost", "localhost evil", "[::1].evil.example", "127.0.0.1:7860:1"],
)
def test_and_to_no_other_name(host: str) -> None:
    assert not Hosts().answers_to(host)
    assert Hosts(others=["evil.example"]).answers_to("evil.example:7860")


def test_a_demo_for_the_network_answers_to_numbers_and_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Box.lan")
    hosts = Hosts("0.0.0.0")
    assert all(
        map(hosts.answers_to, ["192.168.1.5:7860", "[fe80::1]:7860", "box", "box.lan:1", "box.local", "localhost"])
    )
    assert not hosts.answers_to("evil.example") and Hosts("demo.lan").answers_to("demo.lan:80")


def test_origins() -> None:
    hosts = Hosts(others=["friend.example"])
    assert hosts.may_call("http://127.0.0.1:7860", "127.0.0.1:7860")
    assert hosts.may_call("https://friend.example:444", "127.0.0.1:7860")
    for origin in ("null", "", "http://evil.example", "http://127.0.0.1:7861", "http://friend.example.evil.example"):
        assert not hosts.may_call(origin, "127.0.0.1:7860"), origin
    for origin in ("file://127.0.0.1:7860", "http://[x", "http://127.0.0.1:7860@evil.example"):
        assert not hosts.may_call(origin, "127.0.0.1:7860"), origin
    hosts.add("https://abc.gradio.live")
    assert hosts.answers_to("abc.gradio.live") and hosts.may_call("https://abc.gradio.live", "abc.gradio.live")


def test_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Hosts().frames == "'self'" and Hosts(others=["a.example"]).frames == "'self' a.example:*"
    monkeypatch.setenv("SPACE_ID", "a/b")
    space = Hosts()
    assert "https://huggingface.co" in space.frames and space.answers_to("a-b.hf.space") and space.may_call("null", "x")


def test_names_that_are_none() -> None:
    assert checked_name(" Demo.Example.com ") == "demo.example.com" and checked_name("[::1]") == "::1"
    for name in ("", "*", "http://a", "a:80x/", "a b", "a/b"):
        with pytest.raises(ValueError, match="no name of a host"):
            checked_name(name)
