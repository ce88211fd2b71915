"""The fixtures that browser tests stand on: they must notice what they are there to notice."""

import http.client
from pathlib import Path

import pytest


@pytest.fixture
def site(tmp_path: Path, serve) -> str:
    (tmp_path / "page.html").write_text("<!doctype html><title>A page</title><canvas></canvas>")
    (tmp_path / "module.mjs").write_text("export const answer = 42;")
    return serve({"/some where": tmp_path}) + "/some%20where"


def test_a_page_with_modules_and_webgl(visit, site: str) -> None:
    page = visit(f"{site}/page.html", 320, 200)
    assert page.title() == "A page"
    assert page.evaluate("(async () => (await import('./module.mjs')).answer)()") == 42
    assert page.evaluate("document.querySelector('canvas').getContext('webgl2') !== null")
    assert page.evaluate("[innerWidth, innerHeight]") == [320, 200]


def test_complaints_are_noticed(visit, log, site: str) -> None:
    page = visit(f"{site}/page.html")
    page.evaluate("console.error('odd')")
    with page.expect_event("pageerror"):
        page.evaluate("() => { setTimeout(() => { throw new Error('worse') }) }")
    with page.expect_event("console", lambda message: "404" in message.text):
        page.evaluate("fetch('no-such-file')")
    assert [word for word in ("odd", "worse", "404") if not any(word in line for line in log.errors)] == []
    log.errors.clear()


def test_requests_to_other_machines_are_noticed(visit, log, site: str) -> None:
    page = visit(f"{site}/page.html")
    page.route("http://192.0.2.1/*", lambda route: route.fulfill(body="", headers={"Access-Control-Allow-Origin": "*"}))
    page.evaluate("fetch('http://192.0.2.1/x')")
    assert log.foreign == ["http://192.0.2.1/x"]
    log.foreign.clear()


def test_only_served_folders_are_served(site: str, tmp_path: Path) -> None:
    (tmp_path.parent / "secret.txt").write_text("secret")
    for place in ("/secret.txt", "/some%20where/%2e%2e/secret.txt", "/some%20where/../secret.txt"):
        connection = http.client.HTTPConnection(site.split("/")[2], timeout=10)
        connection.request("GET", place)
        assert connection.getresponse().status == 404
        connection.close()
