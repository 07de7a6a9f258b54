"""Batches, and what became of each of their rows."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.batch_models import Batch, BatchRow, RowState
from tasks.ledger.part import LedgerPart
from tasks.ledger.rows import insert_or
from tasks.ledger.schema import batch_rows, batches

_KEEPS = frozenset({"id", "created_at"})
_ROW_KEY = (batch_rows.c.batch_id, batch_rows.c.run_id, batch_rows.c.number)
_ROW_FIELDS = [column for column in batch_rows.c if column.name != "batch_id"]


class LedgerBatches(LedgerPart):
    """The books of batches; whatever is known of a render itself is in its submission."""

    async def open_batch(self, batch: Batch) -> Batch:
        """Note that a run works on a batch now; a batch that is there keeps the moment of its making."""

        async def work(connection: AsyncConnection) -> Batch:
            new = insert_or(connection, batches).values(batch.model_dump())
            changed = {name: new.excluded[name] for name in Batch.model_fields if name not in _KEEPS}
            statement = new.on_conflict_do_update(index_elements=[batches.c.id], set_=changed)
            row = (await connection.execute(statement.returning(*batches.c))).mappings().one()
            return Batch.model_validate(dict(row))

        return await self._database.write(work)

    async def find_batch(self, batch_id: str) -> Batch | None:
        """Read a batch."""
        return next(iter(await self._batches(select(batches).where(batches.c.id == batch_id))), None)

    async def batches(self, *, limit: int = 20) -> list[Batch]:
        """The batches that were worked on last, the newest first."""
        return await self._batches(select(batches).order_by(batches.c.updated_at.desc(), batches.c.id).limit(limit))

    async def note_rows(self, batch_id: str, rows: Sequence[BatchRow]) -> None:
        """Note what became of many rows, in one transaction; what the same run noted before of a row is replaced."""
        # In one order, so that two runs of the same batch cannot block each other.
        values = [row.model_dump() | {"batch_id": batch_id} for row in sorted(rows, key=lambda row: row.number)]
        if not values:
            return

        async def work(connection: AsyncConnection) -> None:
            new = insert_or(connection, batch_rows)
            changed = {name: new.excluded[name] for name in BatchRow.model_fields if name not in {"run_id", "number"}}
            await connection.execute(new.on_conflict_do_update(index_elements=_ROW_KEY, set_=changed), values)

        await self._database.write(work)

    async def count_rows(self, batch_id: str, run_id: str) -> dict[RowState, int]:
        """How many rows of a batch one run has found in each state; states without any are left out."""
        query = select_counts(batch_id, run_id)

        async def work(connection: AsyncConnection) -> dict[RowState, int]:
            return {RowState(state): count for state, count in await connection.execute(query)}

        return await self._database.read(work)

    async def batch_rows(
        self,
        batch_id: str,
        *,
        run_id: str,
        states: Collection[RowState] | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[BatchRow]:
        """What one run of a batch found, by row number, a page at a time.

        Args:
            batch_id: the batch.
            run_id: whose findings.
            states: only rows in these states.
            after: only numbers above this one: the last of the page before.
            limit: most rows to return.
        """
        query = select_rows(batch_id, run_id, states, after, limit)

        async def work(connection: AsyncConnection) -> list[BatchRow]:
            return [BatchRow.model_validate(dict(row)) for row in (await connection.execute(query)).mappings()]

        return await self._database.read(work)

    async def others_render(self, render_key: str, run_id: str) -> bool:
        """Whether a row of another run is rendering this now, as far as that run has noted it."""
        rows = batch_rows.c
        wanted = (rows.render_key == render_key, rows.run_id != run_id, rows.state == RowState.RENDERING)
        query = select(rows.number).where(*wanted).limit(1)
        return await self._database.read(lambda connection: connection.scalar(query)) is not None

    async def _batches(self, query: Select[Any]) -> list[Batch]:
        async def work(connection: AsyncConnection) -> list[Batch]:
            return [Batch.model_validate(dict(row)) for row in (await connection.execute(query)).mappings()]

        return await self._database.read(work)


def select_counts(batch_id: str, run_id: str) -> Select[Any]:
    """Rows by state, from the index alone."""
    rows = batch_rows.c
    return select(rows.state, func.count()).where(rows.batch_id == batch_id, rows.run_id == run_id).group_by(rows.state)


def select_rows(batch_id: str, run_id: str, states: Collection[RowState] | None, after: int, limit: int) -> Select[Any]:
    """A page of rows."""
    rows = batch_rows.c
    wanted = [rows.run_id == run_id]
    if states is not None:
        wanted.append(rows.state.in_(sorted(states)))
    return (
        select(*_ROW_FIELDS)
        .where(rows.batch_id == batch_id, rows.number > after, *wanted)
        .order_by(rows.number)
        .limit(limit)
    )
