"""A way to a local port that can be cut, as a network can be lost."""

import asyncio
import socket
from contextlib import suppress
from types import TracebackType
from typing import Self

_BUFFER = 16 * 1024
"""Little is under way while nothing arrives, so a sender soon feels it."""


class Wire:
    """Carries TCP connections to a port of this machine; while it is cut nothing arrives, and nobody is told.

    Args:
        to: the port; may be set later.
    """

    def __init__(self, to: int) -> None:
        self.to = to
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._server = await asyncio.start_server(self._carry, sock=listening, limit=_BUFFER)
        self.port = listening.getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mend()
        if self._server is not None:
            self._server.close()

    def cut(self) -> None:
        """Let nothing through any more, in both directions."""
        self._whole.clear()

    def mend(self) -> None:
        """Let everything through again, with what has waited."""
        self._whole.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        there, to_there = await asyncio.open_connection("127.0.0.1", self.to, limit=_BUFFER)
        with suppress(ConnectionError):
            await asyncio.gather(self._pump(reader, to_there), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._whole.wait()
                if not (data := await reader.read(_BUFFER)):
                    return
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
