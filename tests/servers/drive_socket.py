"""The sandbox's drive socket on its own: drives without an account, and how well each was fed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from pydantic import SecretStr

from infra.sandbox.zego.playout import Playout
from infra.sandbox.zego.sockets import SocketServer
from tasks.providers.zego.models import WsDrive

HOST = "127.0.0.1"


class HeardDrive:
    """A drive of a stream of its own, as the socket server wants one."""

    def __init__(self, number: int) -> None:
        self.drive_id, self.task_id = f"drive-{number}", f"task-{number}"
        self.token = f"token-{number}-secret"
        self.cancelled = asyncio.Event()
        self.playout = Playout()
        self.over = asyncio.Event()
        self.outcome = ""

    def speaking(self) -> None:
        self.outcome = "speaking"

    def ended(self, interrupted: bool) -> None:
        self._end("interrupted" if interrupted else "ended")

    def failed(self, reason: str) -> None:
        self._end(f"failed: {reason}")

    def _end(self, outcome: str) -> None:
        self.outcome = outcome
        self.over.set()


class DriveHouse:
    """Hands out drives, and knows what became of them."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._by_token: dict[str, HeardDrive] = {}
        self.by_task: dict[str, HeardDrive] = {}
        self.server = SocketServer(
            lambda token: self._by_token.pop(token, None), lambda task_id: self.by_task[task_id].playout
        )

    def new_drive(self) -> tuple[WsDrive, HeardDrive]:
        """What the client is given, and what the server makes of it."""
        heard = HeardDrive(next(self._numbers))
        self._by_token[heard.token] = self.by_task[heard.task_id] = heard
        address = SecretStr(f"wss://{HOST}:{self.server.port}/ws?Token={heard.token}")
        return WsDrive(drive_id=heard.drive_id, address=address), heard

    async def facts(self, heard: HeardDrive) -> dict[str, Any]:
        """Wait until a drive is over; see ``Pace.facts`` of the sandbox."""
        async with asyncio.timeout(30):
            await heard.over.wait()
        return heard.playout.facts(heard.drive_id)


@asynccontextmanager
async def drive_house() -> AsyncGenerator[DriveHouse]:
    """A socket server on a free port."""
    house = DriveHouse()
    await house.server.start(HOST)
    try:
        yield house
    finally:
        await house.server.stop()
