"""The ledger itself: every change is a compare-and-set in its own transaction."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self
from uuid import UUID, uuid4

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.batches import LedgerBatches
from tasks.ledger.calls import LedgerCalls
from tasks.ledger.capacity import check_capacity
from tasks.ledger.changing import LedgerChanges
from tasks.ledger.claims import LedgerClaims
from tasks.ledger.database import Database
from tasks.ledger.models import Entry, Intent, Limits
from tasks.ledger.noting import LedgerNotes
from tasks.ledger.part import utc_now
from tasks.ledger.polling import LedgerPolls
from tasks.ledger.reserving import insert_reservation
from tasks.ledger.states import State
from tasks.ledger.streams import LedgerStreams
from tasks.ledger.upgrade import upgrade

_NO_LIMITS = Limits()


class Ledger(LedgerChanges, LedgerNotes, LedgerPolls, LedgerCalls, LedgerBatches, LedgerClaims, LedgerStreams):
    """The durable table of submissions; one object serves all coroutines of a process's event loop.

    Changes survive a cancelled caller and a database that is away for less than ``patience`` seconds. Each
    change names the state it expects and raises ``StateConflict`` if the row is in another, except when it
    finds its own work done: a repeat after a lost answer is harmless.
    """

    @classmethod
    async def open(cls, url: str, *, patience: float = 60, clock: Callable[[], datetime] = utc_now) -> Self:
        """Connect, and bring the tables to this version; safe under concurrent starts.

        Args:
            url: SQLAlchemy URL with the driver ``aiosqlite`` or ``asyncpg``.
            patience: seconds to go on trying while the database is away, here and in every later call.
            clock: gives the present moment, aware.

        Raises:
            StudioUnavailable: no answer, a wrong URL, or tables newer than this version.
        """
        database = Database(url, patience=patience)
        try:
            await database.prepare()
            await upgrade(database)
        except BaseException:
            await database.close()
            raise
        return cls(database, clock=clock)

    async def close(self) -> None:
        """Close every connection."""
        await self._database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def reserve(self, intent: Intent, *, owner: str, limits: Limits = _NO_LIMITS) -> tuple[Entry, bool]:
        """Reserve a render before anything is uploaded or paid.

        Args:
            intent: what is to be submitted.
            owner: flow run or batch; the cap of a run counts what was reserved under this name.
            limits: caps that a new row must keep, however many processes reserve at once.

        Returns:
            The row that holds the render key, and whether this call made it. Of many racing callers exactly
            one is told True. A failed or cancelled render is reserved again as its next attempt.

        Raises:
            BudgetExceeded: a cap would be broken, or the cost is unknown and there is a cap; nothing was reserved.
        """
        held = await self.find(intent.render_key)
        if held and held.is_open and held.state is not State.RESERVED:
            return held, False
        entry_id, change_id = uuid4(), uuid4()

        async def work(connection: AsyncConnection) -> Entry:
            return await insert_reservation(
                connection, intent, limits, owner=owner, entry_id=entry_id, change_id=change_id, now=self._clock()
            )

        entry = await self._database.write(work)
        return entry, entry.id == entry_id

    async def mark_submitting(
        self, entry_id: UUID, owner: str, *, inputs: Mapping[str, str] | None = None, most: int | None = None
    ) -> Entry:
        """Take the right to submit, directly before the submission leaves; only one caller gets it.

        Args:
            entry_id: the row.
            owner: who submits.
            inputs: references to the uploaded media, by role; None keeps the old ones.
            most: how many renders of this provider, account and endpoint may be under way (submitting, submitted or
                ambiguous) at once, this one among them, however many processes submit; None means any number.

        Raises:
            AtCapacity: so many are under way; the row stays reserved.
        """
        values: dict[str, Any] = {} if inputs is None else {"inputs": dict(inputs)}
        check = None if most is None else partial(check_capacity, entry_id=entry_id, most=most)
        return await self._change(entry_id, State.RESERVED, State.SUBMITTING, values, owner=owner, check=check)

    async def mark_submitted(
        self, entry_id: UUID, job_id: str, *, owner: str | None = None, since: datetime | None = None
    ) -> Entry:
        """Store the provider's job id, before the first poll.

        Args:
            entry_id: the row.
            job_id: as the provider gave it.
            owner: who got it.
            since: the ``updated_at`` of this very submission, to leave a later one of the row alone; so below, too.

        Raises:
            LedgerConflict: another submission at the same endpoint has this job id.
        """
        values = {"job_id": job_id, "submitted_at": self._clock(), "unfinished_at": None, "reason": ""}
        return await self._change(entry_id, State.SUBMITTING, State.SUBMITTED, values, owner=owner, since=since)

    async def mark_succeeded(
        self,
        entry_id: UUID,
        result: dict[str, JsonValue],
        *,
        owner: str | None = None,
    ) -> Entry:
        """Store the provider's result."""
        values = {"result": result, "succeeded_at": self._clock(), "next_poll_at": None}
        return await self._change(entry_id, State.SUBMITTED, State.SUCCEEDED, values, owner=owner)

    async def mark_archived(self, entry_id: UUID, location: str, *, owner: str | None = None) -> Entry:
        """Store where the video is in the archive."""
        values = {"location": location, "archived_at": self._clock()}
        return await self._change(entry_id, State.SUCCEEDED, State.ARCHIVED, values, owner=owner)

    async def mark_archive_lost(self, entry_id: UUID, reason: str, *, owner: str | None = None) -> Entry:
        """Note that the archive no longer has the video, so that it is fetched again, or rendered again."""
        values = {"location": None, "archived_at": None, "reason": reason}
        return await self._change(entry_id, State.ARCHIVED, State.SUCCEEDED, values, owner=owner)

    async def mark_failed(
        self,
        entry_id: UUID,
        reason: str,
        *,
        charged: bool | None,
        expected: State,
        owner: str | None = None,
        since: datetime | None = None,
    ) -> Entry:
        """End without a video; ``charged`` None means that nobody knows whether it cost money."""
        values = _end(reason, charged, expected)
        return await self._change(entry_id, expected, State.FAILED, values, owner=owner, since=since)

    async def mark_cancelled(
        self,
        entry_id: UUID,
        reason: str,
        *,
        charged: bool | None,
        expected: State,
        owner: str | None = None,
        since: datetime | None = None,
    ) -> Entry:
        """Give up on a person's word; an ambiguous row is given up by ``settle`` only."""
        values = _end(reason, charged, expected)
        return await self._change(entry_id, expected, State.CANCELLED, values, owner=owner, since=since)

    async def mark_ambiguous(self, entry: Entry, note: str, *, owner: str | None = None) -> Entry:
        """Note that this very submission, not a later one of the row, left and no answer came."""
        values = {"reason": note}
        since = entry.updated_at
        return await self._change(entry.id, State.SUBMITTING, State.AMBIGUOUS, values, owner=owner, since=since)

    async def mark_denied(self, entry_id: UUID, note: str, *, owner: str | None = None) -> Entry:
        """Note that the provider does not know the job of an accepted submission; the id is kept."""
        return await self._change(entry_id, State.SUBMITTED, State.AMBIGUOUS, {"reason": note}, owner=owner)

    async def release(self, entry: Entry, note: str, *, owner: str | None = None) -> Entry:
        """Give back this very right to submit, not a later one of the row: it surely never left, or was refused."""
        values = {"reason": note}
        since = entry.updated_at
        return await self._change(entry.id, State.SUBMITTING, State.RESERVED, values, owner=owner, since=since)

    async def settle(
        self,
        entry_id: UUID,
        to: Literal[State.SUBMITTED, State.RESERVED, State.CANCELLED],
        *,
        owner: str,
        note: str,
        job_id: str | None = None,
        charged: bool | None = None,
        since: datetime | None = None,
    ) -> Entry:
        """Settle an ambiguous row by what a look-up or a person found: accepted as a job, resubmit, or abandon.

        Args:
            entry_id: the row.
            to: what was found.
            owner: who settles it.
            note: how it was found, for people.
            job_id: the provider's id, exactly with ``SUBMITTED``.
            charged: whether it cost money, for ``CANCELLED`` only; None means that nobody knows.
            since: the ``updated_at`` of this very submission, to leave a later one of the row alone.

        Raises:
            LedgerConflict: another submission at the same endpoint has this job id.
        """
        if (to is State.SUBMITTED) != (job_id is not None):
            raise ValueError("a job id goes with submitted, and with nothing else")
        if charged is not None and to is not State.CANCELLED:
            raise ValueError("whether it cost money is said when it is abandoned")
        values: dict[str, Any] = {"reason": note}
        if to is State.RESERVED:
            # A job that its provider denied is none of the next submission's.
            values["job_id"] = None
        if job_id is not None:
            values |= {"job_id": job_id, "submitted_at": self._clock(), "unfinished_at": None}
        if charged is not None:
            values |= {"charged": charged}
        return await self._change(entry_id, State.AMBIGUOUS, to, values, owner=owner, since=since)


def _end(reason: str, charged: bool | None, before: State) -> dict[str, Any]:  # noqa: FBT001 - private, three facts
    values: dict[str, Any] = {"reason": reason, "next_poll_at": None}
    if before is State.RESERVED:
        # It never left, so it cost nothing, unless a person who had it submitted again says otherwise.
        return values | {"charged": bool(charged)}
    # Who does not know takes nothing back from a provider that said so.
    return values if charged is None else values | {"charged": charged}
