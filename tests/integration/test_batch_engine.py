"""The engine of a batch with a real ledger and a scripted provider: money, ends, outages, duplicates.

The object store is stubbed at its border; whole batches with a real one are in tests/e2e/test_batch.py.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks import plan, registry, submit
from tasks.batch import admission, engine, finishing, intake, session
from tasks.batch.admission import Admission
from tasks.batch.book import Book
from tasks.batch.engine import Engine, Orders
from tasks.batch.intake import Beginner, Intake
from tasks.batch.request import ShardRequest
from tasks.batch.resuming import AcceptedOnly
from tasks.batch.row_file import RowFile
from tasks.batch.stopping import Stopping
from tasks.batch.task_runs import TaskRuns
from tasks.errors import ProviderRejected, StudioUnavailable
from tasks.ledger import Intent, State
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.ledger.opening import open_ledger
from tasks.ledger.store import Ledger
from tasks.providers.base import JobStatus, ResultFile, SubmitOrder
from tasks.settings import get_settings
from tests.scripted_provider import ScriptedProvider

BATCH = "ab" * 16
DONE = JobStatus(phase="succeeded", word="done", result=ResultFile(location="https://host/video.mp4"))
RUNNING = JobStatus(phase="running", word="running")


class Renderer(ScriptedProvider):
    """Takes a while for each job."""

    seconds = 0.3

    async def submit(self, order: SubmitOrder) -> str:
        job = f"{self.name}-{await super().submit(order)}"
        self.began[job] = time.monotonic()
        return job

    @property
    def began(self) -> dict[str, float]:
        return self.__dict__.setdefault("_began", {})

    async def query(self, job_id: str) -> JobStatus:
        self.queries += 1
        if self.query_errors:
            raise self.query_errors.pop(0)
        return DONE if time.monotonic() - self.began[job_id] > self.seconds else RUNNING


@contextmanager
def providers(**by_name: ScriptedProvider) -> Iterator[None]:
    """These providers and no others."""

    async def get(name: str) -> ScriptedProvider:
        return by_name[name]

    with pytest.MonkeyPatch.context() as patch:
        for module in (registry, submit, plan):
            patch.setattr(module, "get_provider", get)
        yield


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Render keys in the archive."""
    there: set[str] = set()

    async def find_finished(plans: Any, _delivery: Any) -> str | None:
        return next((found.render_key for found in plans if found.render_key in there), None)

    async def find_original(_plans: Any) -> None:
        return None

    async def archive_original(entry: Any, _result: Any, _folder: Path) -> str:
        async with open_ledger() as ledger:
            await ledger.mark_archived(entry.id, "s3://archive/video.mp4")
        there.add(entry.render_key)
        return entry.render_key

    async def hand_out(record: str, *_: Any) -> str:
        return record

    def row_of_video(number: int, run_id: str, key: str, state: RowState, _entry: Any = None) -> BatchRow:
        return BatchRow(number=number, run_id=run_id, state=state, render_key=key, updated_at=datetime.now(UTC))

    monkeypatch.setattr(intake, "find_finished", find_finished)
    monkeypatch.setattr(intake, "find_original", find_original)
    monkeypatch.setattr(finishing, "archive_original", archive_original)
    monkeypatch.setattr(finishing, "hand_out", hand_out)
    monkeypatch.setattr(intake, "row_of_video", row_of_video)
    monkeypatch.setattr(finishing, "row_of_video", row_of_video)
    monkeypatch.setattr(admission, "PAUSE_SECONDS", 0.3)
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(submit, "NEXT_TRY_SECONDS", 0.3)
    monkeypatch.setattr(engine, "REFOLLOW_SECONDS", 0.5)
    return there


@pytest.fixture
async def ledger(studio_home: Path, archive: set[str]) -> AsyncIterator[Ledger]:
    """The studio's own."""
    async with open_ledger() as opened:
        yield opened


