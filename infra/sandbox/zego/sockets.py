"""The drive socket (section 5.4): takes PCM over TLS and hands it to the playout, strictly by the page."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from infra.sandbox.zego.background import Background
from infra.sandbox.zego.certificate import server_context
from infra.sandbox.zego.media_guesses import LARGEST_MESSAGE, SECOND_SOCKET, UNKNOWN_TOKEN, WRONG_MESSAGE
from infra.sandbox.zego.messages import WrongMessage
from infra.sandbox.zego.playout import Playout
from infra.sandbox.zego.talk import SocketDrive, Talk

PATH = "/ws"
IN_PARALLEL = "another socket of the stream was open"
"""Why a drive failed whose socket came too soon."""
_LONGEST_REASON = 120

log = logging.getLogger("studio.sandbox")
# The library's lines below this level carry whole addresses, and with them the tokens.
_wire_log = logging.getLogger("studio.sandbox.wire")
_wire_log.setLevel(logging.ERROR)


class SocketServer:
    """Speaks the socket protocol on a free port, with one socket of a stream at a time.

    Args:
        open_drive: begins the drive of a token; None for a token that is unknown or was used.
        playout_of: the playout of a stream, by its task id.
    """

    def __init__(self, open_drive: Callable[[str], SocketDrive | None], playout_of: Callable[[str], Playout]) -> None:
        self._open_drive, self._playout_of = open_drive, playout_of
        self._server: Server | None = None
        self._following = Background()
        self._talking: set[str] = set()
        """Streams that have an open socket, by their task id."""
        self.port = 0
        """Where it listens; known after ``start``."""

    async def start(self, host: str) -> None:
        """Listen on a free port of an IP address."""
        self._server = await serve(
            self._converse,
            host,
            0,
            ssl=server_context(host),
            process_request=_know_path,
            # Clients offer it by default; PCM does not shrink.
            compression=None,
            max_size=LARGEST_MESSAGE,
            logger=_wire_log,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        log.info("drive socket listens port=%d", self.port)

    async def stop(self) -> None:
        """Close all sockets and stop listening."""
        if self._server is None:
            return
        self._server.close()
        self.cut()
        await self._server.wait_closed()
        await self._following.stop()
        self._server = None

    def cut(self) -> int:
        """Close all sockets hard, as a lost network does; returns how many."""
        if self._server is None:
            return 0
        connections = list(self._server.connections)
        for connection in connections:
            connection.transport.abort()
        return len(connections)

    # One socket

    async def _converse(self, connection: ServerConnection) -> None:
        drive = self._open_drive(_token(connection))
        if drive is None:
            await connection.close(UNKNOWN_TOKEN, "unknown or used token")
        elif drive.task_id in self._talking:
            log.info("drive refused drive=%s reason=%s", drive.drive_id, IN_PARALLEL)
            drive.failed(IN_PARALLEL)
            await connection.close(SECOND_SOCKET, IN_PARALLEL)
        else:
            self._talking.add(drive.task_id)
            try:
                await self._hear(connection, drive)
            finally:
                self._talking.discard(drive.task_id)

    async def _hear(self, connection: ServerConnection, drive: SocketDrive) -> None:
        talk = Talk(connection, drive, self._playout_of(drive.task_id))
        try:
            sound = await talk.wait_start()
            if sound is not None:
                # A drive is said to its end, though its socket may be closed long before.
                self._following.start(talk.follow(), f"drive {drive.drive_id}")
                await talk.hear(sound)
        except WrongMessage as error:
            log.info("drive refused drive=%s reason=%s", drive.drive_id, error)
            talk.refuse(str(error))
            await connection.close(WRONG_MESSAGE, str(error)[:_LONGEST_REASON])
        except ConnectionClosed:
            talk.lose()


def _know_path(connection: ServerConnection, request: Request) -> Response | None:
    if urlsplit(request.path).path == PATH:
        return None
    return connection.respond(HTTPStatus.NOT_FOUND, "unknown path\n")


def _token(connection: ServerConnection) -> str:
    query = urlsplit(connection.request.path).query if connection.request else ""
    return parse_qs(query).get("Token", [""])[0]
