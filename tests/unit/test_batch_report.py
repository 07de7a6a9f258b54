"""The report of a batch: every row once in the table, nothing that can run in the page, figures that add up."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tasks.batch.report import WrittenReport, page, write_report
from tasks.batch.report.outcomes_csv import COLUMNS
from tasks.batch.report.rows import CHUNK_ROWS
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.storage import ObjectStore
from tests.reported_batch import each, make_batch, make_row
from tests.servers.seaweedfs import SeaweedServer

PREFIX = "batches/b/runs/r"
LIMIT = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    running = SeaweedServer(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def store(server: SeaweedServer, studio_home: Path) -> ObjectStore:
    made = server.store()
    await made.ensure_bucket("archive")
    return made


async def report_on(store: ObjectStore, rows: Iterable[BatchRow], total: int, **changes: Any) -> WrittenReport:
    return await write_report(store, make_batch(total, **changes), each(rows), prefix=PREFIX)


async def text_of(store: ObjectStore, name: str) -> str:
    return (await store.get_bytes("archive", f"{PREFIX}/{name}", limit=LIMIT)).decode()


async def table_of(store: ObjectStore) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((await text_of(store, "outcomes.csv")).removeprefix("\ufeff"), newline="")))


def rows_of(html: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', html, re.DOTALL)
    assert found
    rows: list[dict[str, Any]] = json.loads(found[1])
    return rows


async def test_both_files_hold_every_row(store: ObjectStore) -> None:
    """What the ledger says of a row is in the table and in the page, whatever became of it."""
    rows = [make_row(number, state, reason=f"why {number}") for number, state in enumerate(RowState, 1)]

    written = await report_on(store, rows, len(rows))

    assert written.html == f"s3://archive/{PREFIX}/report.html"
    assert written.counts == dict.fromkeys(RowState, 1)
    table = await table_of(store)
    assert [(line["number"], line["outcome"], line["reason"]) for line in table] == [
        (str(row.number), row.state, row.reason) for row in rows
    ]
    shown = rows_of(await text_of(store, "report.html"))
    assert [(row["n"], row["s"], row["r"]) for row in shown] == [(row.number, row.state, row.reason) for row in rows]
    assert [row["n"] for row in shown if row.get("v")] == [2, 3]


@pytest.mark.parametrize(
    ("recorded", "total"),
    [([], 3), ([2], 2), ([1, 2], 2 * CHUNK_ROWS + 7), ([CHUNK_ROWS + 3, 2 * CHUNK_ROWS], 2 * CHUNK_ROWS)],
)
async def test_rows_without_a_record_were_not_started(store: ObjectStore, recorded: list[int], total: int) -> None:
    """A batch that was killed early still shows each row of its manifest once, and the figures add up."""
    written = await report_on(store, [make_row(number, RowState.DONE) for number in recorded], total)

    table = await table_of(store)
    assert [int(line["number"]) for line in table] == list(range(1, total + 1))
    assert [int(line["number"]) for line in table if line["outcome"] == "done"] == recorded
    assert sum(written.counts.values()) == total


async def test_the_table_opens_in_a_spreadsheet(store: ObjectStore) -> None:
    """Excel takes it for UTF-8, no cell becomes a formula, and a number stays a number."""
    hostile = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain", 'Grüße; 你好, "x"\nzwei']
    rows = [make_row(number, RowState.FAILED, title=title, reason=title) for number, title in enumerate(hostile, 1)]
    rows.append(make_row(len(rows) + 1, RowState.DONE, estimate=Decimal("1E+2"), seconds=12.3456))

    await report_on(store, rows, len(rows))

    raw = await text_of(store, "outcomes.csv")
    assert raw.startswith("\ufeffnumber,title,")
    table = await table_of(store)
    assert tuple(table[0]) == COLUMNS
    assert [line["title"] for line in table[:-1]] == [*(f"'{title}" for title in hostile[:6]), *hostile[6:]]
    assert [line["reason"] for line in table[:-1]] == [line["title"] for line in table[:-1]]
    assert (table[-1]["estimate"], table[-1]["unit"], table[-1]["seconds"]) == ("100", "credits", "12.35")


async def test_text_of_rows_stays_text(store: ObjectStore) -> None:
    """No title, reason or name of a batch can close the element that it stands in."""
    evil = "</script><script>alert(1)</script><!--<script>"
    rows = [
        make_row(1, RowState.DONE, title=evil, reason=evil),
        make_row(2, RowState.FAILED, title=evil, fix=evil, provider=evil, estimate=Decimal(1), unit=evil),
    ]

    await report_on(store, rows, 2, name=evil, source=f"s3://archive/{evil}")

    html = await text_of(store, "report.html")
    assert "<script>alert" not in html
    assert len(re.findall(r"</?script", html)) == 6
    assert [row["t"] for row in rows_of(html)] == [evil, evil]


@pytest.mark.parametrize("address", ["javascript:alert(1)", "https://elsewhere.example/v.mp4", "s3://archive", ""])
async def test_only_objects_are_linked(store: ObjectStore, address: str) -> None:
    """A video's address that is none makes no link."""
    await report_on(store, [make_row(1, RowState.DONE, video=address, poster=address)], 1)

    (row,) = rows_of(await text_of(store, "report.html"))
    assert "v" not in row
    assert "i" not in row


async def test_a_large_batch_shows_all_problems_and_some_videos(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page stays small enough for a phone and says what it leaves to the table."""
    monkeypatch.setattr(page, "MOST_VIDEOS", 10)
    rows = [make_row(number, RowState.FAILED if number % 2 else RowState.DONE) for number in range(1, 61)]

    await report_on(store, rows, 60)

    html = await text_of(store, "report.html")
    shown = rows_of(html)
    assert [row["n"] for row in shown if row["s"] == "done"] == list(range(2, 21, 2))
    assert [row["n"] for row in shown if row["s"] == "failed"] == list(range(1, 60, 2))
    assert "The first 10 of 30 videos are shown" in html
    assert len(await table_of(store)) == 60


async def test_unknown_prices_are_not_free(store: ObjectStore) -> None:
    """Costs are summed by provider and unit; what has no known price is a line of its own."""
    rows = [
        make_row(1, RowState.DONE, estimate=Decimal("1.50")),
        make_row(2, RowState.DONE, estimate=Decimal("0.25")),
        make_row(3, RowState.DONE, provider="mingyan", estimate=None),
        make_row(4, RowState.FAILED, provider="mingyan", estimate=Decimal(2), unit="CNY"),
        make_row(5, RowState.THERE),
        make_row(6, RowState.FAILED),
    ]

    await report_on(store, rows, 6)

    html = await text_of(store, "report.html")
    costs = re.findall(r'<th scope="row">(.*?)</th><td class="figure">(.*?)</td><td class="figure">(.*?)</td>', html)
    assert costs == [("mingyan", "1", "2 CNY"), ("mingyan", "1", "unknown"), ("topview", "2", "1.75 credits")]


async def test_written_again_it_replaces_the_first(store: ObjectStore) -> None:
    """A report that is written anew is the only one."""
    await report_on(store, [make_row(1, RowState.UNFINISHED)], 1)

    written = await report_on(store, [make_row(1, RowState.DONE)], 1)

    assert [line["outcome"] for line in await table_of(store)] == ["done"]
    assert written.poster_link.startswith(f"{store.public_address}/archive/clips/1.jpg?")
    assert written.html_link not in repr(written)