def request(text: str, provider: str = "topview") -> dict[str, Any]:
    return {
        "provider": provider,
        "title": text,
        "avatar": {"avatar_id": "a1"},
        "speech": {"text": text, "voice": "v1"},
    }


@dataclass
class Running:
    """A batch at work."""

    book: Book
    task: asyncio.Task[None]
    stopping: Stopping

    async def end(self, seconds: float = 20) -> dict[RowState, int]:
        await asyncio.wait_for(self.task, seconds)
        await self.book.flush()
        return {state: count for state, count in self.book.counts.items() if count}


class Lab:
    """Starts batches on one ledger."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger, self.folder, self._count = ledger, folder, 0

    def rows(self, requests: list[dict[str, Any]]) -> RowFile:
        self._count += 1
        path = self.folder / f"rows-{self._count}.jsonl"
        lines = [{"number": number, "request": found} for number, found in enumerate(requests, start=1)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return RowFile([path])

    def start(
        self,
        rows: RowFile,
        run_id: str = "run",
        *,
        in_flight: int = 100,
        seconds: float = 60,
        beginner: Beginner | None = None,
    ) -> Running:
        book, stopping, until = Book(self.ledger, BATCH), Stopping(), time.monotonic() + seconds
        if beginner is None:
            door = Admission(self.ledger, until=until, stopping=stopping)
            beginner = Intake(rows, self.folder, owner=run_id, admission=door, announce=book.announce)
        orders = Orders(run_id, in_flight=in_flight, until=until)
        shown = TaskRuns(rows.numbers, most=500)
        made = Engine(
            self.ledger,
            orders,
            rows,
            beginner=beginner,
            book=book,
            shown=shown,
            folder=self.folder,
            stopping=stopping,
        )
        return Running(book, asyncio.create_task(made.run(rows.numbers)), stopping)


@pytest.fixture
def lab(ledger: Ledger, tmp_path: Path) -> Lab:
    return Lab(ledger, tmp_path)


async def until(reached: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_every_row_gets_its_outcome_with_one_place_in_flight(lab: Lab) -> None:
    """The narrowest batch: nothing waits for a place that nobody gives back."""
    with providers(topview=Renderer(name="topview")) as _:
        running = lab.start(lab.rows([request(f"row {n}") for n in range(4)]), in_flight=1)

        assert await running.end(40) == {RowState.DONE: 4}


async def test_many_rows_that_want_one_video_pay_once_and_are_planned_twice_at_most(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Duplicates wait for their leader and are then told from the archive, each once."""
    planned = 0
    real = intake.plan_renders

    async def counted(*given: Any) -> Any:
        nonlocal planned
        planned += 1
        return await real(*given)

    monkeypatch.setattr(intake, "plan_renders", counted)
    top = Renderer(name="topview")
    with providers(topview=top):
        running = lab.start(lab.rows([request("the same")] * 60))

        assert await running.end() == {RowState.DONE: 1, RowState.THERE: 59}
    assert len(top.orders) == 1
    assert planned <= 120


async def test_duplicates_of_a_failed_row_fail_with_it_and_are_not_paid(lab: Lab) -> None:
    """The same render would fail in the same way; what is known of it stays in the books."""
    top = Renderer(name="topview", submit_errors=[ProviderRejected("the voice is gone.", provider="topview")])
    with providers(topview=top):
        running = lab.start(lab.rows([request("the same")] * 5))

        assert await running.end() == {RowState.FAILED: 5}
    assert top.orders == []
    (first, *_) = await lab.ledger.batch_rows(BATCH, run_id="run")
    assert (first.provider, first.unit, bool(first.render_key)) == ("topview", "credits", True)


def look_up_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep rows in preparation for a second."""

    async def slow(_plans: Any, _delivery: Any) -> None:
        await asyncio.sleep(1)

    monkeypatch.setattr(intake, "find_finished", slow)


async def test_nothing_is_submitted_after_the_run_was_asked_to_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are being prepared are not begun any more; they say so."""
    look_up_slowly(monkeypatch)
    top = Renderer(name="topview")
    with providers(topview=top):
        running = lab.start(lab.rows([request(f"row {n}") for n in range(30)]))
        await asyncio.sleep(0.5)
        running.stopping.asked.set()

        assert set(await running.end()) <= {RowState.NOT_STARTED}
    assert top.orders == []


