"""What every request must pass: names, origins, sizes, logins."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from manyview.demo import gate as module
from manyview.demo.gate import Gate
from manyview.demo.hosts import Hosts
from manyview.demo.sessions import Sessions

LOCAL = {"host": "127.0.0.1:7860"}


class Inner:
    """An application that notes what reached it, reads the body and answers; gradio's attributes about logins."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.auth: dict[str, str] | None = None
        self.tokens = {"of-ada": "ada", "of-bob": "bob"}
        self.cookie_id = "x"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise module.ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.seen.append((scope["path"], body))
        status = 400 if body == b"wrong" else 200
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-inner", b"1")]})
        await send({"type": "http.response.body", "body": b"inner"})


class Asks:
    """Sends requests through a gate."""

    def __init__(self, sessions: Sessions, folder: Path, **about: Any) -> None:
        self.inner, self.sessions = Inner(), sessions
        self.gate = Gate(self.inner, Hosts(**about), sessions, folder, upload_bytes=3000)

    def __call__(self, path: str, headers: dict[str, str] | None = None, body: Any = None, **more: Any) -> Any:
        """The status and headers of the answer."""
        import asyncio

        pieces = body if isinstance(body, list) else [body or b""]
        waiting = [{"type": "http.request", "body": each, "more_body": each is not pieces[-1]} for each in pieces]
        scope = {
            "type": "http",
            "method": "POST" if body is not None else "GET",
            "path": path.partition("?")[0],
            "query_string": path.partition("?")[2].encode(),
            "headers": [(name.encode(), value.encode()) for name, value in {**LOCAL, **(headers or {})}.items()],
            "client": ("9.9.9.9", 1),
            "app": self.inner,
        } | more
        sent: list[Any] = []

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.gate(scope, receive, send))
        found = {name.decode(): value.decode() for name, value in sent[0].get("headers", [])}
        return SimpleNamespace(status=sent[0].get("status"), headers=found, text=sent[-1].get("body", b"").decode())


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    found = Sessions(tmp_path / "sessions", tmp_path / "models", torch.device("cpu"))
    yield found
    found.close_all()


@pytest.fixture
def ask(sessions: Sessions, tmp_path: Path) -> Asks:
    return Asks(sessions, tmp_path)


def test_the_page_gets_through_with_headers(ask: Asks) -> None:
    answer = ask("/", {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"})
    assert answer.status == 200 and answer.headers["x-inner"] == "1"
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:7860"},
        {"host": "evil.example", "origin": "http://evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:7861"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/mcp/"])
def test_other_sites_do_not(ask: Asks, path: str, headers: dict[str, str]) -> None:
    answer = ask(path, headers, b"{}")
    assert answer.status == 403 and "--allow-host" in answer.text and not ask.inner.seen
    assert "access-control-allow-origin" not in answer.headers
    assert ask(path, headers, type="websocket").status is None and not ask.inner.seen


def test_a_link_from_another_site_works(ask: Asks) -> None:
    assert ask("/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status == 200


def test_on_a_space_anybody_may(sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "a/b")
    answer = Asks(sessions, tmp_path)("/", {"host": "a-b.hf.space", "origin": "https://huggingface.co"})
    assert answer.status == 200
    assert answer.headers["content-security-policy"].startswith("frame-ancestors 'self' https://huggingface.co")


@pytest.mark.parametrize(
    "path", ["proxy=https://a.example/x", "file=https://a.example/x", "file/HTTP://a", "vibe-edit/"]
)
def test_what_gradio_would_fetch_elsewhere(ask: Asks, path: str) -> None:
    assert ask(f"/gradio_api/{path}").status == 404 and not ask.inner.seen


@pytest.mark.parametrize("path", ["/a\0b", "/a\nb", "/" + "x" * 256, "/" + "x/" * 3000, "/" + "\U0001f600" * 64])
def test_addresses_that_name_nothing(ask: Asks, path: str) -> None:
    assert ask(path).status == 404 and not ask.inner.seen


def test_requests_that_are_too_large(ask: Asks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they say so or not; an upload may have the files of many photos."""
    monkeypatch.setattr(module, "SMALL_BYTES", 1000)
    assert ask("/gradio_api/queue/join", body=b"x" * 5000).status == 200
    assert ask("/gradio_api/queue/join", {"content-length": "5001"}, b"x").status == 413
    answer = ask("/gradio_api/queue/join", body=[b"x" * 2501, b"y" * 2500, b"z"])
    assert answer.status == 413 and "larger than" in answer.text and len(ask.inner.seen) == 1
    assert ask("/gradio_api/upload", body=[b"x" * 2501, b"y" * 2500]).status == 200
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    assert ask("/gradio_api/upload", body=b"x").status == 507


def test_a_login_is_needed_for_all_but_its_page(ask: Asks) -> None:
    ask.inner.auth = {"ada": "secret", "bob": "secret"}
    for path in ("/", "/config", "/theme.css", "/assets/a.js", "/gradio_api/login_check", "/gradio_api/startup-events"):
        assert ask(path).status == 200, path
    closed = [
        "/manyview/files/x/output/a.ply",
        "/manyview/viewer.html",
        "/gradio_api/heartbeat/1",
        "/gradio_api/cancel",
    ]
    for path in [*closed, "/gradio_api/upload", "/gradio_api/stream/1/2/3/playlist.m3u8", "/config/x", "/assetsx"]:
        for cookie in ("", "access-token-x=wrong", "access-token-y=of-ada"):
            assert ask(path, {"cookie": cookie}).status == 401, path
        assert ask(path, {"cookie": "a=b; access-token-unsecure-x=of-ada"}).status == 200, path


def test_a_session_belongs_to_one_user(ask: Asks) -> None:
    ask.inner.auth = {}
    ada, bob = ({"cookie": f"access-token-x=of-{name}"} for name in ("ada", "bob"))
    body = json.dumps({"session_hash": "s1", "data": [1]}).encode()
    assert ask("/gradio_api/queue/join", ada, [body[:9], body[9:]]).status == 200
    assert ask.inner.seen[-1] == ("/gradio_api/queue/join", body), "it arrives whole"
    for path, content in (
        ("/gradio_api/queue/join", body),
        ("/gradio_api/cancel", body),
        ("/gradio_api/queue/data?session_hash=s1", None),
        ("/gradio_api/queue/data?session_hash=s2&session_hash=s1", None),
        ("/gradio_api/heartbeat/s1", None),
        ("/gradio_api/stream/s1/2/3/playlist.m3u8", None),
    ):
        assert ask(path, ada, content).status == 200
        answer = ask(path, bob, content)
        assert answer.status == 403 and "somebody else" in answer.text, path
    assert ask("/gradio_api/call/reconstruct", bob, b"no JSON").status == 200, "others say what is wrong with it"


def test_a_heartbeat_says_that_a_page_is_open(ask: Asks, sessions: Sessions) -> None:
    during: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        during.append(sessions.is_open("s1"))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    ask.gate.app = app
    ask("/gradio_api/heartbeat/s1")
    assert during == [True] and not sessions.is_open("s1")


def test_logins_are_slowed_down(ask: Asks) -> None:
    ask.inner.auth = {"ada": "secret"}
    assert [ask("/login", body=b"wrong").status for _ in range(6)] == [400] * 5 + [429]
    answer = ask("/login/", body=b"right")
    assert answer.status == 429 and 0 < int(answer.headers["retry-after"]) <= 61
    assert ask("/login", body=b"right", client=("9.9.9.8", 1)).status == 200
    assert ask("/").status == 200, "the page is still there"
