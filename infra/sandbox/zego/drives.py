"""What one stream says: one drive after the other, with the queue and the interruptions of section 5's table."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from infra.sandbox.zego.audio import Unspeakable
from infra.sandbox.zego.background import Background
from infra.sandbox.zego.guesses import INTERRUPTED_DRIVE_STATUS, MODE_1_DROPS_QUEUE, SOCKET_OPEN_SECONDS
from infra.sandbox.zego.playout import Playout
from infra.sandbox.zego.records import Drive, DriveStatus

_CUT = DriveStatus(INTERRUPTED_DRIVE_STATUS)

Perform = Callable[[Drive, Callable[[], None]], Awaitable[None]]
"""Says a text or a file until its end, and calls back at the first word. Raises ``Unspeakable``."""
Changed = Callable[[Drive], None]


class SocketDrive:
    """A drive whose audio comes through a socket."""

    def __init__(self, drive: Drive, began: Callable[[], None]) -> None:
        self.drive_id, self.task_id = drive.drive_id, drive.task_id
        self.cancelled = asyncio.Event()
        """Set by an interruption, by the end of the stream and by a newer drive."""
        self.opened = asyncio.Event()
        self._began = began
        self._over = asyncio.Event()
        self._reason = ""

    def speaking(self) -> None:
        """Its first word is said."""
        if not self.cancelled.is_set():
            self._began()

    def ended(self, interrupted: bool) -> None:  # noqa: ARG002, FBT001 - a cut drive ended before
        """All of it was said, or it was cut."""
        self._over.set()

    def failed(self, reason: str) -> None:
        """It broke a rule."""
        self._reason = reason
        self._over.set()

    async def wait_over(self) -> None:
        """Wait for the socket and then for the end; raises ``Unspeakable`` when one of them fails."""
        try:
            async with asyncio.timeout(SOCKET_OPEN_SECONDS):
                await self.opened.wait()
        except TimeoutError as error:
            raise Unspeakable(f"no socket was opened within {SOCKET_OPEN_SECONDS:g} s") from error
        await self._over.wait()
        if self._reason:
            raise Unspeakable(self._reason)


class Speech:
    """Says the drives of one stream. Interruptions take effect at once, before the call that asks is answered.

    Args:
        playout: the stream's mouth.
        perform: says a drive of a text or a file.
        changed: is told each time that a drive's status has changed.
    """

    def __init__(self, playout: Playout, perform: Perform, changed: Changed) -> None:
        self._playout, self._perform, self._changed = playout, perform, changed
        self._waiting: deque[Drive] = deque()
        self._current: Drive | None = None
        self._task: asyncio.Task[None] | None = None
        self._background = Background()
        self._socket: SocketDrive | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is being said and nothing waits."""
        return self._current is None and not self._waiting

    def add(self, drive: Drive, *, interrupt: bool) -> None:
        """Put a drive behind the others, or in the place of the running one."""
        self._changed(drive)
        if drive.kind in {"ws", "rtc"} or (interrupt and MODE_1_DROPS_QUEUE):
            self._drop_waiting()
            interrupt = True
        if not interrupt:
            self._waiting.append(drive)
            self._next()
            return
        self._waiting.appendleft(drive)
        if self._current is None:
            self._next()
        else:
            # What was running makes room for the first that waits.
            self._cut_current()

    def silence(self) -> None:
        """Cut what is being said and drop all that waits."""
        self._drop_waiting()
        self._cut_current()

    def resume(self, waiting: list[Drive]) -> None:
        """Go on with drives that a former process left in the queue."""
        self._waiting.extend(waiting)
        self._next()

    def open_socket(self, drive: Drive) -> SocketDrive | None:
        """The socket's side of a drive; None when it was opened before or the drive is over."""
        socket = self._socket
        if socket is None or socket.drive_id != drive.drive_id or socket.opened.is_set():
            return None
        socket.opened.set()
        return socket

    async def stop(self) -> None:
        """Drop everything without a word, as the process ends."""
        await self._background.stop()

    # Inside

    def _next(self) -> None:
        if self._current is not None or not self._waiting:
            return
        drive = self._current = self._waiting.popleft()
        self._socket = SocketDrive(drive, lambda: self._began(drive)) if drive.kind == "ws" else None
        self._task = self._background.start(self._say(drive), f"drive {drive.drive_id}")

    async def _say(self, drive: Drive) -> None:
        try:
            if self._socket is not None:
                await self._socket.wait_over()
            elif drive.kind == "rtc":
                self._began(drive)
                # Another stream's voice has no end that could be seen from here.
                await asyncio.Event().wait()
            else:
                await self._perform(drive, lambda: self._began(drive))
        except Unspeakable as error:
            self._over(drive, DriveStatus.FAILED, str(error))
        else:
            self._over(drive, DriveStatus.ENDED)

    def _began(self, drive: Drive) -> None:
        if drive.is_over or drive.began is not None:
            return
        drive.status, drive.began = DriveStatus.SPEAKING, time.time()
        self._changed(drive)

    def _over(self, drive: Drive, status: DriveStatus, reason: str = "") -> None:
        if self._current is drive:
            self._current = self._socket = None
        drive.status, drive.reason, drive.ended = status, reason, time.time()
        if self._playout.knows(drive.drive_id):
            drive.playout = self._playout.facts(drive.drive_id)
            drive.seconds = drive.playout["seconds"] if drive.kind == "ws" else drive.seconds
        self._changed(drive)
        self._next()

    def _drop_waiting(self) -> None:
        dropped = list(self._waiting)
        self._waiting.clear()
        for drive in dropped:
            self._over(drive, _CUT, "dropped from the queue")

    def _cut_current(self) -> None:
        drive, task = self._current, self._task
        if drive is None or task is None:
            return
        if self._socket is not None:
            self._socket.cancelled.set()
        task.cancel()
        if self._playout.knows(drive.drive_id):
            self._playout.drop(drive.drive_id)
        self._over(drive, _CUT, "interrupted")
