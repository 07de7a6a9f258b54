"""Access to the TCP connection under a request, so that an answer can be lost the way networks lose them."""

import asyncio
import socket
import struct

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_CLOSE_SECONDS = 10.0


class CuttableProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 with the transport handed on in ``scope["state"]``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Remember the transport for the requests of this connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Cut(Response):
    """No answer at all: the connection is closed, or reset when ``hard``."""

    def __init__(self, *, hard: bool) -> None:
        super().__init__()
        self._hard = hard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - nothing is sent
        """Cut the connection."""
        transport: asyncio.Transport = scope["state"]["transport"]
        if self._hard:
            wire = transport.get_extra_info("socket")
            # Closing with a linger time of zero sends RST instead of FIN.
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await wait_until_closed(receive)


class CutShort(Response):
    """An answer that announces its whole length, sends a part and closes the connection."""

    def __init__(self, start: Message, part: bytes) -> None:
        super().__init__()
        self._start, self._part = start, part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the part and close."""
        await send(self._start)
        await send({"type": "http.response.body", "body": self._part, "more_body": True})
        # Unlike abort, close sends what is still in the buffer.
        scope["state"]["transport"].close()
        await wait_until_closed(receive)


async def wait_until_closed(receive: Receive) -> None:
    """Wait until the server has seen the end of the connection, so that it does not answer in our place."""
    async with asyncio.timeout(_CLOSE_SECONDS):
        while (await receive())["type"] != "http.disconnect":
            pass
