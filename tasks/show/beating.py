"""A show's sign of life. Where it is missing, the reaper closes the show's stream."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tasks.ledger import Entry
from tasks.show.rooms import keep_room

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

BEAT_SECONDS = 5.0
BEAT_PATIENCE = timedelta(seconds=15)
"""Each beat promises the next one within this time."""
_LEAVE_SECONDS = 1.0

log = logging.getLogger("studio.show")


class Heartbeat:
    """While its block lasts, tells the ledger that somebody attends to a stream, and keeps the show's room.

    A ledger that is away is only warned about: the show goes on, and the reaper looks twice before it closes anything.

    Args:
        ledger: where the row is.
        entry: the row, in any state before the stream's end.
        every: seconds between two beats.
    """

    def __init__(self, ledger: "Ledger", entry: Entry, *, every: float = BEAT_SECONDS) -> None:
        self._ledger = ledger
        self._entry = entry
        self._every = every
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
            # Not awaited to its end: a beat under way waits for a ledger that is away, and the stream is to be closed.
            await asyncio.wait({self._beating}, timeout=_LEAVE_SECONDS)

    async def _go_on(self) -> None:
        while True:
            try:
                await self._beat()
            except Exception as error:  # noqa: BLE001 - silence kills shows
                log.warning("heartbeat missed key=%s cause=%r", self._entry.render_key, error)
            await asyncio.sleep(self._every)

    async def _beat(self) -> None:
        # Only an accepted row takes it; before that, the claim is the sign of life.
        await self._ledger.set_next_poll(self._entry.id, datetime.now(UTC) + BEAT_PATIENCE)
        if not await keep_room(self._ledger, self._entry):
            log.warning("another show has taken the room key=%s", self._entry.render_key)
