"""Pages in a headless Chromium, for every test that looks at one: `chromium`, `visit` and `serve`.

Nothing is installed here. Without the playwright package or a browser the tests are skipped, saying what is missing;
`python install.py test` gets both where it can. MANYVIEW_CHROMIUM names another browser of the Chromium family.
The fixtures are offered to all tests by tests/conftest.py.
"""

import functools
import http.server
import os
import posixpath
import shutil
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
FLAGS = (
    "--no-sandbox",  # inside a container there is no user namespace to make one of
    "--use-gl=angle",
    "--use-angle=swiftshader",  # WebGL2 in software, the same on every machine
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)
HOSTS = ("127.0.0.1", "localhost")
WAIT_MS = 60_000


def find_browser() -> str | None:
    """Path of a Chromium, or None."""
    wanted = os.environ.get("MANYVIEW_CHROMIUM")
    if wanted:
        return shutil.which(wanted)
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running browser (playwright's Browser). One a module: playwright's event loop must not outlive it."""
    api = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium was found: install Debian's package chromium, or set MANYVIEW_CHROMIUM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Log:
    """What went wrong on a page; a test that means to provoke an error clears `errors` afterwards."""

    errors: list[str] = field(default_factory=list)  # console errors and uncaught exceptions
    foreign: list[str] = field(default_factory=list)  # requests that would leave this machine

    def watch(self, page: Any) -> None:
        """Note everything that the page complains about or asks for."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _request(self, request: Any) -> None:
        parts = urllib.parse.urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname not in HOSTS:
            self.foreign.append(request.url)


@pytest.fixture
def log() -> Log:
    """The complaints of the pages of this test, which end it with an error unless they are cleared."""
    return Log()


@pytest.fixture
def visit(chromium: Any, log: Log, serve: Any) -> Iterator[Callable[..., Any]]:
    """visit(url, width=1000, height=700, **context options): a new page (playwright's Page), in a context of its own.

    At the end of the test: no console error, no uncaught exception, no request to another machine. `serve` is asked for
    so that its servers outlive the pages, which may still load something when a test ends.
    """
    contexts = []

    def open_page(url: str, width: int = 1000, height: int = 700, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        log.watch(page)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not log.errors, "\n".join(log.errors)
    assert not log.foreign, "\n".join(log.foreign)


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, Path]], str]]:
    """serve({"/prefix": folder, ...}): the address of a new static server on this machine, without a final slash."""
    servers = []

    def start(folders: dict[str, Path]) -> str:
        handler = functools.partial(_Handler, folders=folders)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Files of several folders, each below its own prefix."""

    extensions_map: ClassVar[dict[str, str]] = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
    }

    def __init__(self, *arguments: Any, folders: dict[str, Path]) -> None:
        self.folders = folders
        super().__init__(*arguments)

    def translate_path(self, path: str) -> str:
        plain = posixpath.normpath(urllib.parse.unquote(urllib.parse.urlsplit(path).path))
        for prefix, folder in self.folders.items():
            start = prefix.rstrip("/") + "/"
            if plain.startswith(start):
                return str(folder / plain[len(start) :])
        return str(Path(os.devnull) / "missing")

    def do_GET(self) -> None:
        if urllib.parse.urlsplit(self.path).path == "/favicon.ico":  # every browser asks for one
            self.send_response(204)
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""