async def test_nothing_is_submitted_after_the_deadline(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would wait for it."""
    look_up_slowly(monkeypatch)
    top = Renderer(name="topview")
    with providers(topview=top):
        running = lab.start(lab.rows([request(f"row {n}") for n in range(30)]), seconds=0.3)

        assert set(await running.end()) == {RowState.NOT_STARTED}
    assert top.orders == []


async def test_rows_wait_while_the_provider_is_full(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, studio_home: Path
) -> None:
    """A limit of two at once makes a batch slower, and takes no row out of it."""
    monkeypatch.setenv("STUDIO_CONCURRENCY", '{"topview": 2}')
    get_settings.cache_clear()
    top = Renderer(name="topview")
    with providers(topview=top):
        running = lab.start(lab.rows([request(f"row {n}") for n in range(8)]))

        assert await running.end(60) == {RowState.DONE: 8}
    assert len(top.orders) == 8


async def test_a_budget_that_is_used_up_stops_its_own_rows_only(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the capped provider are not started and say why; the others have their videos."""
    monkeypatch.setenv("STUDIO_BUDGETS", '{"topview": {"run": "2"}}')
    get_settings.cache_clear()
    top, other = Renderer(name="topview"), Renderer(name="mingyan", endpoint="file:other")
    rows = [request(f"row {n}", "topview" if n % 2 else "mingyan") for n in range(12)]
    with providers(topview=top, mingyan=other):
        running = lab.start(lab.rows(rows))

        assert await running.end() == {RowState.DONE: 8, RowState.NOT_STARTED: 4}
    assert (len(top.orders), len(other.orders)) == (2, 6)
    refused = await lab.ledger.batch_rows(BATCH, run_id="run", states={RowState.NOT_STARTED})
    assert all("may cost at most 2" in row.reason and "STUDIO_BUDGETS" in row.fix for row in refused)


async def test_waiting_renders_are_followed_again_after_the_scheduler_broke(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage of the ledger that outlasts its patience takes no paid render out of the batch."""
    top = Renderer(name="topview")
    top.seconds = 2
    with providers(topview=top):
        running = lab.start(lab.rows([request(f"row {n}") for n in range(6)]))
        await until(lambda: len(top.orders) == 6)

        async def away(*_: Any, **__: Any) -> None:
            raise StudioUnavailable("the ledger has not answered for 60 s.")

        with monkeypatch.context() as outage:
            outage.setattr(lab.ledger, "news", away)
            await asyncio.sleep(1)

        assert await running.end() == {RowState.DONE: 6}


async def test_outcomes_are_written_after_an_outage(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The book goes on; nothing that was noted meanwhile is lost."""
    book = Book(lab.ledger, BATCH)
    facts = {"run_id": "run", "state": RowState.DONE, "updated_at": datetime.now(UTC)}

    async def away(*_: Any) -> None:
        raise StudioUnavailable("the ledger has not answered for 60 s.")

    async with session._kept(book):
        with monkeypatch.context() as outage:
            outage.setattr(lab.ledger, "note_rows", away)
            book.note(BatchRow(number=1, **facts))
            await asyncio.sleep(0.8)
        book.note(BatchRow(number=2, **facts))
        await asyncio.sleep(0.8)

        assert [row.number for row in await lab.ledger.batch_rows(BATCH, run_id="run")] == [1, 2]


async def test_a_refused_question_leaves_a_paid_render_unfinished_and_not_failed(lab: Lab) -> None:
    """A key that was exchanged says nothing about the render."""
    top = Renderer(name="topview", query_errors=[ProviderRejected("the key is wrong.", provider="topview")])
    with providers(topview=top):
        running = lab.start(lab.rows([request("row")]))

        assert await running.end() == {RowState.UNFINISHED: 1}
    (row,) = await lab.ledger.batch_rows(BATCH, run_id="run")
    assert row.render_key
    assert "key is wrong" in row.reason


async def test_a_row_that_cannot_be_read_ends_alone(lab: Lab) -> None:
    """One broken line is the outcome of one row."""
    rows = [request("good"), {"nonsense": 1}, request("also good")]
    with providers(topview=Renderer(name="topview")):
        running = lab.start(lab.rows(rows))

        assert await running.end() == {RowState.DONE: 2, RowState.FAILED: 1}


async def _cancelled_with(lab: Lab, rows: RowFile, top: Renderer, count: int) -> list[BatchRow]:
    """What a batch leaves that is killed once so many renders are accepted."""
    running = lab.start(rows, "first")
    await until(lambda: len(top.orders) == count)
    running.task.cancel()
    await asyncio.gather(running.task, return_exceptions=True)
    order = ShardRequest(batch_id=BATCH, run_id="first")
    return await session.begun_rows(lab.ledger, order)


async def test_what_was_accepted_before_a_kill_is_finished_by_the_run_that_follows(lab: Lab) -> None:
    """Each accepted render is found by the record that was written before it was submitted."""
    top = Renderer(name="topview")
    top.seconds = 2
    rows = lab.rows([request(f"row {n}") for n in range(5)])
    with providers(topview=top):
        begun = await _cancelled_with(lab, rows, top, 5)
        assert len(begun) == 5
        follower = AcceptedOnly(lab.ledger, begun, drop=False, owner="first")

        assert await lab.start(rows, "first", beginner=follower).end() == {RowState.DONE: 5}
    assert len(top.orders) == 5


async def test_dropping_gives_up_own_renders_only(lab: Lab) -> None:
    """What another batch is waiting for, or has submitted, is not given up; the rest is, and says that it may cost."""
    top = Renderer(name="topview")
    top.seconds = 60
    rows = lab.rows([request(f"row {n}") for n in range(3)])
    with providers(topview=top):
        begun = await _cancelled_with(lab, rows, top, 3)
        other = lab.start(lab.rows([request("row 1")]), "second")
        await until(lambda: other.book.counts[RowState.RENDERING] == 1)
        await other.book.flush()
        dropper = AcceptedOnly(lab.ledger, begun, drop=True, owner="first")

        given_up = [await dropper.begin(row.number) for row in begun]

        states = [found.state if isinstance(found, BatchRow) else "followed" for found in given_up]
        assert states == [RowState.NOT_STARTED, "followed", RowState.NOT_STARTED]
        assert "may still cost money" in given_up[0].reason
        other.task.cancel()
        await asyncio.gather(other.task, return_exceptions=True)
    entries = await lab.ledger.in_states({State.SUBMITTED})
    assert len(entries) == 1


async def test_following_does_not_spin_on_a_submission_under_way(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that another run is submitting just now is waited for, with a deadline."""
    monkeypatch.setenv("STUDIO_SUBMIT_TIMEOUT_SECONDS", "1")
    get_settings.cache_clear()
    top = Renderer(name="topview")
    top.seconds = 60
    rows = lab.rows([request("row")])
    with providers(topview=top):
        (begun,) = await _cancelled_with(lab, rows, top, 1)
        entry = await lab.ledger.find(begun.render_key or "")
        assert entry is not None
        await lab.ledger.mark_cancelled(entry.id, "tried anew", charged=False, expected=State.SUBMITTED)
        intent = Intent.model_validate({name: getattr(entry, name) for name in Intent.model_fields})
        again, _ = await lab.ledger.reserve(intent, owner="another")
        await lab.ledger.mark_submitting(again.id, "another")
        follower = AcceptedOnly(lab.ledger, [begun], drop=False, owner="first")

        assert await lab.start(rows, "first", beginner=follower).end() == {RowState.NOT_STARTED: 1}
