"""The life of stream tasks: starting, streaming until stopped, too old or too long silent, stopping, stopped.

Each lives as an asyncio task, again after a crash.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

from infra.sandbox.truth import Truth
from infra.sandbox.zego.background import Background
from infra.sandbox.zego.drives import SocketDrive, Speech
from infra.sandbox.zego.guesses import idle_end, lifetime_end
from infra.sandbox.zego.performing import Performer
from infra.sandbox.zego.playout import Playout
from infra.sandbox.zego.records import Drive, DriveStatus, HowEnded, StreamStatus, StreamTask

Tell = Callable[[str, Literal[3, 4], dict[str, Any]], None]
"""Reports an event of a stream task, 3, or of a drive, 4."""


class Stream:
    """One stream task while the sandbox runs."""

    def __init__(self, task: StreamTask, drives: list[Drive], truth: Truth, tell: Tell, performer: Performer) -> None:
        self.task, self.drives = task, drives
        self.playout = Playout()
        self._truth, self._tell = truth, tell
        self.speech = Speech(self.playout, partial(self._perform, performer), self._drive_changed)
        self._changed = asyncio.Event()

    def add_drive(self, drive: Drive, *, interrupt: bool = False) -> None:
        """Let it be said."""
        self.drives.append(drive)
        self.speech.add(drive, interrupt=interrupt)

    def stop(self) -> None:
        """Begin to stop, at once."""
        self._end("stopped")
        self._changed.set()

    def facts_of(self, drive: Drive) -> dict[str, Any] | None:
        """How the audio of a drive came, see ``Playout.facts``; None when nothing came."""
        return self.playout.facts(drive.drive_id) if self.playout.knows(drive.drive_id) else drive.playout

    def save(self) -> None:
        """Keep the task as it is now."""
        self._truth.keep(self.task, self.task.task_id)

    async def live(self) -> None:
        """Bring the task to its end, from wherever it stands."""
        if self.task.status is StreamStatus.STARTING:
            await self._start()
        if self.task.status is StreamStatus.STREAMING:
            await self._stream()
        if self.task.status is StreamStatus.STOPPING:
            await asyncio.sleep(self._truth.knobs.stream_stop_seconds)
            self.task.ended = time.time()
            self.become(StreamStatus.STOPPED)

    def go_on(self) -> None:
        """Take up what a former process left: what waited is said, what was being said has failed."""
        for drive in self.drives:
            if drive.status is DriveStatus.SPEAKING or (drive.kind in {"ws", "rtc"} and not drive.is_over):
                drive.status, drive.reason, drive.ended = DriveStatus.FAILED, "the server was restarted", time.time()
                self._drive_changed(drive)
        if self.task.status is StreamStatus.STREAMING:
            self.speech.resume([drive for drive in self.drives if not drive.is_over])

    def become(self, status: StreamStatus) -> None:
        """Change the status, keep it and report it."""
        self.task.status = status
        self.save()
        detail: dict[str, Any] = {
            "Status": int(status),
            "RoomId": self.task.room_id,
            "StreamId": self.task.stream_id,
        }
        if status is StreamStatus.FAILED:
            detail["FailReason"] = self.task.fail_reason
        self._tell(self.task.task_id, 3, detail)

    # Inside

    async def _start(self) -> None:
        until = self._oldest()
        begins = until if self.task.fate == "stuck" else min(self.task.due, until)
        await self._wait_until(begins)
        if self.task.status is not StreamStatus.STARTING:
            return
        if begins == until:
            self._end("ttl")
        elif self.task.fate == "fail":
            self.task.how_ended, self.task.ended = "failed", time.time()
            self.become(StreamStatus.FAILED)
        else:
            self.task.started = self.task.quiet_since = time.time()
            self.become(StreamStatus.STREAMING)

    async def _stream(self) -> None:
        while self.task.status is StreamStatus.STREAMING:
            moment, how = self._next_end()
            if moment <= time.time():
                self._end(how)
            else:
                await self._wait_until(moment)

    def _next_end(self) -> tuple[float, HowEnded]:
        too_old: tuple[float, HowEnded] = (self._oldest(), "ttl")
        if not self.speech.is_quiet or self.task.quiet_since is None:
            return too_old
        patience = self.task.max_idle * self._truth.knobs.zego_lifetime_part
        return min(too_old, (idle_end(self.task.quiet_since, patience), "idle"))

    def _oldest(self) -> float:
        """Moment up to which the stream may live."""
        return lifetime_end(self.task.at, self.task.ttl * self._truth.knobs.zego_lifetime_part)

    async def _wait_until(self, moment: float) -> None:
        """Wait, or until something changes."""
        self._changed.clear()
        try:
            async with asyncio.timeout(moment - time.time()):
                await self._changed.wait()
        except TimeoutError:
            return

    def _end(self, how: HowEnded) -> None:
        self.task.how_ended = how
        self.become(StreamStatus.STOPPING)
        self.speech.silence()

    async def _perform(self, performer: Performer, drive: Drive, began: Callable[[], None]) -> None:
        await performer.perform(drive, self.playout, began)

    def _drive_changed(self, drive: Drive) -> None:
        self._truth.keep(drive, drive.drive_id)
        self._tell(drive.task_id, 4, {"DriveId": drive.drive_id, "Status": int(drive.status)})
        self.task.quiet_since = time.time()
        self.save()
        self._changed.set()


class Streams:
    """All stream tasks of the account.

    Args:
        truth: where they are kept.
        tell: reports events.
        performer: says texts and files.
    """

    def __init__(self, truth: Truth, tell: Tell, performer: Performer) -> None:
        self._truth, self._tell, self._performer = truth, tell, performer
        self._background = Background()
        drives: dict[str, list[Drive]] = {}
        for drive in truth.kept(Drive):
            drives.setdefault(drive.task_id, []).append(drive)
        self._streams = {
            task.task_id: self._opened(task, drives.get(task.task_id, [])) for task in truth.kept(StreamTask)
        }

    def resume(self) -> None:
        """Go on with everything that a former process left unfinished."""
        for stream in self.all():
            if stream.task.is_live:
                stream.go_on()
                self._background.start(stream.live(), f"stream {stream.task.task_id}")

    def create(self, task: StreamTask) -> Stream:
        """Begin a stream task."""
        stream = self._streams[task.task_id] = self._opened(task, [])
        stream.become(StreamStatus.STARTING)
        self._background.start(stream.live(), f"stream {task.task_id}")
        return stream

    def all(self) -> list[Stream]:
        """Every stream that there ever was, oldest first."""
        return list(self._streams.values())

    def live(self) -> list[Stream]:
        """Those that have not ended, oldest first."""
        return [stream for stream in self._streams.values() if stream.task.is_live]

    def get(self, task_id: str) -> Stream | None:
        """The stream of a task; None for an unknown id."""
        return self._streams.get(task_id)

    def tasks(self) -> Iterator[StreamTask]:
        """Every stream task that there ever was, oldest first."""
        return (stream.task for stream in self._streams.values())

    def drives_of(self, task_id: str) -> list[Drive]:
        """The drives of a task, oldest first; KeyError for an unknown id."""
        return self._streams[task_id].drives

    def playout_of(self, task_id: str) -> Playout:
        """What the stream of a task says; KeyError for an unknown id."""
        return self._streams[task_id].playout

    def begin_socket_drive(self, token: str) -> SocketDrive | None:
        """The drive that a token opens, once; None for any other token."""
        for stream in self.live():
            for drive in stream.drives:
                if drive.kind == "ws" and drive.token == token:
                    return stream.speech.open_socket(drive)
        return None

    async def stop(self) -> None:
        """Drop what is being done; the tasks stay as they are."""
        await self._background.stop()
        for stream in self.all():
            await stream.speech.stop()

    def forget(self) -> None:
        """Forget all streams; ``stop`` before."""
        self._streams.clear()

    def _opened(self, task: StreamTask, drives: list[Drive]) -> Stream:
        return Stream(task, drives, self._truth, self._tell, self._performer)
