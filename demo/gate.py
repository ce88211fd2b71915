"""What every request must pass before anything else sees it: names, origins, sizes, logins; and headers of answers."""

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect

from .hosts import Hosts
from .logins import Logins
from .sessions import Sessions

POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
)
API = "/gradio_api/"
WITHOUT_LOGIN = re.compile(
    r"/(|config/?|login/?|logout|theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon(/.*)?|(static|assets|svelte)/.*"
    r"|gradio_api/(user|login_check|token|app_id|startup-events|theme\.css)/?)"
)
CLOSED = re.compile(r"/gradio_api/(proxy=|file[=/]\s*https?:|vibe|undo-vibe).*", re.IGNORECASE | re.DOTALL)
IN_PATH = re.compile(r"/gradio_api/(?:heartbeat/([^/]*)|stream/([^/]*)/.+)")
LONGEST_PART, LONGEST_PATH = 255, 4096  # of an address, in bytes; no file has a longer name
UPLOAD_BYTES = 4_000_000_000  # of all files of one request
SMALL_BYTES = 1_000_000  # of a request beside the files that may be in it as text
FREE_BYTES = 1_000_000_000  # of the disk; with less, nothing is taken in


class Refused(Exception):
    """A request that goes no further: the status of the answer and a sentence."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


class Gate:
    """An ASGI application before another one."""

    def __init__(self, app: Any, hosts: Hosts, sessions: Sessions, folder: Path, upload_bytes: int) -> None:
        self.app, self.hosts, self.sessions, self.folder = app, hosts, sessions, folder
        self.upload_bytes = upload_bytes
        self.logins = Logins()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        send = self._with_headers(send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            _check_path(scope["path"])
            self._check_names(headers)
            limited = _Limited(receive, send, self._most_bytes(scope, headers))
            receive, send = limited.receive, limited.send
            if getattr(scope["app"], "auth", None) is not None:
                receive, send = await self._check_login(scope, headers, receive, send)
            await self._pass_on(scope, receive, send)
        except Refused as refused:
            await _refuse(scope, send, refused)
        except ClientDisconnect:  # of what was too large, or of somebody who has really gone
            await limited.say_so()

    async def _pass_on(self, scope: Any, receive: Any, send: Any) -> None:
        """Let it through; a heartbeat says that a page is open for as long as it lasts."""
        match = IN_PATH.fullmatch(scope["path"])
        if not match or match[1] is None:
            await self.app(scope, receive, send)
            return
        with self.sessions.page_open(match[1]):
            await self.app(scope, receive, send)

    def _check_names(self, headers: dict[str, str]) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.hosts.answers_to(host):
            raise Refused(
                403,
                f"This demo does not answer to the name {host[:80]!r}; start it with --allow-host if that is its name.",
            )
        foreign = origin is not None and not self.hosts.may_call(origin, host)
        behind = headers.get("sec-fetch-site") == "cross-site" and origin is None
        if foreign or (behind and headers.get("sec-fetch-mode") != "navigate" and not self.hosts.is_space):
            raise Refused(
                403, "Pages of other sites may not use this demo; start it with --allow-host for those that may."
            )

    def _most_bytes(self, scope: Any, headers: dict[str, str]) -> int:
        """How large a request may be; Refused if it says that it is larger, or if the disk is nearly full."""
        is_upload = scope["path"].rstrip("/") == f"{API}upload"
        if is_upload and shutil.disk_usage(self.folder).free < FREE_BYTES:
            raise Refused(507, "The disk of this demo is nearly full; try again later.")
        most = UPLOAD_BYTES if is_upload else self.upload_bytes * 4 // 3 + SMALL_BYTES
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > most:
            raise _too_large(most)
        return most

    async def _check_login(self, scope: Any, headers: dict[str, str], receive: Any, send: Any) -> tuple[Any, Any]:
        """Refused for what needs a login and has none, and for another user's session; counts attempts to log in."""
        path, app = scope["path"], scope["app"]
        if path.rstrip("/") == "/login" and scope.get("method") == "POST":
            return receive, self._count_login(scope, send)
        user = _user(app, headers.get("cookie", ""))
        if user is None:
            if WITHOUT_LOGIN.fullmatch(path):
                return receive, send
            raise Refused(401, "Log in first.")
        receive = await self._check_sessions(scope, headers, receive, user)
        return receive, send

    def _count_login(self, scope: Any, send: Any) -> Any:
        address = (scope.get("client") or ("",))[0]
        wait = self.logins.begin(address)
        if wait:
            raise Refused(429, "Too many attempts to log in; wait a minute.", **{"retry-after": str(int(wait) + 1)})

        async def watch(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self.logins.succeed(address)
            await send(message)

        return watch

    async def _check_sessions(self, scope: Any, headers: dict[str, str], receive: Any, user: str) -> Any:
        """The sessions that a request names must be this user's: in its address, after the ?, or in its JSON."""
        match = IN_PATH.fullmatch(scope["path"])
        named = [part for part in match.groups() if part] if match else []
        named += parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash", [])
        is_form = headers.get("content-type", "").startswith("multipart/")
        if scope.get("method") == "POST" and scope["path"].startswith(API) and not is_form:
            body, receive = await _read(receive)
            try:
                content = json.loads(body) if body else None
            except (ValueError, RecursionError):
                content = None  # whoever reads it says what is wrong with it
            found = content.get("session_hash") if isinstance(content, dict) else None
            named += [found] if isinstance(found, str) else []
        for number in named:
            if not self.sessions.belongs_to(number, user):
                raise Refused(403, "This session belongs to somebody else; load the page again.")
        return receive

    def _with_headers(self, send: Any) -> Any:
        policy = f"frame-ancestors {self.hosts.frames}"
        added = {"content-security-policy": policy if self.hosts.is_space else POLICY + policy}
        added |= {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in added.items() if name.encode() not in there),
                ]
            await send(message)

        return with_headers


