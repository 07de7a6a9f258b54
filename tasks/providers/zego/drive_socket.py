"""The socket that takes the audio of one drive (section 5.4); its address carries a token and is never told."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI

from tasks.errors import ProviderError, ProviderRejected, ProviderUnavailable
from tasks.http import own_network
from tasks.http.trust import trusted
from tasks.providers.zego.models import PROVIDER

OPEN_SECONDS = 10.0
SEND_SECONDS = 10.0
"""A frame that the network does not take for so long ends the drive: the audience has heard nothing for most of it."""
STOP_SECONDS = 2.0
"""For the last message, and for the farewell after it."""

# About 1.4 s of audio: a listener that takes nothing is noticed soon, and an interruption leaves little behind.
_SEND_BUFFER = 32 * 1024
_WHAT = f"the socket for a drive's audio at {PROVIDER}"

_library_log = logging.getLogger("studio.zego.socket")
# At debug level the library writes the request line, and the token with it.
_library_log.setLevel(logging.INFO)


@asynccontextmanager
async def opened(address: SecretStr, *, unverified: bool) -> AsyncGenerator[ClientConnection]:
    """Connect, and close in the end; errors never quote the address.

    Args:
        address: as the vendor gave it.
        unverified: accept the certificate unseen; this concerns no other connection.

    Raises:
        ProviderUnavailable: it does not open.
        ProviderRejected: it is no address, or not encrypted, or its certificate is refused.
    """
    link = address.get_secret_value()
    secure = _is_secure(link)
    try:
        connection = await connect(
            link,
            ssl=_trust(unverified=unverified) if secure else None,
            compression=None,
            open_timeout=OPEN_SECONDS,
            # Pings keep the way open; whether the vendor answers them is not documented, so their silence ends nothing.
            ping_timeout=None,
            close_timeout=STOP_SECONDS,
            logger=_library_log,
        )
    except (OSError, InvalidHandshake, InvalidURI) as error:
        # The library's own text may quote the address.
        raise _not_opened(error) from None
    _tune(connection)
    try:
        yield connection
    finally:
        await _close(connection)


async def _close(connection: ClientConnection) -> None:
    # The library's own deadline begins when all is written, which may be never.
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await connection.close()
    except TimeoutError:
        connection.transport.abort()


def _is_secure(address: str) -> bool:
    """Whether an address asks for TLS; one without it is only good for the sandbox."""
    parts = urlsplit(address)
    if parts.scheme == "wss" and parts.hostname:
        return True
    if parts.scheme == "ws" and own_network(address):
        return False
    told = "is not encrypted" if parts.scheme == "ws" else "is none"
    raise ProviderRejected(
        f"the address for a drive's audio {told}.", provider=PROVIDER, fix="Ask ZEGO's support; nothing was sent."
    )


def _trust(*, unverified: bool) -> ssl.SSLContext:
    if not unverified:
        return trusted(trust_env=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _tune(connection: ClientConnection) -> None:
    """Have the system tell soon that nothing arrives any more, instead of after a quarter of an hour."""
    raw = cast("socket.socket", connection.transport.get_extra_info("socket"))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(SEND_SECONDS * 1000))


def _not_opened(error: Exception) -> ProviderError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return ProviderRejected(
            f"{_WHAT} does not open: its certificate cannot be verified.",
            provider=PROVIDER,
            fix="Switch on 'Accept the drive socket's certificate unseen' in the ZEGO credentials block.",
        )
    if isinstance(error, InvalidStatus):
        return unavailable(f"{_WHAT} does not open: HTTP {error.response.status_code}.", sent=False)
    if isinstance(error, TimeoutError):
        return unavailable(f"{_WHAT} does not open within {OPEN_SECONDS:g} s.", sent=False)
    reason = getattr(error, "strerror", None) or type(error).__name__
    return unavailable(f"{_WHAT} does not open ({reason}).", sent=False)


def unavailable(message: str, *, sent: bool) -> ProviderError:
    """The error of a socket that is not there; ``sent`` tells whether the drive may have begun."""
    return ProviderUnavailable(message, sent=sent, provider=PROVIDER, fix="Try the cue again.")
