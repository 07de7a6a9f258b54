"""The end of a batch: its report, what the run's page shows, and the state in which the run ends."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from tasks.batch.report import WrittenReport, write_report
from tasks.batch.showing import show_report
from tasks.batch.source import report_prefix
from tasks.blocks import load_store
from tasks.errors import LedgerConflict
from tasks.ledger.batch_models import HAS_VIDEO, Batch, BatchRow, RowState
from tasks.ledger.opening import open_ledger
from tasks.settings import get_settings
from tasks.step import step

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

CHUNK = 1000


@step("report")
async def report_batch(batch_id: str, run_id: str) -> WrittenReport:
    """Write the report of a run of a batch, show it on the run's page, and tell others that the batch is over."""
    store = await load_store(get_settings().storage_block)
    async with open_ledger() as ledger:
        batch = await ledger.find_batch(batch_id)
        if batch is None:
            raise LedgerConflict(f"the ledger knows no batch {batch_id}.", fix="Check STUDIO_LEDGER_URL.")
        await _name_unfinished(ledger, batch_id, run_id)
        report = await write_report(
            store, batch, _rows(ledger, batch_id, run_id), prefix=report_prefix(batch_id, run_id)
        )
    await show_report(batch, report)
    return report


async def _rows(ledger: "Ledger", batch_id: str, run_id: str) -> AsyncIterator[BatchRow]:
    after = 0
    while chunk := await ledger.batch_rows(batch_id, run_id=run_id, after=after, limit=CHUNK):
        for row in chunk:
            yield row
        after = chunk[-1].number


async def _name_unfinished(ledger: "Ledger", batch_id: str, run_id: str) -> None:
    """What nobody follows any more is no longer said to be rendering."""
    told = {
        "state": RowState.UNFINISHED,
        "reason": "its run ended before the render did",
        "fix": "Nothing is lost: `reconcile` finishes it, or run the same batch again.",
        "updated_at": datetime.now(UTC),
    }
    while chunk := await ledger.batch_rows(batch_id, run_id=run_id, states={RowState.RENDERING}, limit=CHUNK):
        await ledger.note_rows(batch_id, [row.model_copy(update=told) for row in chunk])


def ended_state(batch: Batch, report: WrittenReport) -> State[Any]:
    """Completed when every row has its video; else failed, so that nobody overlooks the rows that have none."""
    videos = sum(report.counts.get(state, 0) for state in HAS_VIDEO)
    told = ", ".join(f"{count} {state}" for state, count in report.counts.items() if count)
    message = f"{videos} of {batch.rows} rows have their video ({told}). Report: {report.html}"
    if videos == batch.rows:
        return Completed(message=message)
    name = "Partly done" if videos else "No video"
    return Failed(name=name, message=f"{message}. Running the same batch again goes on with what is missing.")
