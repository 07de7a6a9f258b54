"""Prefect's background services, which leave events in Redis while PostgreSQL is away instead of giving them up.

Prefect (3.8.8) reads an event from Redis, tells Redis that it is done with, and then tries six times within half a
minute to write the state of a task run. After that the event is dropped, and the task run shows as running for ever. An
automation's action that meets the outage is not tried again at all: a crashed run would never be started again.
Neither can be set. So nothing is taken from Redis here, and nothing tried, before the database answers. Otherwise this
is `prefect server services start`.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable

from prefect.cli import app
from prefect.server.database import provide_database_interface
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.services import task_run_recorder
from prefect.server.utilities.messaging import Message, MessageHandler
from prefect_redis.messaging import Consumer  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

LOOK_EVERY_SECONDS = 1.0
ANSWER_SECONDS = 5.0

log = logging.getLogger("prefect.server.services.database")

_run = Consumer.run
_record = task_run_recorder.record_bulk_task_run_events


async def wait_for_database() -> None:
    """Return once the server's database answers; there is no deadline, as nothing can be done without it."""
    engine = await provide_database_interface().engine()
    away = False
    while True:
        try:
            async with asyncio.timeout(ANSWER_SECONDS), engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (OSError, TimeoutError, SQLAlchemyError) as error:
            if not away:
                log.warning("the database is away, events wait in Redis: %r", error)
            away = True
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        else:
            if away:
                log.warning("the database is back")
            return


async def _run_patiently(self: Consumer, handler: MessageHandler) -> None:
    async def patient(message: Message) -> None:
        await wait_for_database()
        await handler(message)

    await _run(self, patient)


def patiently(
    record: Callable[[list[ReceivedEvent]], Awaitable[None]],
) -> Callable[[list[ReceivedEvent]], Awaitable[None]]:
    """Make the recorder wait, too, when it tries an event again that the beginning of an outage took by surprise."""

    async def wait_and_record(events: list[ReceivedEvent]) -> None:
        await wait_for_database()
        await record(events)

    return wait_and_record


def main() -> None:
    """Run the services until told to stop."""
    Consumer.run = _run_patiently
    task_run_recorder.record_bulk_task_run_events = patiently(_record)  # type: ignore[assignment]
    sys.argv = ["prefect", "server", "services", "start"]
    app()


if __name__ == "__main__":
    main()
