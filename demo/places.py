"""How much one visitor may have going on at a time, so that there is room for others."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EACH = 4  # pieces of work of a visitor
ADDRESS, ADDRESS_OPEN = 16, 32  # of an address; the rest up to the second for those who have the page open
ALL = 48


@dataclass(frozen=True)
class Guest:
    """Who asks: a name that others do not have, the network address, and whether their page is open."""

    name: str
    address: str = ""
    is_open: bool = False


class Places:
    """Places for work that waits or runs."""

    def __init__(self, each: int = EACH, address: int = ADDRESS, address_open: int = ADDRESS_OPEN, most: int = ALL):
        self.each, self.address, self.address_open, self.most = each, address, address_open, most
        self._names: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, guest: Guest) -> Iterator[None]:
        """Hold a place; ValueError if the guest has too many, or all are taken."""
        with self._lock:
            self._check(guest)
            self._names[guest.name] += 1
            self._addresses[guest.address] += 1
        try:
            yield
        finally:
            with self._lock:
                for counter, key in ((self._names, guest.name), (self._addresses, guest.address)):
                    counter[key] -= 1
                    if not counter[key]:
                        del counter[key]

    def _check(self, guest: Guest) -> None:
        if self._names[guest.name] >= self.each:
            raise ValueError(
                f"You have {self.each} pieces of work waiting or running already; wait for one to end, or cancel one."
            )
        if self._addresses[guest.address] >= (self.address_open if guest.is_open else self.address):
            raise ValueError("Too much work of your network is waiting already; try again in a few minutes.")
        if self._names.total() >= self.most:
            raise ValueError(f"{self.most} pieces of work are waiting already; try again in a few minutes.")
