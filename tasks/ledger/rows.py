"""Statements on the ledger's tables, each run inside a transaction of the caller."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import TypeVar
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Table, and_, bindparam, exists, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.errors import LedgerConflict
from tasks.ledger.models import Entry
from tasks.ledger.schema import events, submissions
from tasks.ledger.states import State

T = TypeVar("T")
_LONGEST_IN = 500
"""SQLite takes 32,766 values in a statement, and the planners look at each."""

DialectInsert = postgresql.Insert | sqlite.Insert

# Built once: building costs more than running, and every change runs some of these.
_BY_ID = select(submissions).where(submissions.c.id == bindparam("wanted"))
_LATEST = (
    select(submissions)
    .where(submissions.c.render_key == bindparam("wanted"))
    .order_by(submissions.c.attempt.desc())
    .limit(1)
)
_ADD_EVENT = insert(events)


def insert_or(connection: AsyncConnection, table: Table) -> DialectInsert:
    """Begin an INSERT that can say what happens on conflict; both databases write it the same way."""
    return insert_for(connection.dialect.name, table)


def insert_for(dialect: str, table: Table) -> DialectInsert:
    """The same for a database that is not at hand yet."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


async def wait_turn(connection: AsyncConnection, *names: str) -> None:
    """Let only one transaction at a time go on for these names, until it ends."""
    # On SQLite a write transaction is alone anyway.
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(sha256("\x1f".join(names).encode()).digest()[:8], "big", signed=True)
        await connection.execute(select(func.pg_advisory_xact_lock(number)))


def chunks_of(wanted: Iterable[T]) -> Iterator[list[T]]:
    """Cut what is to stand in an IN (…) into lists that every database takes; each thing once, in order."""
    each = iter(dict.fromkeys(wanted))
    while chunk := list(islice(each, _LONGEST_IN)):
        yield chunk


def key_begins(prefix: str) -> ColumnElement[bool]:
    """Whether the render key begins with some hex digits; a range, as no index serves LIKE on both databases."""
    return and_(submissions.c.render_key >= prefix, submissions.c.render_key < prefix + "g")


async def find_entry(connection: AsyncConnection, entry_id: UUID) -> Entry:
    """Read one row.

    Raises:
        LedgerConflict: there is no such row.
    """
    found = (await connection.execute(_BY_ID, {"wanted": entry_id})).mappings().first()
    if found is None:
        raise LedgerConflict(f"the ledger has no row {entry_id}.", fix="Check STUDIO_LEDGER_URL and the id.")
    return Entry.model_validate(dict(found))


async def find_latest(connection: AsyncConnection, render_key: str) -> Entry | None:
    """Read the latest attempt at a render."""
    found = (await connection.execute(_LATEST, {"wanted": render_key})).mappings().first()
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
    values = {
        "change_id": change_id,
        "submission_id": entry.id,
        "at": at,
        "before": before,
        "after": entry.state,
        "who": entry.owner,
        "note": note,
    }
    await connection.execute(_ADD_EVENT, values)
