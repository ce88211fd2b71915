"""The fixtures that browser tests stand on: they must notice what they are there to notice."""

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
    page.evaluate("() => { setTimeout(() => { throw new Error('worse') }) }")
    page.evaluate("fetch('no-such-file').then(() => new Promise((done) => setTimeout(done, 50)))")
    assert [word for word in ("odd", "worse", "404") if not any(word in line for line in log.errors)] == []
    log.errors.clear()


def test_requests_to_other_machines_are_noticed(visit, log, site: str) -> None:
    page = visit(f"{site}/page.html")
    page.evaluate("fetch('http://192.0.2.1:9/x', {signal: AbortSignal.timeout(50)}).catch(() => 0)")
    assert log.foreign == ["http://192.0.2.1:9/x"]
    log.foreign.clear()
    log.errors.clear()


def test_only_served_folders_are_served(visit, log, site: str, tmp_path: Path) -> None:
    (tmp_path.parent / "secret.txt").write_text("secret")
    page = visit(f"{site}/page.html")
    for place in ("/secret.txt", f"/{site.rsplit('/', 1)[1]}/%2e%2e/secret.txt", "/some%20where/../secret.txt"):
        assert page.evaluate("(url) => fetch(url).then((answer) => answer.status)", place) == 404
    log.errors.clear()
