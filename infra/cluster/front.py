"""One address in front of several containers of a service: what Docker's DNS does for clients inside of its network.

Each new connection goes to the next container that takes it, and stays there.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from itertools import count

from infra.cluster.plan import HOST

_CHUNK = 64 * 1024
_CONNECT_SECONDS = 5


class Front:
    """Listens on one port and hands connections on.

    Args:
        port: where to listen.
        behind: ports of the containers.
    """

    def __init__(self, port: int, behind: Sequence[int]) -> None:
        self._port, self._behind = port, behind
        self._next = count()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, HOST, self._port)

    async def stop(self) -> None:
        """Cut all connections."""
        if self._server is None:
            return
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served outside of a task")
        self._open.add(task)
        try:
            if found := await self._connect():
                there_reader, there_writer = found
                await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            writer.close()
            self._open.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        first = next(self._next)
        for offset in range(len(self._behind)):
            port = self._behind[(first + offset) % len(self._behind)]
            with contextlib.suppress(OSError, TimeoutError):
                return await asyncio.wait_for(asyncio.open_connection(HOST, port), _CONNECT_SECONDS)
        return None


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy one direction until it ends; the other one ends by itself."""
    with contextlib.suppress(ConnectionError):
        while block := await source.read(_CHUNK):
            sink.write(block)
            await sink.drain()
    sink.close()
