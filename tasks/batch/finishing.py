"""The second half of a row: from the end of its render to the video in the archive."""

import asyncio
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tasks.batch.outcomes import row_of_video
from tasks.batch.row_file import RowFile
from tasks.delivery import Delivery
from tasks.errors import JobUnknown, ProviderRejected, StillRunning
from tasks.followers import after_archiving
from tasks.handout import hand_out
from tasks.ledger import Entry, State
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.leftovers import delivery_of_entry, plan_of_entry
from tasks.original import archive_original
from tasks.poll import note_outcome
from tasks.polling import Ending
from tasks.providers.base import ResultFile
from tasks.settle import ambiguous, denied, ended_by_another

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

AT_ONCE = 4
"""Videos that are brought, checked and labelled at the same time; each is decoded several times over."""

log = logging.getLogger("studio.batch")


class Finisher:
    """Finishes rows.

    Args:
        ledger: where the submissions are.
        rows: the rows.
        folder: room on this machine.
        owner: id of the flow run that answers for the batch.
    """

    def __init__(self, ledger: "Ledger", rows: RowFile, folder: Path, *, owner: str) -> None:
        self._ledger, self._rows, self._folder, self._owner = ledger, rows, folder, owner
        self._desks = asyncio.Semaphore(AT_ONCE)

    async def finish(self, number: int, ending: Ending) -> BatchRow | Entry | None:
        """Act on the end of a render.

        Returns:
            The outcome of the row; or the entry, when it must be followed further; or None, when nothing is under way
            any more and the row is to be begun anew.

        Raises:
            StudioError: why it has no video.
        """
        entry = await self._ledger.get(ending.entry_id)
        if ending.kind == "ended" and ending.status is not None:
            result = await note_outcome(self._ledger, entry, ending.status, self._owner)
            return await self._archive(number, entry, result)
        if isinstance(ending.error, JobUnknown):
            raise await denied(self._ledger, entry, ending.error, self._owner)
        if ending.kind == "moved" or entry.state is not State.SUBMITTED:
            return await self._after_others(number, entry)
        if ending.error is not None and not isinstance(ending.error, ProviderRejected):
            # The scheduler broke, which says nothing about the render.
            log.warning("followed again row=%d error=%r", number, ending.error)
            return entry
        # Whoever comes next need not wait for this run.
        await self._ledger.let_go(entry.id, self._owner)
        if ending.error is not None:
            raise ending.error
        raise StillRunning(
            f"{entry.provider} job {entry.job_id} is still {ending.word or 'under way'}.",
            provider=entry.provider,
            job_id=entry.job_id or "",
            fix="Nothing is lost: run the same batch again and it goes on waiting for this job.",
        )

    async def _after_others(self, number: int, entry: Entry) -> BatchRow | Entry | None:
        """Another run, a notice or a person has changed the row."""
        if entry.state is State.SUCCEEDED:
            entry = await after_archiving(self._ledger, entry, self._owner)
        if entry.state in {State.SUCCEEDED, State.ARCHIVED}:
            return await self._archive(number, entry, None)
        if entry.state is State.SUBMITTED:
            return entry
        if entry.state is State.AMBIGUOUS:
            raise ambiguous(entry)
        if entry.is_open:
            return None
        raise ended_by_another(entry)

    async def _archive(self, number: int, entry: Entry, result: ResultFile | None) -> BatchRow:
        async with self._desks:
            with TemporaryDirectory(dir=self._folder) as folder:
                record = await archive_original(entry, result, Path(folder))
                delivery = self._delivery(number, entry)
                finished = await hand_out(record, plan_of_entry(entry), delivery, Path(folder))
        return row_of_video(number, self._owner, finished, RowState.DONE, entry)

    def _delivery(self, number: int, entry: Entry) -> Delivery:
        """As this row asks for it; from what it was made is known with the submission."""
        request, kept = self._rows.request(number), delivery_of_entry(entry)
        media = kept.media if kept else []
        return Delivery(title=request.title, tags=request.tags, labels=request.labels, media=media)
