"""Making a reservation: one row per render key, within the caps, in a transaction of the caller."""

from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from tasks.errors import LedgerConflict
from tasks.ledger.budget import check_limits, wait_turn_at
from tasks.ledger.models import Entry, Intent, Limits
from tasks.ledger.rows import add_event, find_latest, insert_for
from tasks.ledger.schema import submissions
from tasks.ledger.states import State


async def insert_reservation(
    connection: AsyncConnection,
    intent: Intent,
    limits: Limits,
    *,
    owner: str,
    entry_id: UUID,
    change_id: UUID,
    now: datetime,
) -> Entry:
    """Reserve a render under this id, or find the open row that holds its key.

    Raises:
        BudgetExceeded: a new row would break a cap.
    """
    await wait_turn_at(connection, intent, limits)
    latest = await find_latest(connection, intent.render_key)
    if latest and latest.is_open:
        return await _touched(connection, latest, owner, now)
    await check_limits(connection, intent, limits, owner, now)
    values = intent.model_dump() | {
        "id": entry_id,
        "attempt": latest.attempt + 1 if latest else 1,
        "state": State.RESERVED,
        "reason": "",
        "owner": owner,
        "reserved_by": owner,
        "created_at": now,
        "updated_at": now,
    }
    row = (await connection.execute(_insertion(connection.dialect.name), values)).mappings().first()
    if row is None:
        # Lost to a row that was committed after the look above.
        return await _held(connection, intent.render_key)
    entry = Entry.model_validate(dict(row))
    await add_event(connection, entry, None, change_id=change_id, at=now, note={})
    return entry


@cache
def _insertion(dialect: str) -> ReturningInsert[Any]:
    """Built once, as building it costs more than running it."""
    return insert_for(dialect, submissions).on_conflict_do_nothing().returning(*submissions.c)


async def _touched(connection: AsyncConnection, held: Entry, owner: str, now: datetime) -> Entry:
    """An intent that somebody means to follow is not an old one, whenever it was made."""
    if held.state is not State.RESERVED:
        return held
    intent = (submissions.c.id == held.id, submissions.c.state == State.RESERVED)
    statement = update(submissions).where(*intent).values(updated_at=now, owner=owner).returning(*submissions.c)
    row = (await connection.execute(statement)).mappings().first()
    return Entry.model_validate(dict(row)) if row else await _held(connection, held.render_key)


async def _held(connection: AsyncConnection, render_key: str) -> Entry:
    entry = await find_latest(connection, render_key)
    if entry is None:
        raise LedgerConflict(f"render {render_key[:12]} was reserved and removed meanwhile.", fix="Try again.")
    return entry
