"""What `studio batch status` and `studio batch report` find in the ledger."""

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple

from tasks.batch.report import WrittenReport, write_report
from tasks.batch.source import report_prefix
from tasks.blocks import load_store
from tasks.errors import StudioError
from tasks.ledger.batch_models import Batch, BatchRow, RowState
from tasks.ledger.opening import open_existing_ledger
from tasks.settings import get_settings

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

SHOWN_DIGITS = 12
"""How much of a batch's id is shown to people."""
_SEARCHED = 1000
_CHUNK = 1000


class Counted(NamedTuple):
    """A batch, and its rows by outcome in its last run."""

    batch: Batch
    counts: dict[RowState, int]

    @property
    def not_started(self) -> int:
        """Rows of which the last run has no record, or says that they were not begun."""
        unrecorded = max(0, self.batch.rows - sum(self.counts.values()))
        return unrecorded + self.counts.get(RowState.NOT_STARTED, 0)


async def last_batches(limit: int) -> list[Counted]:
    """The batches that were worked on last, the newest first."""
    async with open_existing_ledger() as ledger:
        return [await _counted(ledger, batch) for batch in await ledger.batches(limit=limit)] if ledger else []


async def one_batch(digits: str) -> Counted:
    """The batch whose id begins like this.

    Raises:
        StudioError: there is none, or there are several.
    """
    async with open_existing_ledger() as ledger:
        batch = await _find(ledger, digits)
        return await _counted(ledger, batch) if ledger else Counted(batch, {})


async def troubled_rows(batch: Batch, limit: int) -> list[BatchRow]:
    """The first rows that have no video in the last run of a batch, with their reasons."""
    async with open_existing_ledger() as ledger:
        if ledger is None:
            return []
        troubled = {RowState.FAILED, RowState.BLOCKED, RowState.UNFINISHED}
        return await ledger.batch_rows(batch.id, run_id=batch.run_id, states=troubled, limit=limit)


async def write_again(digits: str) -> WrittenReport:
    """Write the report of a batch's last run anew, with fresh links.

    Raises:
        StudioError: no batch, or several, begin like this.
        StorageError: the object store does not answer or refuses.
    """
    store = await load_store(get_settings().storage_block)
    async with open_existing_ledger() as ledger:
        batch = await _find(ledger, digits)
        rows = _rows(ledger, batch)
        return await write_report(store, batch, rows, prefix=report_prefix(batch.id, batch.run_id))


async def _rows(ledger: "Ledger | None", batch: Batch) -> AsyncIterator[BatchRow]:
    after = 0
    while ledger and (chunk := await ledger.batch_rows(batch.id, run_id=batch.run_id, after=after, limit=_CHUNK)):
        for row in chunk:
            yield row
        after = chunk[-1].number


async def _counted(ledger: "Ledger", batch: Batch) -> Counted:
    return Counted(batch, await ledger.count_rows(batch.id, batch.run_id))


async def _find(ledger: "Ledger | None", digits: str) -> Batch:
    prefix = digits.strip().lower()
    if not re.fullmatch("[0-9a-f]{4,64}", prefix):
        raise StudioError(f"{digits!r} is no id of a batch.", fix="`studio batch status` lists them.")
    found = await ledger.batches(limit=_SEARCHED) if ledger else []
    matching = [batch for batch in found if batch.id.startswith(prefix)]
    exact = None if matching or not ledger else await ledger.find_batch(prefix)
    if exact is not None:
        return exact
    if not matching:
        raise StudioError(f"there is no batch that begins with {prefix}.", fix="`studio batch status` lists them.")
    if len(matching) > 1:
        ids = ", ".join(batch.id[: max(SHOWN_DIGITS, len(prefix) + 4)] for batch in matching[:5])
        raise StudioError(f"several batches begin with {prefix}: {ids}.", fix="Give more digits.")
    return matching[0]
