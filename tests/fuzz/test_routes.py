"""Odd addresses: the answer is a file, a refusal or "not there", never an error of the server."""

import asyncio
import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import torch

from manyview.demo.gate import Gate
from manyview.demo.hosts import Hosts
from manyview.demo.routes import PREFIX, make_routes
from manyview.demo.sessions import Sessions

_spec = importlib.util.spec_from_file_location("manyview_tests_addresses", Path(__file__).with_name("addresses.py"))
_addresses = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_addresses)


def test_odd_addresses(tmp_path: Path, fuzz_cases: int) -> None:
    starlette = pytest.importorskip("starlette.applications")
    from starlette.routing import Mount

    sessions = Sessions(tmp_path / "sessions", tmp_path / "models", torch.device("cpu"))
    session = sessions.of("1")
    (session.host.output_folder / "a.ply").write_text("ply")
    app = starlette.Starlette(routes=[Mount(PREFIX, app=make_routes(sessions))])
    gate = Gate(app, Hosts(), sessions, tmp_path, upload_bytes=1000)
    counts: Counter[int] = Counter()

    async def ask_all() -> None:
        for address in _addresses.odd_addresses(25 * fuzz_cases, session.token):
            counts[await status_of(gate, app, address)] += 1
        assert await status_of(gate, app, f"{PREFIX}/files/{session.token}/output/a.ply") == 200

    asyncio.run(ask_all())
    sessions.close_all()
    print(dict(counts))
    assert set(counts) <= {200, 307, 400, 404, 405, 416}, counts


async def status_of(gate: Any, app: Any, address: str) -> int:
    """The status of the answer; what the application raises is raised."""
    raw = address.encode("ascii")
    path, _, query = raw.partition(b"?")
    sent: list[Any] = []

    waiting = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()  # nobody hangs up
        return waiting.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": unquote(path.decode()), "raw_path": path, "query_string": query}
    scope |= {"headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("localhost", 80), "app": app}
    await gate({**scope, "scheme": "http", "http_version": "1.1", "root_path": "", "state": {}}, receive, send)
    return sent[0]["status"]
