"""A demo with passwords, as browsers and programs meet it."""

import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("default")  # those of gradio are not ours to mend


class Somebody:
    """Keeps cookies as a browser does."""

    def __init__(self, demo: Any) -> None:
        self.demo = demo
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def ask(self, path: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Status and beginning of an answer."""
        try:
            with self.opener.open(urllib.request.Request(self.demo.url + path, data, headers), timeout=60) as answer:
                return answer.status, answer.read(1_000_000)
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def login(self, name: str, password: str = "secret") -> int:
        return self.ask("login", urllib.parse.urlencode({"username": name, "password": password}).encode())[0]

    def join(self, number: str) -> int:
        """Clear the photos of a session."""
        config = json.loads(self.ask("config")[1])
        (event,) = (each["id"] for each in config["dependencies"] if any(to[1] == "cleared" for to in each["targets"]))
        body = json.dumps({"data": [], "fn_index": event, "session_hash": number}).encode()
        return self.ask("gradio_api/queue/join", body, **{"Content-Type": "application/json"})[0]


def test_who_is_let_in(closed: Any) -> None:
    pytest.importorskip("gradio_client").Client(closed.url, auth=("ada", "secret"), verbose=False).close()
    nobody, ada, bob = (Somebody(closed) for _ in range(3))
    assert nobody.ask("")[0] == 200 and nobody.ask("config")[0] == 401
    paths = ["manyview/viewer.html", "manyview/sample/frame_00.jpg", "gradio_api/heartbeat/s1", "gradio_api/info"]
    assert [nobody.ask(path)[0] for path in paths] == [401] * 4
    assert ada.login("ada") == bob.login("bob") == 200
    assert ada.ask("manyview/viewer.html")[0] == 200
    assert ada.join("s1") == 200 and bob.join("s1") == 403 and bob.join("s2") == 200
    assert bob.ask("gradio_api/heartbeat/s1")[0] == bob.ask("gradio_api/queue/data?session_hash=s1")[0] == 403
    assert [nobody.login("ada", "wrong") for _ in range(6)] == [400] * 5 + [429]
    assert ada.ask("config")[0] == 200, "who is in stays in"
