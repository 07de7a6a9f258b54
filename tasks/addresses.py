"""Which network addresses a stranger's link may lead to: only those that the whole internet can reach."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

Resolver = Callable[[str, int], Awaitable[list[str]]]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Behind these prefixes an IPv6 address carries an IPv4 address that a gateway connects to.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
# All that is handed out for the internet; outside of it lie old site-local and networks' own NAT64 prefixes.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_INSIDE_NAMES = (".local", ".localhost", ".internal", ".lan", ".home.arpa")


async def resolve_host(host: str, port: int) -> list[str]:
    """All addresses of a host, in the system's order.

    Raises:
        OSError: the name does not resolve.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def why_closed(address: str) -> str:
    """Say in words why an address must not be connected to; empty for a public one.

    Addresses that wrap an IPv4 address (mapped, compatible, 6to4, NAT64) are judged by what they wrap.
    """
    try:
        found = _unwrapped(ipaddress.ip_address(address))
    except ValueError:
        return "not an address"
    # The first that fits is the name people know; cloud metadata services live on link-local addresses.
    for name, fits in (
        ("unspecified", found.is_unspecified),
        ("loopback", found.is_loopback),
        ("link-local", found.is_link_local),
        ("multicast", found.is_multicast),
        ("private", found.is_private),
        ("reserved", found.is_reserved or (found.version == 6 and found not in _GLOBAL_UNICAST)),
        ("not public", not found.is_global),
    ):
        if fits:
            return name
    return ""


def why_unfetchable(address: str, *, vendor_is_inside: bool) -> str:
    """Say in words why a vendor cannot fetch files from a server of ours; empty where it can.

    Args:
        address: of the server, as http(s)://host[:port].
        vendor_is_inside: the vendor itself is on our own network, such as the sandbox.
    """
    if not address.isascii():
        return "it is not plain ASCII"
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return "it is no address"
    if parts.scheme not in {"http", "https"} or not host:
        return "it does not start with http:// or https:// and a host"
    if vendor_is_inside:
        return ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        inside = "." not in host or host.endswith(_INSIDE_NAMES)
        return f"{host} is a name of our own network" if inside else ""
    closed = why_closed(host)
    return f"{host} is {closed}" if closed else ""


def _unwrapped(address: _Address) -> _Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
