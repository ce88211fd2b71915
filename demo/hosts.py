"""Which names a demo answers to, and which other pages may use it: what browsers are told and what they tell."""

import ipaddress
import os
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
HUGGING_FACE = ("https://huggingface.co", "https://*.huggingface.co", "https://*.hf.space")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f:.]{2,45}")


class Hosts:
    """The names of a demo that listens on `host`; `others` are more of them, which may also frame and call it.

    On Hugging Face anybody may call a Space, and its page lies inside another one.
    """

    def __init__(self, host: str = "127.0.0.1", others: Iterable[str] = ()) -> None:
        self.others = {checked_name(name) for name in others}
        self.is_space = bool(os.environ.get("SPACE_ID"))
        self.is_local = _bare(host) in LOCAL
        self.tunnels: set[str] = set()
        self.names = {*LOCAL, *self.others, *(() if self.is_local else (_bare(host), *_own_names()))}

    def add(self, url: str) -> None:
        """One more address under which the demo can be reached, such as that of a tunnel."""
        self.tunnels.add(urlsplit(url).hostname or "")

    def answers_to(self, host: str) -> bool:
        """Whether a request for this host (the header, with a port or without) may be meant for this demo.

        Another site can let its own name lead here (DNS rebinding), but it cannot be a number.
        """
        name = _bare(host)
        return self.is_space or name in self.names | self.tunnels or (not self.is_local and _is_number(name))

    def may_call(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may use the demo at `host`: a page of its own, or of one of the others."""
        if self.is_space:
            return True
        try:
            page = urlsplit(origin)
            name = (page.hostname or "").lower()
        except ValueError:
            return False
        if page.scheme not in ("http", "https"):
            return False
        return name in self.others | self.tunnels or page.netloc.lower() == host.lower()

    @property
    def frames(self) -> str:
        """Pages that may show the demo inside them, as the content security policy wants them."""
        others = [f"[{name}]" if ":" in name else name for name in sorted(self.others)]
        return " ".join(["'self'", *(HUGGING_FACE if self.is_space else ()), *(f"{name}:*" for name in others)])


def checked_name(name: str) -> str:
    """A host's name in small letters; ValueError for an address, a pattern or nothing."""
    name = name.strip().strip("[]").lower()
    if not NAME.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is no name of a host; give one without http:// and port, as demo.example.com.")
    return name


def _bare(host: str) -> str:
    """The name in small letters, without port and brackets; "" for what is no host."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/@?#\\\s]*))\.?(?::[0-9]*)?|([0-9A-Fa-f:]+)", host.strip())
    return next((part.lower().rstrip(".") for part in match.groups() if part), "") if match else ""


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _own_names() -> set[str]:
    """What this computer is called."""
    name = socket.gethostname().lower()
    return {name, name.partition(".")[0], f"{name.partition('.')[0]}.local"}
