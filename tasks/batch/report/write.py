"""Write the report of a batch into the archive: `report.html` and `outcomes.csv`."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from tasks.batch.report.outcomes_csv import ENCODING, OutcomesCsv
from tasks.batch.report.page import Links, PageRows, write_page
from tasks.batch.report.rows import Tally, whole_chunks
from tasks.ledger.batch_models import Batch, BatchRow, RowState
from tasks.scratch import scratch_folder
from tasks.settings import get_settings
from tasks.storage import ObjectStore

log = logging.getLogger("studio.batch")


class WrittenReport(BaseModel):
    """Where the report is, and the batch in figures."""

    model_config = ConfigDict(frozen=True)

    html: str = Field(description="s3:// address of the page.")
    csv: str = Field(description="s3:// address of the table.")
    html_link: str = Field(repr=False, description="Whoever has it can open the page until it expires.")
    csv_link: str = Field(repr=False)
    poster_link: str = Field("", repr=False, description="Of the first video; empty when there is none.")
    counts: dict[RowState, int] = Field(description="Rows by outcome; outcomes without rows are missing.")
    links_expire_at: datetime


async def write_report(
    store: ObjectStore, batch: Batch, rows: AsyncIterator[BatchRow], *, prefix: str
) -> WrittenReport:
    """Write page and table under a prefix of the archive bucket; an earlier report there is replaced.

    Rows are passed through files, so that memory does not grow with the batch.

    Args:
        store: where the report goes, and whose links it carries.
        batch: what was worked on; numbers up to its ``rows`` without a record are shown as not started.
        rows: by number, each at most once.
        prefix: such as ``batches/<batch id>/runs/<run id>``.

    Raises:
        StorageError: the object store does not answer or refuses.
    """
    lifetime = timedelta(hours=get_settings().link_hours)
    links = Links(store, lifetime, expire_at=datetime.now(UTC) + lifetime)
    html, csv = (f"{prefix.strip('/')}/{name}" for name in ("report.html", "outcomes.csv"))
    csv_link = store.presign_get(
        store.archive_bucket, csv, expires=lifetime, download_name=f"{_file_stem(batch)}-outcomes.csv"
    )
    with scratch_folder() as folder:
        table, lines, page = folder / "outcomes.csv", folder / "rows.jsonl", folder / "report.html"
        tally = await _spool(batch, rows, links, table=table, lines=lines)
        await asyncio.to_thread(write_page, page, batch, tally, lines=lines, csv_link=csv_link, links=links)
        await store.put_file(store.archive_bucket, csv, table, content_type="text/csv; charset=utf-8")
        await store.put_file(store.archive_bucket, html, page, content_type="text/html; charset=utf-8")
    log.info("batch report written batch=%s rows=%d prefix=%s", batch.id, tally.counts.total(), prefix)
    return WrittenReport(
        html=f"s3://{store.archive_bucket}/{html}",
        csv=f"s3://{store.archive_bucket}/{csv}",
        html_link=store.presign_get(store.archive_bucket, html, expires=lifetime),
        csv_link=csv_link,
        poster_link=links.to(tally.poster),
        counts=dict(tally.counts),
        links_expire_at=links.expire_at,
    )


async def _spool(batch: Batch, rows: AsyncIterator[BatchRow], links: Links, *, table: Path, lines: Path) -> Tally:
    """Write the table and the page's rows into files; signing thousands of links is left to a thread."""
    tally = Tally()
    with ExitStack() as files:
        outcomes = OutcomesCsv(files.enter_context(table.open("w", encoding=ENCODING, newline="")))
        page_rows = PageRows(files.enter_context(lines.open("w", encoding="utf-8")), links)

        def add(chunk: list[BatchRow]) -> None:
            outcomes.add(chunk)
            page_rows.add(chunk)
            for row in chunk:
                tally.add(row)

        async for chunk in whole_chunks(batch, rows):
            await asyncio.to_thread(add, chunk)
    return tally


def _file_stem(batch: Batch) -> str:
    return re.sub(r"[\W_]+", "-", batch.name.lower()).strip("-")[:60] or batch.id[:12]
