"""What callbacks told about live streams, kept for the shows that wait for it in other processes."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.part import LedgerPart
from tasks.ledger.rows import insert_or
from tasks.ledger.schema import stream_events
from tasks.ledger.stream_models import StreamEvent


class LedgerStreams(LedgerPart):
    """Events of live streams: added by the webhooks, read by the shows, forgotten after a while."""

    async def add_stream_event(self, event: StreamEvent) -> bool:
        """Keep an event; whether it was new. One whose commit answer was lost counts as known, and is kept."""
        new = event.model_dump()

        async def work(connection: AsyncConnection) -> bool:
            statement = insert_or(connection, stream_events).values(new).on_conflict_do_nothing()
            return (await connection.execute(statement.returning(stream_events.c.task_id))).first() is not None

        return await self._database.write(work)

    async def stream_events(self, task_id: str, *, after: datetime | None = None) -> list[StreamEvent]:
        """What is known of a stream, in the order in which it happened.

        Args:
            task_id: the vendor's id of the stream.
            after: only what was received at or after this moment. Receivers' clocks differ, so go back a little.
        """
        query = select_stream_events(task_id, after)

        async def work(connection: AsyncConnection) -> list[StreamEvent]:
            return [StreamEvent.model_validate(dict(row)) for row in (await connection.execute(query)).mappings()]

        return await self._database.read(work)

    async def forget_stream_events(self, before: datetime) -> int:
        """Delete what was received before a moment; how many events that were."""
        statement = delete(stream_events).where(stream_events.c.received_at < before)

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(statement)).rowcount

        return await self._database.write(work)


def select_stream_events(task_id: str, after: datetime | None) -> Select[Any]:
    """The events of one stream."""
    rows = stream_events.c
    received = () if after is None else (rows.received_at >= after,)
    return (
        select(stream_events)
        .where(rows.task_id == task_id, *received)
        .order_by(rows.happened_at, rows.received_at, rows.drive_id, rows.status)
    )
