"""What is done about the accepted renders of a batch that was cancelled: they are finished, or given up as asked."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.batch.intake import Begun
from tasks.errors import ProviderError
from tasks.ledger import Entry, State
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.overtaken import unless_overtaken
from tasks.registry import provider_of
from tasks.settings import get_settings

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

DROPPED = "the batch was cancelled, and what the provider had accepted was to be dropped"

log = logging.getLogger("studio.batch")


class AcceptedOnly:
    """Begins rows by following what was accepted; nothing is submitted.

    Args:
        ledger: where the submissions are.
        rows: the rows that were begun and have no outcome, as they were last seen.
        drop: give up what this batch has submitted, instead.
        owner: id of the flow run that answers for the batch.
    """

    def __init__(self, ledger: "Ledger", rows: list[BatchRow], *, drop: bool, owner: str) -> None:
        self._ledger, self._drop, self._owner = ledger, drop, owner
        self._rows = {row.number: row for row in rows}

    def followers_of(self, _number: int) -> list[int]:
        """None: a row that waited for another one was not begun, and is left for the next run of the batch."""
        return []

    async def begin(self, number: int) -> Begun | BatchRow | None:
        """The row's submission, to be followed; or its outcome, if there is none or it is given up."""
        row = self._rows[number]
        entry = await self._ledger.find(row.render_key or "")
        if entry is not None and entry.state is State.SUBMITTING:
            # Raises StillRunning, so that the row is named, should nobody answer for it any more.
            timeout = get_settings().submit_timeout_seconds
            entry = await self._ledger.wait_change(entry.id, State.SUBMITTING, deadline=timeout)
        if entry is None or not entry.is_open or entry.state is State.RESERVED:
            return self._ended(row, "the batch was cancelled before the provider accepted it")
        if self._drop and entry.state is State.SUBMITTED and await self._is_ours_alone(entry):
            return await self._dropped(row, entry)
        return _begun(row, entry)

    async def _is_ours_alone(self, entry: Entry) -> bool:
        """Whether only this batch wants the render, as far as the ledger knows, and it is not finished."""
        if (entry.reserved_by, entry.owner) != (self._owner, self._owner):
            return False
        if await self._ledger.others_render(entry.render_key, self._owner):
            return False
        try:
            status = await (await provider_of(entry)).query(entry.job_id or "")
        except ProviderError as error:
            log.warning("not asked before it is dropped key=%s error=%s", entry.render_key, error)
            return True
        return status.phase != "succeeded"

    async def _dropped(self, row: BatchRow, entry: Entry) -> Begun | BatchRow:
        """Give up an accepted render; whether it costs money is for the provider's books to say."""
        change = self._ledger.mark_cancelled(
            entry.id, DROPPED, charged=None, expected=State.SUBMITTED, owner=self._owner, since=entry.updated_at
        )
        if after := await unless_overtaken(change):
            # It has just ended: there is something to archive.
            return _begun(row, after)
        return self._ended(row, f"{DROPPED}; {entry.provider} job {entry.job_id} may still cost money")

    def _ended(self, row: BatchRow, reason: str) -> BatchRow:
        news = {"state": RowState.NOT_STARTED, "reason": f"{reason}.", "updated_at": datetime.now(UTC)}
        return row.model_copy(update=news | {"fix": "Run the same batch again if the video is still wanted."})


def _begun(row: BatchRow, entry: Entry) -> Begun:
    """The row as one that is followed again, whatever was said of it before."""
    return Begun(row.model_copy(update={"state": RowState.RENDERING, "reason": "", "fix": ""}), entry)
