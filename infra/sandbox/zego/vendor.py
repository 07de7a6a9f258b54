"""Puts ZEGO's parts together: the calls, the streams, the drive socket, the callbacks and the preview."""

from pathlib import Path
from typing import Any

from starlette.routing import Route

from infra.sandbox.gate import Desk, Gate
from infra.sandbox.knobs import Credentials
from infra.sandbox.zego.callbacks import CallbackSender
from infra.sandbox.zego.drives import SocketDrive
from infra.sandbox.zego.envelope import ZegoDialect
from infra.sandbox.zego.performing import Performer
from infra.sandbox.zego.preview import Preview
from infra.sandbox.zego.report import report
from infra.sandbox.zego.service import ZegoService
from infra.sandbox.zego.signature import SignatureCheck
from infra.sandbox.zego.sockets import PATH, SocketServer
from infra.sandbox.zego.speaking import Speaking
from infra.sandbox.zego.streams import Streams
from infra.sandbox.zego.tasks import Tasks


class Zego:
    """The vendor as a whole.

    Args:
        desk: what all vendors' calls share.
        inputs: folder for what is fetched.
        credentials: the account.
        host: IP address that the drive socket listens on.
    """

    def __init__(self, desk: Desk, inputs: Path, credentials: Credentials, host: str) -> None:
        self._host = host
        self._truth, self._faults = desk.truth, desk.faults
        self._callbacks = CallbackSender(
            desk.truth, credentials.zego_app_id, credentials.zego_callback_secret, credentials.zego_callback_url
        )
        self._streams = Streams(desk.truth, self._callbacks.tell, Performer(desk.truth, inputs))
        self._sockets = SocketServer(self._open_drive, self._streams.playout_of)
        signatures = SignatureCheck(desk.truth, credentials.zego_app_id, credentials.zego_server_secret)
        self._gate = Gate(desk, ZegoDialect(signatures))
        tasks = Tasks(desk.truth, desk.faults, self._streams)
        self._service = ZegoService(tasks, Speaking(tasks, self._socket_address))

    def routes(self) -> list[Route]:
        """Everything below the vendor's base address, and the pages of the preview, which the vendor has not."""
        preview = Preview(self._streams.tasks, self._streams.drives_of, self._streams.playout_of)
        return [*self._service.routes(self._gate), *preview.routes()]

    async def start(self) -> None:
        """Open the drive socket and go on with what was left unfinished."""
        await self._sockets.start(self._host)
        self._callbacks.resume()
        self._streams.resume()

    async def stop(self) -> None:
        """Close the sockets and drop what is being done; streams and events stay as they are."""
        await self._sockets.stop()
        await self._streams.stop()
        await self._callbacks.stop()

    async def forget(self) -> None:
        """Forget all streams and events, and close their sockets; the truth forgets them by itself."""
        self._sockets.cut()
        await self._streams.stop()
        await self._callbacks.stop()
        self._streams.forget()
        self._callbacks.forget()

    def cut_sockets(self) -> int:
        """Close all drive sockets hard, as a lost network does; returns how many."""
        return self._sockets.cut()

    def report(self) -> dict[str, Any]:
        """The truth, as JSON."""
        return report(self._truth, self._streams, self._callbacks)

    def _open_drive(self, token: str) -> SocketDrive | None:
        """The drive of a token, unless a fault wants the socket refused."""
        self._truth.count_call("zego", "socket")
        return None if self._faults.take("zego", "socket") else self._streams.begin_socket_drive(token)

    def _socket_address(self, host: str) -> str:
        return f"wss://{host}:{self._sockets.port}{PATH}"