def _check_path(path: str) -> None:
    """Refused for addresses that name nothing: control characters, parts that no file system takes, other sites."""
    parts = path.encode("utf-8", "replace").split(b"/")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in path) or max(map(len, parts)) > LONGEST_PART:
        raise Refused(404, "There is no such address.")
    if len(path) > LONGEST_PATH or CLOSED.fullmatch(path):
        raise Refused(404, "There is no such address.")


def _user(app: Any, cookies: str) -> str | None:
    """Who is logged in, by gradio's cookies."""
    found = dict(part.strip().partition("=")[::2] for part in cookies.split(";"))
    for name in (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}"):
        if found.get(name):
            return app.tokens.get(found[name])
    return None


class _Limited:
    """A request that ends, as if the other side had gone, once it is too large; the answer then says so, once."""

    def __init__(self, receive: Any, send: Any, most: int) -> None:
        self.most, self.seen = most, 0
        self.is_answered = self.is_refused = False
        self._receive, self._send = receive, send

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.request":
            self.seen += len(message.get("body") or b"")
        return message if self.seen <= self.most else {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.say_so()
        if not self.is_refused:
            self.is_answered = True
            await self._send(message)

    async def say_so(self) -> None:
        """Answer if the request was too large and nothing has been answered yet."""
        if self.seen > self.most and not self.is_answered and not self.is_refused:
            self.is_refused = True
            await _refuse({"type": "http"}, self._send, _too_large(self.most))


def _too_large(most: int) -> Refused:
    return Refused(413, f"This request is larger than {most / 1e6:,.0f} MB; send less at a time.")


async def _read(receive: Any) -> tuple[bytes, Any]:
    """The body of a request, and the request again for whoever reads it next."""
    messages, more = [], True
    while more:
        messages.append(await receive())
        more = messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False)
    body = b"".join(message.get("body") or b"" for message in messages)
    waiting = list(messages)

    async def again() -> Any:
        return waiting.pop(0) if waiting else await receive()

    return body, again


async def _refuse(scope: Any, send: Any, refused: Refused) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store", **refused.headers}
    listed = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": listed})
    await send({"type": "http.response.body", "body": refused.text.encode("utf-8", "replace")})
