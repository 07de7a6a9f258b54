"""SQLite in threads of its own: one hop between threads per transaction, and one commit for all writes that wait.

A hop costs more than most statements do, and a commit waits for the disk. So a whole transaction runs in the thread of
its connection, and writes that came while the one before was under way share a transaction: each is kept or undone by
itself, in a savepoint, and is told its outcome only after the commit of all.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.errors import StudioUnavailable

logger = logging.getLogger("studio.ledger")

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]

_MOST_TOGETHER = 64
"""More writes in one commit save nothing more, and the first of them would wait for long."""
_BREATH_SECONDS = 0.005
"""Other processes look every few milliseconds whether they may write; who goes on at once shuts them out."""
_CLOSE_SECONDS = 60
"""A write waits for other processes for a quarter of this."""


class DirectConnection:
    """The part of SQLAlchemy's ``AsyncConnection`` that the ledger uses; its coroutines never wait."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Run a statement."""
        return self._connection.execute(statement, parameters)

    async def scalar(self, statement: Any, parameters: Any = None) -> Any:
        """Run a query and return its first value."""
        return self._connection.scalar(statement, parameters)

    async def scalars(self, statement: Any, parameters: Any = None) -> Any:
        """Run a query and return the first value of each row."""
        return self._connection.scalars(statement, parameters)

    async def run_sync(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function with the plain connection."""
        return function(self._connection, *arguments)


@dataclass(eq=False, slots=True)
class _Order:
    """Work to be done, and whom to tell."""

    work: Work[Any]
    future: "asyncio.Future[Any]"
    value: Any = None
    error: BaseException | None = None


class Lane:
    """Connections to one SQLite file, each in a thread of its own; the threads share one queue.

    Args:
        engine: makes the connections.
        threads: how many; writes go through one, as SQLite has one writer.
        writes: whether the work changes anything.
    """

    def __init__(self, engine: Engine, *, threads: int, writes: bool) -> None:
        self._engine = engine
        self._writes = writes
        self._count = threads
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._is_closed = False

    async def run(self, work: Work[T]) -> T:
        """Run work in a transaction; whoever is cancelled meanwhile does not stop it.

        Raises:
            StudioUnavailable: the lane is closed.
        """
        if self._is_closed:
            raise StudioUnavailable("the ledger is closed.", fix="Open it again: a closed one takes no more orders.")
        while len(self._threads) < self._count:
            # Daemons: a process that dies in the middle of a transaction leaves the database as it was before.
            thread = Thread(target=self._serve, daemon=True, name="studio-ledger")
            thread.start()
            self._threads.append(thread)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._orders.put(_Order(work, future))
        return await future

    async def close(self) -> None:
        """End the threads once all that was ordered is done; nothing more can be ordered from now on."""
        if not self._is_closed:
            self._is_closed = True
            for _ in self._threads:
                self._orders.put(None)
        until = time.monotonic() + _CLOSE_SECONDS
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, until - time.monotonic()))
        if left := sum(thread.is_alive() for thread in self._threads):
            logger.error("transactions not over at closing threads=%d", left)

    def _serve(self) -> None:
        connection: Connection | None = None
        go_on = True
        while go_on:
            orders, go_on = self._next_orders()
            connection = self._handle(connection, orders)
            # Results may be large, and the next order may come late.
            del orders
            if self._writes and not self._orders.empty():
                time.sleep(_BREATH_SECONDS)
        if connection is not None:
            _drop(connection)

    def _handle(self, connection: Connection | None, orders: list[_Order]) -> Connection | None:
        """Do the work and tell the outcomes; returns the connection if it is good for more."""
        try:
            connection = connection or self._engine.connect()
            _transact(connection, orders)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            for order in orders:
                order.value, order.error = None, error
            if connection is not None and isinstance(error, SQLAlchemyError):
                _drop(connection)
                connection = None
        _tell(orders)
        return connection

    def _next_orders(self) -> tuple[list[_Order], bool]:
        """Wait for an order and take those that wait behind it; the other value is False at the end."""
        orders: list[_Order] = []
        order = self._orders.get()
        with suppress(Empty):
            while order is not None:
                orders.append(order)
                if len(orders) == (_MOST_TOGETHER if self._writes else 1):
                    return orders, True
                order = self._orders.get_nowait()
            return orders, False
        return orders, True


def _transact(connection: Connection, orders: list[_Order]) -> None:
    """Do all of them in one transaction; the error of one among several is its own."""
    direct = cast("AsyncConnection", DirectConnection(connection))
    with connection.begin():
        if len(orders) == 1:
            orders[0].value = _run(orders[0].work, direct)
            return
        # SQLAlchemy's own savepoints cost as much as a statement each.
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        for order in orders:
            driver.execute("SAVEPOINT one")
            try:
                order.value = _run(order.work, direct)
            except Exception as error:
                # A full or failing disk undoes the whole transaction, so that is everybody's error.
                if not driver.in_transaction:
                    raise
                driver.execute("ROLLBACK TO one")
                order.error = error
            driver.execute("RELEASE one")


def _run(work: Work[T], connection: AsyncConnection) -> T:
    """Run a coroutine that never waits."""
    steps = work(connection).__await__()
    try:
        next(steps)
    except StopIteration as end:
        return cast("T", end.value)
    raise RuntimeError("work on the ledger may wait for its connection only")


def _drop(connection: Connection) -> None:
    try:
        connection.close()
    except SQLAlchemyError as error:
        logger.warning("connection not closed error=%s", error)


def _tell(orders: list[_Order]) -> None:
    """Tell everybody the outcome, each loop in one call."""
    for loop in {order.future.get_loop() for order in orders}:
        mine = [order for order in orders if order.future.get_loop() is loop]
        # A loop that was closed has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, mine)


def _settle(orders: list[_Order]) -> None:
    for order in orders:
        if order.future.done():
            continue
        if order.error is not None:
            order.future.set_exception(order.error)
        else:
            order.future.set_result(order.value)
