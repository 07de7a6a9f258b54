"""What became of each row: counted in memory, and written to the ledger a few times a second."""

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from tasks.errors import StudioError
from tasks.ledger.batch_models import BatchRow, RowState

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

FLUSH_SECONDS = 0.5

log = logging.getLogger("studio.batch")


class Book:
    """The outcomes of one run of a batch, or of one of its shards.

    Args:
        ledger: where they are kept.
        batch_id: whose rows they are.
    """

    def __init__(self, ledger: "Ledger", batch_id: str) -> None:
        self.counts: Counter[RowState] = Counter()
        self._ledger = ledger
        self._batch_id = batch_id
        self._states: dict[int, RowState] = {}
        self._rendering: dict[int, BatchRow] = {}
        self._unwritten: dict[int, BatchRow] = {}

    def note(self, row: BatchRow) -> None:
        """Note the state of a row; the latest one counts."""
        if before := self._states.get(row.number):
            self.counts[before] -= 1
        self.counts[row.state] += 1
        self._states[row.number] = row.state
        self._unwritten[row.number] = row
        if row.state is RowState.RENDERING:
            self._rendering[row.number] = row
        else:
            self._rendering.pop(row.number, None)

    def rendering(self, number: int) -> BatchRow | None:
        """What is known of a row that is being rendered."""
        return self._rendering.get(number)

    async def announce(self, row: BatchRow) -> None:
        """Note a row and write it at once."""
        self.note(row)
        await self.flush()

    async def keep(self) -> None:
        """Write what is new again and again, until cancelled; what an outage hinders is written after it."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except StudioError as error:
                log.warning("outcomes not written yet rows=%d error=%s", len(self._unwritten), error)

    async def flush(self) -> None:
        """Write what is new."""
        rows, self._unwritten = self._unwritten, {}
        if not rows:
            return
        try:
            await self._ledger.note_rows(self._batch_id, list(rows.values()))
        except BaseException:
            self._unwritten = rows | self._unwritten
            raise
