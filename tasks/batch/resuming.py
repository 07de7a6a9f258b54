"""What is done about the accepted renders of a batch that was cancelled: they are finished, or given up as asked."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.batch.intake import Begun
from tasks.ledger import Entry, State, StateConflict
from tasks.ledger.batch_models import BatchRow, RowState

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

DROPPED = "the batch was cancelled, and what the provider had accepted was to be dropped"


class AcceptedOnly:
    """Begins rows by following what was accepted; nothing is submitted.

    Args:
        ledger: where the submissions are.
        rows: the rows that were being rendered, as they were last seen.
        drop: give them up instead.
        owner: id of the flow run that answers for the batch.
    """

    def __init__(self, ledger: "Ledger", rows: list[BatchRow], *, drop: bool, owner: str) -> None:
        self._ledger, self._drop, self._owner = ledger, drop, owner
        self._rows = {row.number: row for row in rows}

    def followers_of(self, _number: int) -> list[int]:
        """None: every row has its own record by now."""
        return []

    async def begin(self, number: int) -> Begun | BatchRow | None:
        """The row's submission, to be followed; or its outcome, if there is none or it is given up."""
        row = self._rows[number]
        entry = await self._ledger.find(row.render_key or "")
        if entry is None or not entry.is_open or entry.state is State.RESERVED:
            return self._ended(row, "the batch was cancelled before the provider accepted it")
        if self._drop and entry.state is State.SUBMITTED:
            return await self._dropped(row, entry)
        return Begun(row, entry)

    async def _dropped(self, row: BatchRow, entry: Entry) -> Begun | BatchRow:
        """Give up an accepted render; whether it costs money is for the provider's books to say."""
        try:
            await self._ledger.mark_cancelled(
                entry.id, DROPPED, charged=None, expected=State.SUBMITTED, owner=self._owner
            )
        except StateConflict as conflict:
            # It has just ended: there is something to archive.
            return Begun(row, conflict.entry)
        return self._ended(row, f"{DROPPED}; {entry.provider} job {entry.job_id} may still cost money")

    def _ended(self, row: BatchRow, reason: str) -> BatchRow:
        news = {"state": RowState.NOT_STARTED, "reason": f"{reason}.", "updated_at": datetime.now(UTC)}
        return row.model_copy(update=news | {"fix": "Run the same batch again if the video is still wanted."})
