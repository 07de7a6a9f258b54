"""What a batch shows on its run's page while it works and when it ends, on a real Prefect server."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.testing.utilities import prefect_test_harness

from tasks.batch import progress, showing
from tasks.batch.progress import OUTCOMES_KEY, PROGRESS_KEY, BatchProgress, outcome_lines
from tasks.batch.report import WrittenReport
from tasks.batch.showing import POSTER_KEY, REPORT_KEY, show_report
from tasks.ledger.batch_models import RowState
from tests.reported_batch import NOW, make_batch

COUNTS = {RowState.RENDERING: 5, RowState.DONE: 3, RowState.FAILED: 1}


@pytest.fixture(scope="module", autouse=True)
def prefect_server() -> Iterator[None]:
    """A Prefect server of this module."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that were sent."""
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(showing, "emit_event", lambda event, **facts: events.append({"event": event, **facts}))
    return events


def make_report(**changes: Any) -> WrittenReport:
    facts = {
        "html": "s3://archive/b/report.html",
        "csv": "s3://archive/b/outcomes.csv",
        "html_link": "http://archive.example/b/report.html?signed",
        "csv_link": "http://archive.example/b/outcomes.csv?signed",
        "poster_link": "http://archive.example/poster.jpg?signed",
        "counts": {RowState.DONE: 9, RowState.FAILED: 1},
        "links_expire_at": NOW + timedelta(days=7),
    }
    return WrittenReport.model_validate(facts | changes)


async def shown_by(state: State[Any]) -> dict[str, Any]:
    """The artifacts of a run by key, each key once."""
    run_id = state.state_details.flow_run_id
    assert isinstance(run_id, UUID)
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )
    keys = [artifact.key for artifact in found]
    assert len(keys) == len(set(keys))
    return {artifact.key or "": artifact for artifact in found}


def lines_of(artifact: Any) -> dict[str, int]:
    return {line["outcome"]: line["rows"] for line in json.loads(artifact.data)}


async def test_bar_and_table_follow_the_counts(sent: list[dict[str, Any]]) -> None:
    """The bar counts settled rows, the table all; both are brought up to date in place, and the end replaces them."""

    @flow
    async def batch_run(*, ends: bool) -> None:
        bar = BatchProgress(10)
        await bar.show(COUNTS)
        await bar.show({**COUNTS, RowState.DONE: 4}, at_once=True)
        if ends:
            await show_report(make_batch(10), make_report())

    working = await shown_by(await batch_run(ends=False, return_state=True))
    ended = await shown_by(await batch_run(ends=True, return_state=True))

    assert float(working[PROGRESS_KEY].data) == 50
    assert working[PROGRESS_KEY].description == "5 of 10 rows settled, 5 in flight"
    assert lines_of(working[OUTCOMES_KEY]) == {"rendering": 5, "done": 4, "failed": 1}
    assert set(ended) == {PROGRESS_KEY, OUTCOMES_KEY, REPORT_KEY, POSTER_KEY}
    assert lines_of(ended[OUTCOMES_KEY]) == {"done": 9, "failed": 1}
    assert "http://archive.example/b/report.html?signed" in ended[REPORT_KEY].data


async def test_the_page_is_not_drawn_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts that change all the time cost the server two updates at most every two seconds."""
    drawn: list[Mapping[RowState, int]] = []

    async def note(_self: BatchProgress, counts: Mapping[RowState, int]) -> None:
        drawn.append(counts)

    monkeypatch.setattr(BatchProgress, "_draw_bar", note)
    monkeypatch.setattr(BatchProgress, "_draw_table", note)

    @flow
    async def batch_run() -> None:
        bar = BatchProgress(1000)
        for done in range(1000):
            await bar.show({RowState.DONE: done})
        await bar.show({RowState.DONE: 1000}, at_once=True)
        monkeypatch.setattr(progress, "PAUSE_SECONDS", 0)
        await bar.show({RowState.DONE: 1000}, at_once=True)
        await bar.show({RowState.DONE: 1000})

    await batch_run()

    assert [counts[RowState.DONE] for counts in drawn] == [0, 0, *[1000] * 6]


async def test_what_cannot_be_drawn_does_not_end_the_batch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sent: list[dict[str, Any]]
) -> None:
    """A server that refuses, or does not answer, costs the picture and a warning, and the event still goes out."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("the server is away")

    for module, name in [
        (progress, "acreate_progress_artifact"),
        (progress, "acreate_table_artifact"),
        (showing, "acreate_link_artifact"),
        (showing, "acreate_image_artifact"),
    ]:
        monkeypatch.setattr(module, name, refuse)

    @flow
    async def batch_run() -> str:
        await BatchProgress(10).show(COUNTS)
        await show_report(make_batch(10), make_report())
        return "went on"

    assert await batch_run() == "went on"
    assert len(sent) == 1
    warned = [record.getMessage() for record in caplog.records if record.name == "studio.batch"]
    assert [line.split()[2] for line in warned] == [
        f"what={key}" for key in (PROGRESS_KEY, OUTCOMES_KEY, REPORT_KEY, OUTCOMES_KEY, POSTER_KEY)
    ]


async def test_one_event_tells_the_end(sent: list[dict[str, Any]]) -> None:
    """It names batch, run, outcomes and files; told again by a restarted run it is the same event."""

    @flow
    async def batch_run() -> None:
        await show_report(make_batch(10), make_report())
        await show_report(make_batch(10), make_report())

    await batch_run()

    first, again = sent
    assert first == again
    assert first["event"] == "studio.batch.ended"
    batch = make_batch(10)
    assert first["resource"]["prefect.resource.id"] == f"studio.batch.{batch.id}"
    assert first["payload"] == {
        "run": batch.run_id,
        "rows": 10,
        "outcomes": {"done": 9, "failed": 1},
        "report": "s3://archive/b/report.html",
        "table": "s3://archive/b/outcomes.csv",
    }
    json.dumps(first["payload"])


async def test_without_prefect_nothing_is_shown(sent: list[dict[str, Any]], studio_home: Path) -> None:
    """The same functions serve a plain call, which has no page."""
    await BatchProgress(10).show(COUNTS)
    await show_report(make_batch(10), make_report())

    assert sent == []


@pytest.mark.parametrize(
    ("counts", "total", "lines"),
    [
        ({}, 4, [("not started", 4, "100.0 %")]),
        ({RowState.DONE: 1, RowState.NOT_STARTED: 1}, 4, [("done", 1, "25.0 %"), ("not started", 3, "75.0 %")]),
        ({RowState.DONE: 2, RowState.FAILED: 0}, 2, [("done", 2, "100.0 %")]),
        ({}, 0, []),
    ],
)
def test_lines_of_the_table(counts: dict[RowState, int], total: int, lines: list[tuple[str, int, str]]) -> None:
    """Rows without a record have not been started, outcomes without rows have no line."""
    assert [tuple(line.values()) for line in outcome_lines(counts, total)] == lines
