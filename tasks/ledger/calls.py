"""How often all processes of the studio together may ask a provider: a generic cell rate algorithm in the database."""

import time
from math import floor

from sqlalchemy import ColumnElement, Double, case, cast, func, literal
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.batch_models import CallSlots
from tasks.ledger.part import LedgerPart
from tasks.ledger.rows import insert_or
from tasks.ledger.schema import rates

_LONGEST_QUEUE_SECONDS = 120.0
"""Nobody is that far ahead, unless the clock was set back: then the count begins anew."""


class LedgerCalls(LedgerPart):
    """Shared rates of calls."""

    async def take_calls(self, provider: str, endpoint: str, wanted: int, per_second: float) -> CallSlots:
        """Take the next free slots for calls, at most those of one second, so that all processes share the rate.

        Slots whose commit answer was lost stay unused: the rate is kept, a little time is lost.

        Args:
            provider: whom to ask.
            endpoint: where.
            wanted: how many calls there are to be made, at least 1.
            per_second: most calls a second by everybody together.

        Returns:
            The slots: ``1 / per_second`` apart, the first at ``begin``.
        """
        if wanted < 1 or per_second <= 0:
            raise ValueError(f"{wanted} calls at {per_second} a second: both must be more than 0")
        calls = min(wanted, max(1, floor(per_second)))

        async def work(connection: AsyncConnection) -> tuple[float, float]:
            ahead = await _queue(connection, provider, endpoint, calls / per_second)
            return ahead, time.monotonic()

        ahead, told_at = await self._database.write(work)
        # The commit took time, too.
        return CallSlots(calls, max(0.0, ahead - (time.monotonic() - told_at)))


async def _queue(connection: AsyncConnection, provider: str, endpoint: str, span: float) -> float:
    """Move the next free moment on by a span, in seconds; returns how far from now it was."""
    now = _now(connection)
    new = insert_or(connection, rates).values(provider=provider, endpoint=endpoint, next_at=now + span)
    free_at = case((rates.c.next_at.between(now, now + _LONGEST_QUEUE_SECONDS), rates.c.next_at), else_=now)
    statement = new.on_conflict_do_update(
        index_elements=[rates.c.provider, rates.c.endpoint], set_={"next_at": free_at + span}
    )
    ahead: float = (await connection.execute(statement.returning(rates.c.next_at - span - now))).scalar_one()
    return ahead


def _now(connection: AsyncConnection) -> ColumnElement[float]:
    """Seconds since 1970 by one clock for all: the database's, or this machine's where it is a file of this machine."""
    if connection.dialect.name == "postgresql":
        # Not now(), which is when the transaction began, before it waited for its turn.
        return cast(func.extract("epoch", func.clock_timestamp()), Double)
    return literal(time.time(), Double)
