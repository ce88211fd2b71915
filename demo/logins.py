"""How often somebody may try to log in."""

import ipaddress
import threading
import time
from collections import OrderedDict, deque

TRIES = 5  # failed ones of an address
WINDOW_S = 60
MOST_ADDRESSES = 10_000


class Logins:
    """Failed and unfinished attempts of the last minute by address."""

    def __init__(self) -> None:
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, address: str) -> float:
        """Count an attempt until it succeeds; 0 if it may be made, else seconds to wait."""
        now = time.monotonic()
        with self._lock:
            tries = self._tries.setdefault(network_of(address), deque())
            self._tries.move_to_end(network_of(address))
            while tries and tries[0] < now - WINDOW_S:
                tries.popleft()
            if len(tries) >= TRIES:
                return WINDOW_S - (now - tries[0])
            tries.append(now)
            while len(self._tries) > MOST_ADDRESSES:
                self._tries.popitem(last=False)
            return 0.0

    def succeed(self, address: str) -> None:
        """Forget what failed before."""
        with self._lock:
            self._tries.pop(network_of(address), None)


def network_of(address: str) -> str:
    """The address, or of IPv6 the 64 bits that belong to one household."""
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return address
    if number.version == 4:
        return str(number)
    return str(number.ipv4_mapped or ipaddress.ip_network((int(number) >> 64 << 64, 64)))
