"""Following accepted renders by the thousand: what moved, what is due, when each is asked about next."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CompoundSelect, Select, bindparam, func, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.batch_models import Duration, PollPlan, Tick
from tasks.ledger.part import LedgerPart
from tasks.ledger.rows import chunks_of
from tasks.ledger.schema import submissions
from tasks.ledger.states import State

SKEW = timedelta(seconds=60)
"""How far the clocks of notices and of whoever looks for them may differ; what is overdue for longer is no news."""

_rows = submissions.c
_TICK = select(_rows.id, _rows.state, _rows.owner, _rows.next_poll_at, _rows.updated_at)
_STATES: Mapping[str, State] = {state.value: state for state in State}
_seen, _now, _skewed = (bindparam(name, type_=_rows.next_poll_at.type) for name in ("seen", "now", "skewed"))
_IS_HEARD = or_(
    _seen.is_(None),
    _rows.next_poll_at.is_(None),
    _rows.next_poll_at == _seen,
    # Only a moment that has just come is news; another run's plan is not, and neither is what is long overdue.
    _rows.next_poll_at > _now,
    _rows.next_poll_at < _skewed,
)
_PLAN = (
    update(submissions)
    .where(_rows.id == bindparam("entry"), _rows.state == State.SUBMITTED, _IS_HEARD)
    .values(next_poll_at=bindparam("at"), unfinished_at=func.coalesce(bindparam("unfinished"), _rows.unfinished_at))
)


class LedgerPolls(LedgerPart):
    """The poll scheduler's side of the ledger: light rows, and one transaction for many."""

    async def ticks(self, ids: Collection[UUID]) -> dict[UUID, Tick]:
        """Read where many rows stand; ids without a row are left out."""

        async def work(connection: AsyncConnection) -> dict[UUID, Tick]:
            found: dict[UUID, Tick] = {}
            for chunk in chunks_of(ids):
                found |= {row.id: _tick(row) for row in await connection.execute(_TICK.where(_rows.id.in_(chunk)))}
            return found

        return await self._database.read(work)

    async def news(self, provider: str, endpoint: str, *, since: datetime) -> list[Tick]:
        """What changed at an endpoint at or after a moment, and its accepted renders whose next poll has just come."""
        query = select_news(provider, endpoint, since, self._clock())

        async def work(connection: AsyncConnection) -> list[Tick]:
            # What both changed and is due is found twice.
            return list({row.id: _tick(row) for row in await connection.execute(query)}.values())

        return await self._database.read(work)

    async def durations(self, provider: str, mode: str, *, limit: int = 200) -> list[Duration]:
        """How long the latest successes of a provider's mode took, the newest first."""
        query = select_durations(provider, mode, limit)

        async def work(connection: AsyncConnection) -> list[Duration]:
            return [_duration(row) for row in await connection.execute(query)]

        return await self._database.read(work)

    async def plan_polls(self, plans: Sequence[PollPlan]) -> None:
        """Plan the next polls of accepted renders, all in one transaction; other rows are left alone.

        Args:
            plans: an ``unfinished_at`` of None keeps what is stored. One that crosses a notice, which its ``seen``
                does not know of, changes nothing.
        """
        now = self._clock()
        # In one order, so that two processes that follow the same renders cannot block each other.
        values = [
            {
                "entry": plan.id,
                "at": plan.at,
                "unfinished": plan.unfinished_at,
                "seen": plan.seen,
                "now": now,
                "skewed": now - SKEW,
            }
            for plan in sorted(plans, key=lambda plan: plan.id)
        ]
        if values:
            await self._database.write(lambda connection: connection.execute(_PLAN, values))

    async def set_next_poll(self, entry_id: UUID, at: datetime) -> None:
        """Plan the next poll of an accepted render; a webhook plans it for now."""
        await self.plan_polls([PollPlan(entry_id, at, None)])

    async def let_go(self, entry_id: UUID, owner: str) -> None:
        """Stop caring for a row: whoever wants its render next need not wait for this owner."""
        statement = (
            update(submissions).where(_rows.id == entry_id, _rows.owner == owner).values(owner="", next_poll_at=None)
        )
        await self._database.write(lambda connection: connection.execute(statement))


def select_news(provider: str, endpoint: str, since: datetime, now: datetime) -> CompoundSelect[Any]:
    """Two parts, as each has an index and an OR of both would read all rows of the provider."""
    there = (_rows.provider == provider, _rows.endpoint == endpoint)
    return union_all(
        _TICK.where(*there, _rows.updated_at >= since),
        _TICK.where(*there, _rows.next_poll_at.between(since - SKEW, now), _rows.state == State.SUBMITTED),
    )


def select_durations(provider: str, mode: str, limit: int) -> Select[Any]:
    """Successes whose submission is on record too, the newest first."""
    return (
        select(_rows.work, _rows.submitted_at, _rows.unfinished_at, _rows.succeeded_at)
        .where(
            _rows.provider == provider,
            _rows.mode == mode,
            _rows.succeeded_at.is_not(None),
            _rows.submitted_at.is_not(None),
        )
        .order_by(_rows.succeeded_at.desc())
        .limit(limit)
    )


def _tick(row: Sequence[Any]) -> Tick:
    entry_id, state, owner, next_poll_at, updated_at = row
    return Tick(entry_id, _STATES[state], owner, next_poll_at, updated_at)


def _duration(row: Sequence[Any]) -> Duration:
    work, submitted_at, unfinished_at, succeeded_at = row
    finished = max(0.0, (succeeded_at - submitted_at).total_seconds())
    unfinished = (unfinished_at - submitted_at).total_seconds() if unfinished_at else 0.0
    # The moments may come from the clocks of two machines.
    return Duration(work, min(max(0.0, unfinished), finished), finished)
