"""One circuit breaker per provider and endpoint, shared by every process of the studio.

It opens at the fifth trouble in a row, for a minute. When its time is over one call is a trial: a success closes it, a
trouble opens it again for twice as long, up to a quarter of an hour.
"""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.models import Breaker
from tasks.ledger.rows import insert_or, wait_turn
from tasks.ledger.schema import breakers

FAILURES_TO_OPEN = 5
FIRST_OPEN = timedelta(seconds=60)
LONGEST_OPEN = timedelta(minutes=15)


async def find_breaker(connection: AsyncConnection, provider: str, endpoint: str) -> Breaker | None:
    """Read the breaker; None means that nothing is wrong."""
    query = select(breakers).where(breakers.c.provider == provider, breakers.c.endpoint == endpoint)
    found = (await connection.execute(query)).mappings().first()
    return Breaker.model_validate(dict(found)) if found else None


async def count_trouble(
    connection: AsyncConnection, provider: str, endpoint: str, reason: str, now: datetime, *, is_trial: bool
) -> Breaker:
    """Count one more trouble; while the breaker is open, calls that were under way change nothing, a trial does."""
    await wait_turn(connection, "breaker", provider, endpoint)
    before = await find_breaker(connection, provider, endpoint)
    if before and before.is_open(now) and not is_trial:
        return before
    after = _next(before, provider, endpoint, reason, now)
    statement = insert_or(connection, breakers).values(after.model_dump())
    changed = {name: statement.excluded[name] for name in ("failures", "opened_at", "open_until", "reason")}
    await connection.execute(
        statement.on_conflict_do_update(index_elements=[breakers.c.provider, breakers.c.endpoint], set_=changed)
    )
    return after


async def win_trial(connection: AsyncConnection, seen: Breaker, now: datetime) -> bool:
    """Whether this call is the one that tries; the breaker stays open for the others meanwhile."""
    statement = (
        update(breakers)
        .where(
            breakers.c.provider == seen.provider,
            breakers.c.endpoint == seen.endpoint,
            breakers.c.open_until == seen.open_until,
        )
        .values(open_until=now + FIRST_OPEN)
    )
    return (await connection.execute(statement)).rowcount == 1


async def close_breaker(connection: AsyncConnection, provider: str, endpoint: str) -> None:
    """Forget all troubles."""
    await connection.execute(delete(breakers).where(breakers.c.provider == provider, breakers.c.endpoint == endpoint))


def _next(before: Breaker | None, provider: str, endpoint: str, reason: str, now: datetime) -> Breaker:
    failures = before.failures + 1 if before else 1
    opened_at = before.opened_at if before else None
    open_until = None
    if failures >= FAILURES_TO_OPEN:
        opened_at = opened_at or now
        # The exponent is capped because a year of troubles would make a number too large for a time.
        open_until = now + min(LONGEST_OPEN, FIRST_OPEN * 2 ** min(failures - FAILURES_TO_OPEN, 10))
    return Breaker(
        provider=provider,
        endpoint=endpoint,
        failures=failures,
        opened_at=opened_at,
        open_until=open_until,
        reason=reason,
    )
