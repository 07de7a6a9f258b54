"""One door to the database: SQLite (WAL) or PostgreSQL, short transactions, patience with outages."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_random_exponential

from tasks.errors import StudioUnavailable
from tasks.ledger.lanes import Lane, Work

logger = logging.getLogger("studio.ledger")

T = TypeVar("T")

_CONNECTIONS = 5
_READERS = 2
_BUSY_SECONDS = 15
_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6
# Connection lost, server stopping or starting, too many connections, serialization failure, deadlock.
_PASSING_SQLSTATES = ("08", "57P", "53300", "40001", "40P01")
# Wrong password or user, no such database, disk full.
_LASTING_SQLSTATES = ("28", "3D", "53100")


class Database:
    """Runs units of work in transactions of their own, and again when the database was away.

    A unit of work may run more than once, also after a commit whose answer was lost, so it must recognise
    what it has already done.

    Args:
        url: SQLAlchemy URL with the driver ``aiosqlite`` or ``asyncpg``.
        patience: seconds to go on trying while the database is away.
    """

    def __init__(self, url: str, *, patience: float) -> None:
        self._url = _checked(url)
        self._patience = patience
        self._runner: _Sqlite | _Postgres = (
            _Sqlite(self._url) if self._url.get_backend_name() == "sqlite" else _Postgres(self._url)
        )

    async def prepare(self) -> None:
        """Make sure that the database answers; a SQLite file is created in WAL mode.

        Raises:
            StudioUnavailable: it does not answer.
        """
        if isinstance(self._runner, _Sqlite) and self._url.database:
            folder = Path(self._url.database).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StudioUnavailable(
                    f"the ledger's folder {folder} cannot be made: {error.strerror}.",
                    fix="Mend STUDIO_HOME or STUDIO_LEDGER_URL.",
                ) from error
        await self.read(lambda connection: connection.scalar(text("SELECT 1")))

    async def read(self, work: Work[T]) -> T:
        """Run work that changes nothing."""
        return await self._with_patience(partial(self._transact, work, writes=False))

    async def write(self, work: Work[T]) -> T:
        """Run work and commit it. Once begun it is finished even if the caller is cancelled meanwhile."""
        return await _finish(self._with_patience(partial(self._transact, work, writes=True)))

    async def close(self) -> None:
        """Close every connection."""
        await self._runner.close()

    async def _transact(self, work: Work[T], *, writes: bool) -> T:
        return await self._runner.transact(work, writes=writes)

    async def _retry(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        attempts = AsyncRetrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_delay(self._patience),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            before_sleep=_log_retry,
            reraise=True,
        )
        return await attempts(call)

    async def _with_patience(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            try:
                return await call()
            except Exception as error:
                if not _is_passing(error):
                    raise
                _log_outage(1, error)
            # Only now, as a retry object costs as much as a statement does.
            return await self._retry(call)
        except Exception as error:
            if not (_is_passing(error) or _is_lasting(error)):
                raise
            where = self._url.render_as_string(hide_password=True)
            how = f"has not answered for {self._patience:.0f} s" if _is_passing(error) else "cannot be used"
            raise StudioUnavailable(
                f"the ledger's database {where} {how}: {_cause(error)}.",
                fix="Mend that or STUDIO_LEDGER_URL, then run the same thing again: it resumes.",
            ) from error


def is_missing(url: str) -> bool:
    """Whether the address names a file that nobody has made yet.

    Raises:
        StudioUnavailable: the address is none.
    """
    checked = _checked(url)
    return checked.get_backend_name() == "sqlite" and not Path(checked.database or "").exists()


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StudioUnavailable(
            "the ledger's address is not an SQLAlchemy URL.",
            fix="Write STUDIO_LEDGER_URL like postgresql+asyncpg://user@host/name or sqlite+aiosqlite:////path.",
        ) from error
    if parsed.drivername not in {"sqlite+aiosqlite", "postgresql+asyncpg"}:
        raise StudioUnavailable(
            f"the ledger cannot use the driver {parsed.drivername!r}.",
            fix="Set STUDIO_LEDGER_URL to a sqlite+aiosqlite:// or postgresql+asyncpg:// address.",
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise StudioUnavailable(
            "the ledger must outlive the process.", fix="Set STUDIO_LEDGER_URL to a file, not to memory."
        )
    return parsed


class _Sqlite:
    """A file, through one thread that writes and some that read."""

    def __init__(self, url: URL) -> None:
        # The driver's name is part of the addresses that people have; a thread that may wait needs no async driver.
        plain = url.set(drivername="sqlite+pysqlite")
        self._writer = Lane(_sqlite_engine(plain, begin="BEGIN IMMEDIATE"), threads=1, writes=True)
        self._readers = Lane(_sqlite_engine(plain, begin="BEGIN"), threads=_READERS, writes=False)

    async def transact(self, work: Work[T], *, writes: bool) -> T:
        return await (self._writer if writes else self._readers).run(work)

    async def close(self) -> None:
        await self._readers.close()
        await self._writer.close()


def _sqlite_engine(url: URL, *, begin: str) -> Engine:
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own BEGIN is deferred, and a read that turns into a write then fails under contention.
        connection.isolation_level = None
        # Kept in the file; cannot be changed inside a transaction.
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL, as a submission that was paid for must survive a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


class _Postgres:
    """A server, through a few connections."""

    def __init__(self, url: URL) -> None:
        self._engine = create_async_engine(
            url,
            pool_size=_CONNECTIONS,
            max_overflow=0,
            connect_args={
                "timeout": 10,
                "command_timeout": 60,
                "server_settings": {"application_name": "studio-ledger"},
            },
        )
        # Statements of a read see each its own snapshot in a transaction, too, which costs two more round trips.
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        # Queueing here has no deadline of its own, as the pool's queue has.
        self._slots = asyncio.Semaphore(_CONNECTIONS)

    async def transact(self, work: Work[T], *, writes: bool) -> T:
        engine = self._engine if writes else self._reading
        async with self._slots, engine.begin() as connection:
            return await work(connection)

    async def close(self) -> None:
        await self._engine.dispose()


async def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Await work to its end even when cancelled: a job id that is known must not be lost."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()):
            logger.error("write failed during cancellation error=%s", error)  # noqa: TRY400 - caller is cancelled
        raise


def _is_passing(error: BaseException) -> bool:
    """Whether the database may answer if asked again."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in {_SQLITE_BUSY, _SQLITE_LOCKED}
    state = getattr(origin, "sqlstate", None)
    if state:
        return str(state).startswith(_PASSING_SQLSTATES)
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, OSError)


def _is_lasting(error: BaseException) -> bool:
    """Whether a person must mend the database: its disk, its rights, its password, its file."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(origin, "sqlstate", None)
    if state:
        return str(state).startswith(_LASTING_SQLSTATES)
    # A file that is damaged, or no database at all, is a bare DatabaseError; other kinds are our own mistakes.
    return isinstance(origin, sqlite3.OperationalError) or type(origin) is sqlite3.DatabaseError


def _cause(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) else error
    return str(origin).splitlines()[0] if str(origin) else type(origin).__name__


def _log_retry(retry: RetryCallState) -> None:
    error = retry.outcome.exception() if retry.outcome else None
    if error:
        _log_outage(retry.attempt_number + 1, error)


def _log_outage(attempt: int, error: BaseException) -> None:
    logger.warning("database away attempt=%d error=%s", attempt, _cause(error))
