"""Statements on the ledger's tables, each run inside a transaction of the caller."""

from datetime import datetime
from hashlib import sha256
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Table, and_, exists, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.errors import LedgerConflict
from tasks.ledger.models import Entry
from tasks.ledger.schema import events, submissions
from tasks.ledger.states import State

DialectInsert = postgresql.Insert | sqlite.Insert


def insert_or(connection: AsyncConnection, table: Table) -> DialectInsert:
    """Begin an INSERT that can say what happens on conflict; both databases write it the same way."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


async def wait_turn(connection: AsyncConnection, *names: str) -> None:
    """Let only one transaction at a time go on for these names, until it ends."""
    # On SQLite a write transaction is alone anyway.
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(sha256("\x1f".join(names).encode()).digest()[:8], "big", signed=True)
        await connection.execute(select(func.pg_advisory_xact_lock(number)))


def key_begins(prefix: str) -> ColumnElement[bool]:
    """Whether the render key begins with some hex digits; a range, as no index serves LIKE on both databases."""
    return and_(submissions.c.render_key >= prefix, submissions.c.render_key < prefix + "g")


async def find_entry(connection: AsyncConnection, entry_id: UUID) -> Entry:
    """Read one row.

    Raises:
        LedgerConflict: there is no such row.
    """
    found = (await connection.execute(select(submissions).where(submissions.c.id == entry_id))).mappings().first()
    if found is None:
        raise LedgerConflict(f"the ledger has no row {entry_id}.", fix="Check STUDIO_LEDGER_URL and the id.")
    return Entry.model_validate(dict(found))


async def find_latest(connection: AsyncConnection, render_key: str) -> Entry | None:
    """Read the latest attempt at a render."""
    query = (
        select(submissions)
        .where(submissions.c.render_key == render_key)
        .order_by(submissions.c.attempt.desc())
        .limit(1)
    )
    found = (await connection.execute(query)).mappings().first()
    return Entry.model_validate(dict(found)) if found else None


async def was_made(connection: AsyncConnection, change_id: UUID) -> bool:
    """Whether the change with this name is in the history."""
    return bool(await connection.scalar(select(exists().where(events.c.change_id == change_id))))


async def add_event(
    connection: AsyncConnection,
    entry: Entry,
    before: State | None,
    *,
    change_id: UUID,
    at: datetime,
    note: dict[str, JsonValue],
) -> None:
    """Append one change to the history."""
    await connection.execute(
        insert(events).values(
            change_id=change_id,
            submission_id=entry.id,
            at=at,
            before=before,
            after=entry.state,
            who=entry.owner,
            note=note,
        )
    )
