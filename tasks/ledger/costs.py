"""Sums of money over the ledger; what cannot be assigned is shown, not dropped."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.models import Charge, CostLine
from tasks.ledger.rows import insert_or
from tasks.ledger.schema import charges, submissions
from tasks.ledger.states import State

_ZERO = Decimal(0)


async def record_charge(connection: AsyncConnection, charge: Charge) -> None:
    """Note a charge under its reference; a repeat may assign it to a submission, and never takes that back."""
    values = charge.model_dump()
    statement = insert_or(connection, charges).values(values)
    assigned = func.coalesce(statement.excluded.submission_id, charges.c.submission_id)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[charges.c.provider, charges.c.account, charges.c.reference],
            set_={"amount": statement.excluded.amount, "submission_id": assigned},
        )
    )
    if charge.submission_id is None:
        return
    paid_for = submissions.c.id == charge.submission_id
    await connection.execute(update(submissions).where(paid_for).values(charged=True))
    total = select(func.sum(charges.c.amount)).where(charges.c.submission_id == charge.submission_id)
    # A charge in another unit than the estimate is shown by itself: the caps speak the unit of the estimate.
    same_unit = or_(submissions.c.unit.is_(None), submissions.c.unit == charge.unit)
    await connection.execute(
        update(submissions).where(paid_for, same_unit).values(charge=total.scalar_subquery(), unit=charge.unit)
    )


async def find_latest_charge(connection: AsyncConnection, provider: str, account: str) -> datetime | None:
    """The moment of the newest charge of an account."""
    query = select(func.max(charges.c.at)).where(charges.c.provider == provider, charges.c.account == account)
    latest: datetime | None = await connection.scalar(query)
    return latest


async def sum_costs(connection: AsyncConnection, since: datetime | None) -> list[CostLine]:
    """Sum by month, provider, account and unit, in that order."""
    lines: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for row in await _submission_sums(connection, since):
        lines[_key(row)] = {name: row[name] or _ZERO for name in ("charged", "expected")} | {
            "renders": row["renders"],
            "unpriced": row["unpriced"] or 0,
        }
    for row in await _unassigned_sums(connection, since):
        lines.setdefault(_key(row), {"charged": _ZERO, "expected": _ZERO, "renders": 0, "unpriced": 0})
        lines[_key(row)]["unassigned"] = row["unassigned"]
    return [
        CostLine(month=month, provider=provider, account=account, unit=unit, **({"unassigned": _ZERO} | sums))
        for (month, provider, account, unit), sums in sorted(lines.items())
    ]


async def _submission_sums(connection: AsyncConnection, since: datetime | None) -> Sequence[Mapping[Any, Any]]:
    rows = submissions.c
    paid_at = func.coalesce(rows.submitted_at, rows.created_at)
    known = rows.charge.is_not(None)
    query = select(
        _month(connection, paid_at).label("month"),
        rows.provider,
        rows.account,
        func.coalesce(rows.unit, "").label("currency"),
        func.count().label("renders"),
        func.sum(rows.charge).label("charged"),
        func.sum(case((known, None), else_=rows.estimate)).label("expected"),
        func.sum(case((or_(known, rows.estimate.is_not(None)), 0), else_=1)).label("unpriced"),
    ).where(
        # Whatever is not known to be free may have cost something once it was about to leave.
        or_(rows.charged.is_(True), and_(rows.charged.is_(None), rows.state != State.RESERVED)),
        *([paid_at >= since] if since else []),
    )
    grouped = query.group_by("month", rows.provider, rows.account, "currency")
    return (await connection.execute(grouped)).mappings().all()


async def _unassigned_sums(connection: AsyncConnection, since: datetime | None) -> Sequence[Mapping[Any, Any]]:
    query = (
        select(
            _month(connection, charges.c.at).label("month"),
            charges.c.provider,
            charges.c.account,
            charges.c.unit.label("currency"),
            func.sum(charges.c.amount).label("unassigned"),
        )
        .outerjoin(submissions, submissions.c.id == charges.c.submission_id)
        # Also what was paid for a render in another unit than its estimate.
        .where(
            or_(charges.c.submission_id.is_(None), submissions.c.unit != charges.c.unit),
            *([charges.c.at >= since] if since else []),
        )
        .group_by("month", charges.c.provider, charges.c.account, "currency")
    )
    return (await connection.execute(query)).mappings().all()


def _month(connection: AsyncConnection, moment: ColumnElement[datetime]) -> ColumnElement[str]:
    if connection.dialect.name == "postgresql":
        return func.to_char(func.timezone("UTC", moment), "YYYY-MM")
    return func.strftime("%Y-%m", moment)


def _key(row: Mapping[Any, Any]) -> tuple[str, str, str, str]:
    return row["month"], row["provider"], row["account"], row["currency"]
