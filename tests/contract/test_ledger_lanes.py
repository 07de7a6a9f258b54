"""Transactions that share a commit or a connection: each is kept, undone and told for itself, on both databases."""

# ruff: noqa: F401, F811 - fixtures are imported and then asked for by name

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tasks.errors import StudioUnavailable
from tasks.ledger import Entry, State, StateConflict
from tasks.ledger.database import Database
from tasks.ledger.store import Ledger
from tests.contract.test_ledger import brought_to, ledger, postgres, reserved, url
from tests.servers.postgres import PostgresServer


class Refused(Exception):
    """What a unit of work raises after it has written."""


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A database with a table of numbers."""
    opened = Database(url, patience=5)
    await opened.prepare()
    await opened.write(methodcaller("execute", text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")))
    yield opened
    await opened.close()


async def insert(connection: Any, number: int) -> int:
    await connection.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})
    if number % 10 == 7:
        raise Refused(number)
    return number


async def numbers(database: Database) -> set[int]:
    async def work(connection: Any) -> set[int]:
        return set((await connection.scalars(text("SELECT number FROM numbers"))).all())

    return await database.read(work)


async def test_an_error_undoes_its_own_writes_only(database: Database) -> None:
    """Of many writes at once those that fail leave nothing behind, and all others are kept and told so."""
    outcomes = await asyncio.gather(
        *(database.write(lambda connection, number=number: insert(connection, number)) for number in range(200)),
        return_exceptions=True,
    )

    kept = {number for number in range(200) if number % 10 != 7}
    assert await numbers(database) == kept
    assert {outcome for outcome in outcomes if isinstance(outcome, int)} == kept
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 20


async def test_a_cancelled_write_is_finished_and_a_cancelled_read_harms_nobody(database: Database) -> None:
    """Whoever is cancelled among many takes nobody along; writes that were begun are made."""
    writes = [
        asyncio.create_task(database.write(lambda connection, number=number: insert(connection, number)))
        for number in (1, 2, 3)
    ]
    reads = [asyncio.create_task(numbers(database)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in (writes[1], *reads[::2]):
        task.cancel()
    await asyncio.wait([*writes, *reads])

    assert writes[1].cancelled()
    assert await numbers(database) == {1, 2, 3}
    assert all(task.exception() is None for task in reads[1::2])


async def test_a_closed_database_leaves_no_thread(database: Database) -> None:
    """Nothing runs on after closing, not even when it is closed twice."""

    def threads() -> int:
        return sum(thread.name == "studio-ledger" for thread in threading.enumerate())

    await numbers(database)
    for _ in range(2):
        await database.close()
    assert threads() == 0


async def test_what_was_ordered_is_done_and_what_comes_after_closing_is_refused(tmp_path: Path) -> None:
    """Closing ends, also while others order; they are told, and no order starts a thread that nobody ends."""
    for number in range(20):
        database = Database(f"sqlite+aiosqlite:///{tmp_path / f'{number}.db'}", patience=5)
        await database.prepare()
        create = text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        await database.write(methodcaller("execute", create))
        before = [
            asyncio.create_task(database.write(lambda connection, n=n: insert(connection, n))) for n in range(1, 5)
        ]
        await asyncio.sleep(0)
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        after = await asyncio.gather(*(numbers(database) for _ in range(4)), return_exceptions=True)
        await asyncio.wait_for(asyncio.gather(closing, database.close()), 30)

        assert await asyncio.gather(*before) == [1, 2, 3, 4]
        assert {str(told) for told in after if "the ledger is closed" not in str(told)} <= {"{1, 2, 3, 4}", "set()"}
        with pytest.raises(StudioUnavailable, match="the ledger is closed"):
            await database.write(methodcaller("execute", create))
    assert not [thread for thread in threading.enumerate() if thread.name == "studio-ledger"]


async def test_a_commit_that_fails_is_everybodys_error(tmp_path: Path) -> None:
    """A disk that is full is told to all whose writes were to share the commit, and none of them is kept."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'full.db'}", patience=1)
    await database.prepare()
    await database.write(methodcaller("execute", text("CREATE TABLE numbers (number INTEGER PRIMARY KEY, word TEXT)")))

    async def fill(connection: Any) -> None:
        # As small as it is now: the next page does not fit.
        pages = await connection.scalar(text("PRAGMA page_count"))
        await connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        await connection.execute(text("INSERT INTO numbers VALUES (1, :word)"), {"word": "x" * 100_000})

    async def small(connection: Any, number: int) -> None:
        await connection.execute(text("INSERT INTO numbers VALUES (:number, 'x')"), {"number": number})

    outcomes = await asyncio.gather(
        database.write(fill), *(database.write(lambda c, n=n: small(c, n)) for n in (2, 3)), return_exceptions=True
    )
    found = await numbers(database)
    told = {number for number, outcome in zip((1, 2, 3), outcomes, strict=True) if outcome is None}
    await database.close()

    assert isinstance(outcomes[0], StudioUnavailable)
    assert "full" in str(outcomes[0])
    assert found == told


async def test_work_waits_for_its_connection_only(tmp_path: Path) -> None:
    """A unit of work that waits for something else would hold the only writer of a file: a mistake that is named."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'numbers.db'}", patience=5)
    await database.prepare()
    await database.write(methodcaller("execute", text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")))

    async def dawdle(connection: Any) -> None:
        await insert(connection, 1)
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="may wait for its connection only"):
        await database.write(dawdle)
    assert await numbers(database) == set()
    await database.close()


async def test_connections_that_the_server_ended_are_replaced(postgres: PostgresServer) -> None:
    """Idle connections that a server or a firewall has cut are found out at the next use, which goes on."""
    async with await Ledger.open(postgres.create_database()) as ledger:
        rows = [await brought_to(ledger, State.SUBMITTING) for _ in range(8)]
        await asyncio.gather(*(ledger.get(row.id) for row in rows))
        cut = text(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert await ledger._database.write(methodcaller("scalar", cut)) >= 1
        found = await asyncio.gather(
            *(ledger.mark_submitted(row.id, f"job-{row.id}") for row in rows[:4]),
            *(ledger.get(row.id) for row in rows[4:]),
        )
        assert [row.id for row in found] == [row.id for row in rows]


async def test_hundreds_of_changes_at_once_all_arrive(ledger: Ledger) -> None:
    """Changes that share commits with refused ones are made once each, and each row's history is whole."""
    rows = await asyncio.gather(*(reserved(ledger) for _ in range(150)))

    async def live(row: Entry) -> Entry:
        await ledger.mark_submitting(row.id, "run-1")
        await ledger.mark_submitted(row.id, f"job-{row.id}")
        with pytest.raises(StateConflict):
            await ledger.mark_archived(row.id, "s3://archive/x")
        return await ledger.mark_succeeded(row.id, {})

    assert {row.state for row in await asyncio.gather(*map(live, rows))} == {State.SUCCEEDED}
    for row in rows[::30]:
        assert [event.after for event in await ledger.history(row.render_key)] == [
            "reserved",
            "submitting",
            "submitted",
            "succeeded",
        ]
