"""Files from web addresses: public hosts alone, within a size and a time. Nothing leaves this computer here."""

import asyncio
import gzip
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from manyview.demo import fetch as module
from manyview.demo.fetch import checked_url, fetch, is_public, public_address

PIXEL = b"\x89PNG picture"


@pytest.mark.parametrize("number", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(number: str) -> None:
    assert is_public(number)


@pytest.mark.parametrize(
    "number",
    ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "240.0.0.1"]
    + ["100.64.0.1", "198.18.0.1", "192.0.2.1", "192.88.99.1", "255.255.255.255"]
    + ["::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "::7f00:1", "100::1"]
    + ["2002:7f00:1::", "2002:808:808::1", "2001::1", "::ffff:127.0.0.1", "::ffff:100.64.0.1"]
    + ["64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808", "x", "8.8.8.8.8", ""],
)
def test_addresses_that_are_not(number: str) -> None:
    assert not is_public(number)


@pytest.mark.parametrize(
    "text",
    ["http://a@b.example/", "http://a:b@127.0.0.1/", "http://b.example\\@127.0.0.1/", "http://a example/", "ftp://a/"]
    + [
        "http:///a.jpg",
        "http://",
        "file:///etc/passwd",
        "http://a.example:22/",
        "http://a.example:99999/",
        "http://[x/",
    ]
    + [
        "http://a.example/\r\nHost: b",
        "http://a.example/" + "x" * 2000,
        "//a.example/",
        "http://@b.example/",
        "data:,",
    ],
)
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it |port 22 is none of the web"):
        checked_url(text)


def test_addresses_that_are_taken() -> None:
    assert checked_url("https://a.example/x%20y.jpg?b=c#d").host == "a.example"
    assert checked_url("http://A.example:8080/\u00e9.jpg").port == 8080


def test_all_addresses_of_a_name_must_be_public(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "good": ["8.8.8.8"],
        "mixed": ["8.8.8.8", "127.0.0.1"],
        "inside": ["192.168.0.1"],
        "mapped": ["::ffff:10.0.0.1"],
    }

    async def resolve(self: Any, host: str, port: int, **more: Any) -> list[Any]:
        return [(0, 0, 0, "", (number, port)) for number in found[host]]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    assert asyncio.run(public_address("good", 80)) == "8.8.8.8"
    for host in ("mixed", "inside", "mapped"):
        with pytest.raises(ValueError, match="only public addresses are fetched"):
            asyncio.run(public_address(host, 80))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_computer_is_not_fetched(host: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"only public addresses are fetched|there is no host"):
        asyncio.run(fetch(f"http://{host}:7860/a.jpg", tmp_path, 1000))


class Site(http.server.BaseHTTPRequestHandler):
    """Answers of all kinds."""

    hosts: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.hosts.append(self.headers["Host"])
        name, body, headers = self.path, PIXEL, {}
        if name == "/packed.png":
            body, headers = gzip.compress(bytes(10**6)), {"Content-Encoding": "gzip"}
        elif name == "/large.png":
            body = bytes(5000)
        elif name == "/loop":
            headers = {"Location": "/loop"}
        elif name == "/inside":
            headers = {"Location": "http://inside.example/a.png"}
        elif name == "/on":
            headers = {"Location": "/there"}
        self.send_response(302 if "Location" in headers else 404 if name == "/none" else 200)
        for key, value in {"Content-Type": "image/png", **headers}.items():
            self.send_header(key, value)
        if name != "/silent.png":
            self.send_header("Content-Length", str(5000 if name == "/liar.png" else len(body)))
        self.end_headers()
        if name == "/slow.png":
            for _ in range(40):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        self.wfile.write(bytes(5000) if name == "/silent.png" else body)

    def log_message(self, *_: Any) -> None:
        """Nothing to standard error."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A site at this computer that passes for a public one; inside.example does not."""

    async def address(host: str, port: int) -> str:
        if host == "inside.example":
            raise ValueError(f"{host} is inside a network of its own; only public addresses are fetched")
        return "127.0.0.1"

    monkeypatch.setattr(module, "public_address", address)
    Site.hosts = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://site.example:{server.server_address[1]}"
        server.shutdown()


def test_a_file_is_fetched_from_the_address_that_was_checked(site: str, tmp_path: Path) -> None:
    path = asyncio.run(fetch(f"{site}/on", tmp_path, 1000))
    assert path.read_bytes() == PIXEL and path.suffix == ".png" and path.parent == tmp_path
    assert Site.hosts == [site.removeprefix("http://")] * 2, "it is asked by its name"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/packed.png", "comes packed"),
        ("/large.png", "larger than"),
        ("/silent.png", "larger than"),
        ("/none", "the answer was 404"),
        ("/loop", "leads on more than 5 times"),
        ("/inside", "only public addresses"),
        ("/liar.png", "larger than"),
        ("/slow.png", "takes longer than 0.5 seconds"),
    ],
)
def test_what_is_not(site: str, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        asyncio.run(fetch(site + name, tmp_path, 1000, seconds=0.5 if "slow" in name else 60))


def test_a_connection_that_breaks(site: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="RemoteProtocolError"):
        asyncio.run(fetch(f"{site}/liar.png", tmp_path, 10_000))
