"""Reading the ledger: rows, history, sums, and waiting for a change."""

import asyncio
import random
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.errors import StillRunning
from tasks.ledger import finding
from tasks.ledger.breakers import find_breaker
from tasks.ledger.budget import sum_committed
from tasks.ledger.costs import find_latest_charge, sum_costs
from tasks.ledger.hints import list_hints
from tasks.ledger.models import Breaker, Committed, CostLine, Entry, Event
from tasks.ledger.part import LedgerPart
from tasks.ledger.rows import chunks_of, find_entry, find_latest
from tasks.ledger.schema import events, submissions
from tasks.ledger.states import State

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class LedgerReader(LedgerPart):
    """Everything that can be asked about submissions and their costs."""

    async def get(self, entry_id: UUID) -> Entry:
        """Read one row; ``LedgerConflict`` if there is none."""
        return await self._database.read(lambda connection: find_entry(connection, entry_id))

    async def find(self, render_key: str) -> Entry | None:
        """Read the latest attempt at a render."""
        return await self._database.read(lambda connection: find_latest(connection, render_key))

    async def get_many(self, ids: Collection[UUID]) -> dict[UUID, Entry]:
        """Read many rows; ids without a row are left out."""
        found = await self._chunks(finding.select_ids, ids)
        return {entry.id: entry for entry in found}

    async def find_many(self, render_keys: Collection[str]) -> dict[str, Entry]:
        """Read the latest attempts at many renders, by render key; keys without a row are left out."""
        found = await self._chunks(finding.select_latest, render_keys)
        return {entry.render_key: entry for entry in found}

    async def find_last_reserved(self, provider: str, owners: Collection[str]) -> dict[str, Entry]:
        """Read the newest row that each flow run reserved at a provider, by run; runs without a row are left out."""
        found = await self._chunks(lambda chunk: finding.select_reserved_by(provider, chunk), owners)
        return {entry.reserved_by: entry for entry in found}

    async def find_order(self, provider: str, order_id: str) -> Entry | None:
        """The attempt that an order id names: the first 24 digits of the render key, a hyphen and the attempt."""
        query = finding.select_order(provider, order_id)
        return None if query is None else next(iter(await self._entries(query)), None)

    async def find_job(self, provider: str, job_id: str) -> Entry | None:
        """The submission that got a job id; the latest where several endpoints gave the same."""
        return next(iter(await self._entries(finding.select_job(provider, job_id))), None)

    async def matching(self, prefix: str, *, limit: int = 100) -> list[Entry]:
        """Latest attempts of the renders whose key begins with at least 6 hex digits; ``ValueError`` on others."""
        return await self._entries(finding.select_matching(prefix, limit))

    async def in_states(
        self,
        states: Collection[State],
        *,
        provider: str | None = None,
        without: Collection[str] = (),
        limit: int = 1000,
    ) -> list[Entry]:
        """Rows in some states, the longest untouched first; here and below, none of the providers in ``without``."""
        return await self._entries(finding.select_in_states(states, provider, without, limit))

    async def unattended(
        self, older_than: timedelta, *, without: Collection[str] = (), limit: int = 1000
    ) -> list[Entry]:
        """Unfinished rows that nobody has touched for a while and nobody means to poll soon, oldest first."""
        return await self._entries(finding.select_unattended(self._clock() - older_than, without, limit))

    async def archived_since(self, since: datetime, *, without: Collection[str] = (), limit: int = 1000) -> list[Entry]:
        """Rows that came into the archive since a moment, newest first."""
        return await self._entries(finding.select_archived_since(since, without, limit))

    async def stale(
        self, state: State, older_than: timedelta, *, without: Collection[str] = (), limit: int = 1000
    ) -> list[Entry]:
        """Rows that have been in a state for longer than a while, oldest first."""
        return await self._entries(finding.select_stale(state, self._clock() - older_than, without, limit))

    async def has_changed(self, provider: str, *, within: timedelta) -> bool:
        """Whether any row of a provider has changed lately."""
        return bool(await self._entries(finding.select_changed(provider, self._clock() - within)))

    async def due(self, provider: str, *, limit: int = 1000) -> list[Entry]:
        """Accepted renders whose next poll has come, most overdue first."""
        return await self._entries(finding.select_due(provider, self._clock(), limit))

    async def history(self, render_key: str) -> list[Event]:
        """Every change of every attempt at a render, in order."""
        query = (
            select(events, submissions.c.attempt)
            .join(submissions, submissions.c.id == events.c.submission_id)
            .where(submissions.c.render_key == render_key)
            .order_by(events.c.id)
        )

        async def work(connection: AsyncConnection) -> list[Event]:
            found = (await connection.execute(query)).mappings()
            return [Event.model_validate({name: row[name] for name in Event.model_fields}) for row in found]

        return await self._database.read(work)

    async def costs(self, *, since: datetime | None = None) -> list[CostLine]:
        """Costs by month, provider, account and unit, with what no submission explains."""
        return await self._database.read(lambda connection: sum_costs(connection, since))

    async def latest_charge(self, provider: str, account: str) -> datetime | None:
        """When the provider's books, as far as they are known, last took money from an account."""
        return await self._database.read(lambda connection: find_latest_charge(connection, provider, account))

    async def committed(self, provider: str) -> list[Committed]:
        """What counts against the monthly cap of each account of a provider now, by unit."""
        return await self._database.read(lambda connection: sum_committed(connection, provider, self._clock()))

    async def hints(self, provider: str, order_id: str) -> list[str]:
        """Job ids that notices named for an order, oldest first."""
        return await self._database.read(lambda connection: list_hints(connection, provider, order_id))

    async def breaker(self, provider: str, endpoint: str) -> Breaker | None:
        """The circuit breaker of an endpoint; None while nothing is wrong."""
        return await self._database.read(lambda connection: find_breaker(connection, provider, endpoint))

    async def wait_change(self, entry_id: UUID, since: State, *, deadline: float) -> Entry:
        """Wait until a row has left a state: for the loser of a race, who must not submit.

        Args:
            entry_id: the row.
            since: the state it was last seen in.
            deadline: seconds to wait at most.

        Raises:
            StillRunning: it is still in that state at the deadline.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        pause = _FIRST_PAUSE
        while (entry := await self.get(entry_id)).state == since:
            left = end - loop.time()
            if left <= 0:
                raise StillRunning(
                    f"render {entry.short_key} has been {since} for more than {deadline:.0f} s "
                    f"in the hands of {entry.owner}.",
                    provider=entry.provider,
                    job_id=entry.job_id or "",
                    fix="Run the same request again: it resumes and pays for nothing twice.",
                )
            await asyncio.sleep(min(left, pause * random.uniform(0.5, 1.5)))  # noqa: S311 - jitter, not secrecy
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return entry

    async def _entries(self, query: Select[Any]) -> list[Entry]:
        async def work(connection: AsyncConnection) -> list[Entry]:
            return [Entry.model_validate(dict(row)) for row in (await connection.execute(query)).mappings()]

        return await self._database.read(work)

    async def _chunks(self, query: Callable[[Collection[Any]], Select[Any]], wanted: Collection[Any]) -> list[Entry]:
        async def work(connection: AsyncConnection) -> list[Entry]:
            return [
                Entry.model_validate(dict(row))
                for chunk in chunks_of(wanted)
                for row in (await connection.execute(query(chunk))).mappings()
            ]

        return await self._database.read(work)
