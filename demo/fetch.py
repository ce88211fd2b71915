"""Files from web addresses, of public hosts alone, within a size and a time; nothing else is asked on the way."""

import asyncio
import ipaddress
import mimetypes
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx

SECONDS = 60  # for one file, from the name to the last byte
REDIRECTS = 5
LONGEST = 2_000  # characters of an address
WEB_PORTS = (80, 443)  # beside those from 1024 on, which no other service of the system has
NAT64 = ipaddress.ip_network("64:ff9b::/96")
UNICAST = ipaddress.ip_network("2000::/3")
NO_HOSTS = [ipaddress.ip_network(each) for each in ("192.88.99.0/24", "2002::/16", "2001::/23")]  # 6to4, Teredo ...
HEADERS = {"accept": "image/*, video/*", "accept-encoding": "identity", "user-agent": "ManyView"}


async def fetch(address: str, folder: Path, most_bytes: int, seconds: float = SECONDS) -> Path:
    """The file of a web address in `folder`; ValueError with the end of a sentence if it cannot be had.

    Each address on the way, redirects included, is resolved by this computer and must be a public one, and the
    connection goes to the very address that was checked. What comes packed (gzip) is refused: its size says nothing.
    """
    try:
        return await asyncio.wait_for(_fetch(address, folder, most_bytes), seconds)
    except asyncio.TimeoutError:
        raise ValueError(f"it takes longer than {seconds:g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise ValueError(f"{type(error).__name__}: {str(error) or 'no answer'}") from error


async def _fetch(address: str, folder: Path, most_bytes: int) -> Path:
    for _ in range(REDIRECTS + 1):
        url = checked_url(address)
        found = await public_address(url.host, url.port or {"http": 80, "https": 443}[url.scheme])
        transport = httpx.AsyncHTTPTransport(trust_env=False)  # no proxy: it would do the asking
        async with transport:
            request = httpx.Request("GET", url, headers=HEADERS, extensions={"sni_hostname": url.host})
            request.url = url.copy_with(host=found)  # the header Host was made from the name
            answer = await transport.handle_async_request(request)
            try:
                if answer.status_code in (301, 302, 303, 307, 308):
                    address = urljoin(str(url), answer.headers.get("location", ""))
                    continue
                return await _written(answer, url, folder, most_bytes)
            finally:
                await answer.aclose()
    raise ValueError(f"it leads on more than {REDIRECTS} times")


async def _written(answer: httpx.Response, url: httpx.URL, folder: Path, most_bytes: int) -> Path:
    if answer.status_code != 200:
        raise ValueError(f"the answer was {answer.status_code}")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise ValueError("it comes packed; give an address of the plain file")
    length = answer.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > most_bytes:
        raise _too_large(most_bytes)
    path = folder / _name(url, answer.headers.get("content-type", ""))
    size = 0
    with path.open("wb") as file:
        async for piece in _pieces(answer):
            size += len(piece)
            if size > most_bytes:
                raise _too_large(most_bytes)
            file.write(piece)
    return path


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The bytes as they come, whatever they claim to be."""
    async for piece in answer.stream:
        yield piece


def _too_large(most_bytes: int) -> ValueError:
    return ValueError(f"it is larger than {most_bytes / 1e6:,.0f} MB")


def _name(url: httpx.URL, content_type: str) -> str:
    """A plain name with the ending of the address, or of what the answer says that it is."""
    ending = re.fullmatch(r".*(\.[A-Za-z0-9]{1,5})", url.path.rpartition("/")[2], re.DOTALL)
    kind = content_type.partition(";")[0].strip().lower()
    return f"file{ending[1].lower() if ending else mimetypes.guess_extension(kind) or ''}"


def checked_url(text: str) -> httpx.URL:
    """The address; ValueError for one that is no plain http or https address of a host."""
    if len(text) > LONGEST or any(ord(letter) <= 32 or letter in '\\"<>^`{|}\x7f' for letter in text):
        raise ValueError("it is no proper web address")
    try:
        parts = urlsplit(text)
        port = parts.port
        url = httpx.URL(quote(text, safe="".join(map(chr, range(33, 127)))) if parts.netloc.isascii() else text)
    except (ValueError, httpx.InvalidURL):
        raise ValueError("it is no proper web address") from None
    if parts.scheme.lower() not in ("http", "https") or not url.host:
        raise ValueError("it does not begin with http:// or https:// and a host")
    if "@" in parts.netloc or url.userinfo:
        raise ValueError("it has a name or password before the host")
    if (parts.hostname or "").isascii() and url.host != (parts.hostname or "").lower():
        raise ValueError("it is no proper web address")
    if port is not None and port < 1024 and port not in WEB_PORTS:
        raise ValueError(f"port {port} is none of the web")
    return url


async def public_address(host: str, port: int) -> str:
    """A number to which the host's name leads; ValueError if it has none, or one that is not of the public internet."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ValueError(f"there is no host {host[:100]}") from None
    numbers = [str(entry[4][0]) for entry in found]
    if not numbers or not all(map(is_public, numbers)):
        raise ValueError(f"{host[:100]} is inside a network of its own; only public addresses are fetched")
    return numbers[0]


def is_public(number: str) -> bool:
    """Whether an IP address is a host of the public internet; one that carries another counts as that one."""
    try:
        address = ipaddress.ip_address(number)
    except ValueError:  # with a zone, as in fe80::1%eth0
        return False
    if address.version == 6:
        inner = address.ipv4_mapped or (ipaddress.ip_address(int(address) & 0xFFFFFFFF) if address in NAT64 else None)
        if inner is not None:
            return is_public(str(inner))
        if address not in UNICAST:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in each for each in NO_HOSTS if each.version == address.version)
    )
