"""One conversation on a drive socket: Start, PCM, Stop, and what becomes of the drive."""

import asyncio
from typing import Protocol

from websockets.asyncio.server import ServerConnection

from infra.sandbox.zego.media_guesses import INTERRUPTED, LINGER_SECONDS, START_SECONDS
from infra.sandbox.zego.messages import Sound, WrongMessage, check_stop, read_start
from infra.sandbox.zego.playout import Playout


class SocketDrive(Protocol):
    """A drive that somebody asked a socket for."""

    drive_id: str
    task_id: str
    cancelled: asyncio.Event
    """Set by an interruption, by the end of the stream and by a newer drive."""

    def speaking(self) -> None:
        """Its first word is said."""

    def ended(self, interrupted: bool) -> None:  # noqa: FBT001 - one plain fact
        """All of it was said, or it was cut."""

    def failed(self, reason: str) -> None:
        """It broke a rule."""


class Talk:
    """The server's side of one socket.

    Args:
        connection: the open socket.
        drive: whose socket it is.
        playout: what the drive's stream says.
    """

    def __init__(self, connection: ServerConnection, drive: SocketDrive, playout: Playout) -> None:
        self._connection, self._drive, self._playout = connection, drive, playout
        self._begun = self._refused = False

    async def wait_start(self) -> Sound | None:
        """The sound that will come; None when the drive was interrupted before.

        Raises:
            WrongMessage: it did not begin with Start, or not in time.
            ConnectionClosed: the socket was closed before.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                sound = read_start(await self._connection.recv(), self._drive.drive_id)
        except TimeoutError as error:
            raise WrongMessage(f"no Start within {START_SECONDS:g} s") from error
        if self._drive.cancelled.is_set():
            self._drive.ended(interrupted=True)
            return None
        self._playout.begin(self._drive.drive_id, sound.sample_rate)
        self._begun = True
        return sound

    async def hear(self, sound: Sound) -> None:
        """Take PCM until Stop, then wait for the socket to be closed.

        Raises:
            WrongMessage: something else came.
            ConnectionClosed: the socket was closed.
        """
        drive_id, stopped = self._drive.drive_id, False
        while True:
            message = await self._connection.recv()
            if self._drive.cancelled.is_set():
                # What was under way when it was cut off is nobody's fault.
                continue
            if stopped:
                raise WrongMessage("a message came after Stop")
            if isinstance(message, bytes):
                self._playout.feed(drive_id, sound.mono(message))
            else:
                check_stop(message, drive_id)
                self._playout.finish(drive_id)
                stopped = True

    async def follow(self) -> None:
        """Tell the drive what becomes of it, also after its socket is closed."""
        saying = asyncio.create_task(self._say())
        cutting = asyncio.create_task(self._drive.cancelled.wait())
        try:
            await asyncio.wait({saying, cutting}, return_when=asyncio.FIRST_COMPLETED)
            if self._refused:
                return
            said = saying.done() and saying.result()
            self._playout.drop(self._drive.drive_id)
            self._drive.ended(interrupted=not said)
        finally:
            saying.cancel()
            cutting.cancel()
        if not said:
            await asyncio.sleep(LINGER_SECONDS)
            await self._connection.close(INTERRUPTED, "the drive was interrupted")

    def refuse(self, reason: str) -> None:
        """The drive broke a rule: it falls silent at once."""
        self._refused = True
        if self._begun:
            self._playout.drop(self._drive.drive_id)
        self._drive.failed(reason)

    def lose(self) -> None:
        """The socket is closed: without Stop, what came is said and the drive counts as unfinished."""
        if self._begun:
            self._playout.finish(self._drive.drive_id, unfinished=True)
        elif self._drive.cancelled.is_set():
            self._drive.ended(interrupted=True)
        else:
            self._drive.failed("the socket was closed before Start")

    async def _say(self) -> bool:
        """Whether all of it was said."""
        if await self._playout.wait_begun(self._drive.drive_id):
            self._drive.speaking()
        return await self._playout.wait_said(self._drive.drive_id)
