"""How often a client, and all clients together, may call: token buckets in bounded memory."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST_SECONDS = 10
"""A bucket holds what its rate allows in this time."""
MOST_CLIENTS = 4096
"""Buckets kept; beyond it the client that was away the longest is forgotten, and the total still holds."""
IPV6_SITE_BITS = 64
"""One subscriber has a whole network of this size to call from."""


@dataclass
class Bucket:
    """Tokens that fill up with time; one is taken by each call.

    Args:
        rate: tokens per second.
        now: seconds, when it is full.
    """

    rate: float
    now: float

    def __post_init__(self) -> None:
        self._size = max(1.0, self.rate * BURST_SECONDS)
        self._tokens = self._size

    def fill(self, now: float) -> None:
        """Add what has come since the last look."""
        self._tokens = min(self._size, self._tokens + max(0.0, now - self.now) * self.rate)
        self.now = now

    def wait(self) -> float:
        """Seconds until there is a token."""
        return max(0.0, (1 - self._tokens) / self.rate)

    def take(self) -> None:
        """Take one token."""
        self._tokens -= 1


class RateLimit:
    """Token buckets for each client address and for all of them together.

    Args:
        client_rate: calls per second of one client.
        total_rate: calls per second of all clients.
        clock: seconds that only go forward.
    """

    def __init__(self, *, client_rate: float, total_rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._client_rate = client_rate
        self._clock = clock
        self._clients: OrderedDict[str, Bucket] = OrderedDict()
        self._total = Bucket(total_rate, clock())

    def __len__(self) -> int:
        """Number of clients that are remembered."""
        return len(self._clients)

    def take(self, address: str) -> int:
        """Take a token of this client and of the total. Returns 0, or whole seconds to wait, taking nothing."""
        now = self._clock()
        client = self._bucket_of(_site(address), now)
        buckets = (client, self._total)
        for bucket in buckets:
            bucket.fill(now)
        wait = max(bucket.wait() for bucket in buckets)
        if wait > 0:
            return math.ceil(wait)
        for bucket in buckets:
            bucket.take()
        return 0

    def _bucket_of(self, site: str, now: float) -> Bucket:
        bucket = self._clients.get(site) or Bucket(self._client_rate, now)
        self._clients[site] = bucket
        self._clients.move_to_end(site)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return bucket


def _site(address: str) -> str:
    """The address, or for IPv6 the network that one subscriber has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        # A Unix socket, or a proxy that names its clients otherwise.
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, IPV6_SITE_BITS), strict=False))
    return str(parsed)
