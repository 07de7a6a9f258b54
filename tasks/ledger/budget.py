"""The caps on what a month and a run may cost, kept in the transaction that reserves.

Committed is what was charged, or else estimated, for everything that is under way or ended at a price. Money that a
provider took and no submission explains counts for the month. A cap speaks the unit of the intent; other units are
left out, as nobody knows the rate.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from sqlalchemy import ColumnElement, case, func, or_, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.models import BudgetExceeded, Committed, Intent, Limits
from tasks.ledger.rows import wait_turn
from tasks.ledger.schema import IS_OPEN, charges, submissions
from tasks.ledger.states import OPEN, State

_ZERO = Decimal(0)
_YET_TO_BE_PAID = (State.AMBIGUOUS, State.RESERVED, State.SUBMITTING)
_rows = submissions.c


async def wait_turn_at(connection: AsyncConnection, intent: Intent, limits: Limits) -> None:
    """Reserve one at a time at an account that has caps; call it before anything is read."""
    if limits.month is not None or limits.run is not None:
        await wait_turn(connection, "budget", intent.provider, intent.account)


async def check_limits(connection: AsyncConnection, intent: Intent, limits: Limits, owner: str, now: datetime) -> None:
    """Refuse what would bring the month or the run above its cap. What surely costs nothing always passes.

    Raises:
        BudgetExceeded: with the figures; also when the cost is unknown, as then the cap could not be kept.
    """
    if limits.month is not None:
        _refuse_above(intent, "month", limits.month, await _this_month(connection, intent, now))
    if limits.run is not None:
        _refuse_above(intent, "run", limits.run, await _this_run(connection, intent, owner))


async def sum_committed(connection: AsyncConnection, provider: str, now: datetime) -> list[Committed]:
    """What each account of a provider has committed this UTC month, by unit, in that order."""
    start = month_start(now)
    of_submissions = (
        select(_rows.account, func.coalesce(_rows.unit, "").label("currency"), _amount())
        .where(_counts(), _paid_since(provider, start))
        .group_by(_rows.account, "currency")
    )
    of_charges = (
        select(charges.c.account, charges.c.unit, func.sum(charges.c.amount))
        .where(charges.c.provider == provider, charges.c.submission_id.is_(None), charges.c.at >= start)
        .group_by(charges.c.account, charges.c.unit)
    )
    sums: dict[tuple[str, str], Decimal] = {}
    for query in (of_submissions, of_charges):
        for account, currency, amount in await connection.execute(query):
            sums[account, currency] = sums.get((account, currency), _ZERO) + (amount or _ZERO)
    return [
        Committed(provider=provider, account=account, unit=currency, amount=amount)
        for (account, currency), amount in sorted(sums.items())
    ]


def month_start(now: datetime) -> datetime:
    """When the UTC calendar month of a moment began."""
    return now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _refuse_above(intent: Intent, cap: Literal["month", "run"], limit: Decimal, committed: Decimal) -> None:
    if intent.estimate is None or (intent.estimate > 0 and committed + intent.estimate > limit):
        raise BudgetExceeded(intent, cap, limit, committed)


async def _this_month(connection: AsyncConnection, intent: Intent, now: datetime) -> Decimal:
    sums = await sum_committed(connection, intent.provider, now)
    return sum(
        (line.amount for line in sums if (line.account, line.unit) == (intent.account, intent.unit or "")), _ZERO
    )


async def _this_run(connection: AsyncConnection, intent: Intent, owner: str) -> Decimal:
    unit = func.coalesce(_rows.unit, "").label("currency")
    # Asked for the owner alone: with the provider in the condition, SQLite prefers an index that serves worse.
    query = (
        select(_rows.provider, _rows.account, unit, _amount())
        .where(_rows.reserved_by == owner, _counts())
        .group_by(_rows.provider, _rows.account, "currency")
    )
    wanted = (intent.provider, intent.account, intent.unit or "")
    return sum((row[3] or _ZERO for row in await connection.execute(query) if tuple(row[:3]) == wanted), _ZERO)


def _amount() -> ColumnElement[Decimal]:
    amount = func.coalesce(_rows.charge, _rows.estimate)
    # A provider's word for a negative price must not make room for other renders.
    return func.sum(case((amount > 0, amount), else_=0))


def _counts() -> ColumnElement[bool]:
    return or_(_rows.state.in_(sorted(OPEN)), _rows.charged.is_(None), _rows.charged.is_(True))


def _paid_since(provider: str, start: datetime) -> ColumnElement[bool]:
    """Paid since then, or on its way to be paid, since whenever."""
    ids = select(_rows.id)
    # Each part has an index, the last one a partial index whose condition it repeats; a plain OR of all three would
    # read through everything that the provider ever rendered.
    return _rows.id.in_(
        union(
            ids.where(_rows.provider == provider, _rows.created_at >= start),
            ids.where(_rows.provider == provider, _rows.submitted_at >= start),
            ids.where(_rows.provider == provider, _rows.state.in_(_YET_TO_BE_PAID), IS_OPEN),
        )
    )
