"""How far a batch is, on its run's page: a bar, and a table of outcomes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    TableArtifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.context import FlowRunContext

from tasks.ledger.batch_models import RowState

PROGRESS_KEY = "batch-progress"
OUTCOMES_KEY = "batch-outcomes"
PAUSE_SECONDS = 2.0
"""An update costs the server two writes and two events; people see no difference below this."""

DRAWING_SECONDS = 10.0

SETTLED = frozenset({RowState.DONE, RowState.THERE, RowState.FAILED, RowState.BLOCKED})
"""States in which a row stays when this run ends; only these fill the bar."""

log = logging.getLogger("studio.batch")


class BatchProgress:
    """Bar and table of one batch run; a run that is called without Prefect has none.

    Args:
        total: rows of the batch.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._due = 0.0
        self._bar: UUID | None = None
        self._table: UUID | None = None

    async def show(self, counts: Mapping[RowState, int], *, at_once: bool = False) -> None:
        """Show the counts, unless the last ones were shown less than two seconds ago.

        Args:
            counts: rows by state; those without a record may be missing.
            at_once: show them anyway, as the last ones of a run.
        """
        if FlowRunContext.get() is None or (time.monotonic() < self._due and not at_once):
            return
        self._due = time.monotonic() + PAUSE_SECONDS
        async with drawing(PROGRESS_KEY):
            await self._draw_bar(counts)
        async with drawing(OUTCOMES_KEY):
            await self._draw_table(counts)
        # A server that is slow to draw is asked less often.
        self._due = time.monotonic() + PAUSE_SECONDS

    async def _draw_bar(self, counts: Mapping[RowState, int]) -> None:
        settled = sum(counts.get(state, 0) for state in SETTLED)
        in_flight = counts.get(RowState.RENDERING, 0)
        percent = round(100 * settled / self._total, 1) if self._total else 100.0
        told = f"{settled:,} of {self._total:,} rows settled, {in_flight:,} in flight"
        if self._bar is None:
            self._bar = await acreate_progress_artifact(progress=percent, key=PROGRESS_KEY, description=told)
        else:
            await aupdate_progress_artifact(self._bar, progress=percent, description=told)

    async def _draw_table(self, counts: Mapping[RowState, int]) -> None:
        self._table = await draw_outcomes(self._table, counts, self._total, "**Rows by outcome**")


async def draw_outcomes(table: UUID | None, counts: Mapping[RowState, int], total: int, description: str) -> UUID:
    """Draw the table of outcomes, in place of the one that was drawn before, and return its id."""
    lines = outcome_lines(counts, total)
    if table is None:
        return await acreate_table_artifact(table=lines, key=OUTCOMES_KEY, description=description)
    async with get_client() as client:
        data = await TableArtifact(table=lines).aformat()
        await client.update_artifact(table, ArtifactUpdate(data=data, description=description))
    return table


def outcome_lines(counts: Mapping[RowState, int], total: int) -> list[dict[str, Any]]:
    """A line for each outcome that has rows; rows without a record have not been started."""
    unrecorded = max(0, total - sum(counts.values()))
    whole = {**counts, RowState.NOT_STARTED: counts.get(RowState.NOT_STARTED, 0) + unrecorded}
    return [
        {"outcome": state.value, "rows": whole[state], "share": f"{100 * whole[state] / total:.1f} %"}
        for state in RowState
        if whole.get(state)
    ]


@asynccontextmanager
async def drawing(what: str) -> AsyncIterator[None]:
    """Something for people's eyes, in the block: no batch ends because it could not be drawn."""
    try:
        async with asyncio.timeout(DRAWING_SECONDS):
            yield
    except Exception as error:  # noqa: BLE001 - only a picture
        log.warning("not shown what=%s error=%r", what, error)
