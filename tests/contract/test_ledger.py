"""The ledger's contract, the same on a SQLite file and on a real PostgreSQL."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Executable, text, update
from sqlalchemy.exc import IntegrityError, StatementError

from tasks.errors import LedgerConflict, StillRunning, StudioUnavailable
from tasks.ledger import TRANSITIONS, Charge, Entry, Intent, State, StateConflict
from tasks.ledger.database import Database
from tasks.ledger.schema import REVISION, metadata, submissions
from tasks.ledger.store import Ledger
from tests.servers.postgres import PostgresServer

_ROOT = Path(__file__).parents[2]
_keys = count(1)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'state' / 'ledger.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database()


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    async with await Ledger.open(url) as opened:
        yield opened


def an_intent(render_key: str | None = None, **more: Any) -> Intent:
    facts = {"provider": "local", "account": "local", "endpoint": "file:test"} | more
    return Intent(render_key=render_key or f"{next(_keys):064x}", **facts)


async def reserved(ledger: Ledger, **more: Any) -> Entry:
    entry, created = await ledger.reserve(an_intent(**more), owner="run-1")
    assert created
    return entry


async def plan_of(url: str, query: Executable) -> str:
    """How the database goes about a query, when it may not simply read a small table through."""
    database = Database(url, patience=5)

    async def work(connection: Any) -> str:
        is_sqlite = connection.dialect.name == "sqlite"
        if not is_sqlite:
            for way in ("seqscan", "bitmapscan"):
                await connection.execute(text(f"SET LOCAL enable_{way} = off"))
        compiled = query.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        lines = (await connection.execute(text(f"{explain} {compiled}".replace(":", "\\:")))).all()
        return "\n".join(str(line[-1]) for line in lines)

    try:
        return await database.read(work)
    finally:
        await database.close()


Step = Callable[[Ledger, Entry], Awaitable[Entry]]

PATHS: dict[State, tuple[State, Step]] = {
    State.SUBMITTING: (State.RESERVED, lambda ledger, row: ledger.mark_submitting(row.id, "run-1")),
    State.SUBMITTED: (State.SUBMITTING, lambda ledger, row: ledger.mark_submitted(row.id, f"job-{row.id}")),
    State.SUCCEEDED: (State.SUBMITTED, lambda ledger, row: ledger.mark_succeeded(row.id, {"seconds": 1.5})),
    State.ARCHIVED: (State.SUCCEEDED, lambda ledger, row: ledger.mark_archived(row.id, "s3://archive/x.mp4")),
    State.AMBIGUOUS: (State.SUBMITTING, lambda ledger, row: ledger.mark_ambiguous(row, "no answer")),
    State.FAILED: (
        State.RESERVED,
        lambda ledger, row: ledger.mark_failed(row.id, "bad file", charged=None, expected=State.RESERVED),
    ),
    State.CANCELLED: (
        State.RESERVED,
        lambda ledger, row: ledger.mark_cancelled(row.id, "not wanted", charged=None, expected=State.RESERVED),
    ),
}


async def brought_to(ledger: Ledger, state: State, **more: Any) -> Entry:
    """Reserve a new render and take it to a state."""
    if state is State.RESERVED:
        return await reserved(ledger, **more)
    before, step = PATHS[state]
    return await step(ledger, await brought_to(ledger, before, **more))


# Every public change, with the state it expects and the state it leads to.
CHANGES: list[tuple[State, State, Step]] = [
    (State.RESERVED, State.SUBMITTING, PATHS[State.SUBMITTING][1]),
    (State.SUBMITTING, State.SUBMITTED, PATHS[State.SUBMITTED][1]),
    (State.SUBMITTED, State.SUCCEEDED, PATHS[State.SUCCEEDED][1]),
    (State.SUCCEEDED, State.ARCHIVED, PATHS[State.ARCHIVED][1]),
    (State.ARCHIVED, State.SUCCEEDED, lambda ledger, row: ledger.mark_archive_lost(row.id, "retired")),
    (State.SUBMITTING, State.AMBIGUOUS, PATHS[State.AMBIGUOUS][1]),
    (State.SUBMITTING, State.RESERVED, lambda ledger, row: ledger.release(row, "busy")),
    (State.SUBMITTED, State.AMBIGUOUS, lambda ledger, row: ledger.mark_denied(row.id, "no such job")),
    (
        State.AMBIGUOUS,
        State.SUBMITTED,
        lambda ledger, row: ledger.settle(row.id, State.SUBMITTED, owner="p", note="found", job_id=f"job-{row.id}"),
    ),
    *[
        (State.AMBIGUOUS, to, lambda ledger, row, to=to: ledger.settle(row.id, to, owner="p", note="looked"))
        for to in (State.RESERVED, State.CANCELLED)
    ],
    *[
        (
            before,
            State.FAILED,
            lambda ledger, row, before=before: ledger.mark_failed(row.id, "why", charged=True, expected=before),
        )
        for before in (State.RESERVED, State.SUBMITTING, State.SUBMITTED, State.SUCCEEDED)
    ],
    *[
        (
            before,
            State.CANCELLED,
            lambda ledger, row, before=before: ledger.mark_cancelled(row.id, "why", charged=None, expected=before),
        )
        for before in (State.RESERVED, State.SUBMITTED, State.SUCCEEDED)
    ],
]


def test_every_allowed_transition_has_a_method() -> None:
    """The table of transitions and the methods say the same, so neither grows alone."""
    offered = {(before, after) for before, after, _ in CHANGES}

    assert offered == {(before, after) for before, afters in TRANSITIONS.items() for after in afters}


async def test_allowed_changes_are_made_and_remembered(ledger: Ledger) -> None:
    """Each allowed change moves the row and appends exactly one event that says from where to where."""
    for before, after, change in CHANGES:
        row = await brought_to(ledger, before)
        known = len(await ledger.history(row.render_key))

        assert (await change(ledger, row)).state == after
        assert (await ledger.get(row.id)).state == after
        events = (await ledger.history(row.render_key))[known:]
        assert [(event.before, event.after) for event in events] == [(before, after)]


async def test_every_other_change_is_refused(ledger: Ledger) -> None:
    """A change that expects another state changes nothing, and the conflict names the actual state."""
    for actual in State:
        for expected, after, change in CHANGES:
            if actual in {expected, after}:
                continue
            row = await brought_to(ledger, actual)
            with pytest.raises(StateConflict) as refused:
                await change(ledger, row)

            assert refused.value.actual == actual
            assert await ledger.get(row.id) == row


async def test_illegal_expectations_are_mistakes_of_the_caller(ledger: Ledger) -> None:
    """Failing an archived row, or cancelling one that may be submitted, is refused even if the state matches."""
    row = await brought_to(ledger, State.ARCHIVED)
    with pytest.raises(ValueError, match="cannot go from archived to failed"):
        await ledger.mark_failed(row.id, "no", charged=None, expected=State.ARCHIVED)
    row = await brought_to(ledger, State.SUBMITTING)
    with pytest.raises(ValueError, match="cannot go from submitting to cancelled"):
        await ledger.mark_cancelled(row.id, "no", charged=None, expected=State.SUBMITTING)


async def test_repeating_a_change_with_the_same_facts_is_harmless(ledger: Ledger) -> None:
    """After a lost answer a caller may say the same again; another fact is still a conflict."""
    row = await brought_to(ledger, State.SUBMITTED)
    again = await ledger.mark_submitted(row.id, row.job_id or "")
    assert again == row
    with pytest.raises(StateConflict):
        await ledger.mark_submitted(row.id, "another-job")
    row = await ledger.mark_succeeded(row.id, {"seconds": 2.5, "notes": ["é", "\x00"]})
    assert await ledger.mark_succeeded(row.id, {"seconds": 2.5, "notes": ["é", "\x00"]}) == row
    assert len(await ledger.history(row.render_key)) == 4


async def test_the_right_to_submit_is_given_once(ledger: Ledger) -> None:
    """Even the same flow run cannot take the right to submit twice: two of its coroutines may hold one key."""
    row = await reserved(ledger)
    outcomes = await asyncio.gather(
        *(ledger.mark_submitting(row.id, "run-1") for _ in range(20)), return_exceptions=True
    )

    assert sum(isinstance(outcome, Entry) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, StateConflict) for outcome in outcomes) == 19


class LostAnswers(Database):
    """A database whose every first commit answer is lost on the way."""

    lose = False

    async def _transact(self, work: Any, *, writes: bool) -> Any:
        done = await super()._transact(work, writes=writes)
        if writes and self.lose:
            self.lose = False
            raise ConnectionResetError("the answer to COMMIT never came")
        return done


async def test_a_lost_commit_answer_changes_nothing(ledger: Ledger, url: str) -> None:
    """Work that was committed without an answer is recognised, not done or refused a second time."""
    database = LostAnswers(url, patience=10)
    flaky = Ledger(database)
    database.lose = True
    row, created = await flaky.reserve(an_intent(), owner="run-1")
    assert created
    database.lose = True
    assert (await flaky.mark_submitting(row.id, "run-1")).state == State.SUBMITTING
    database.lose = True
    assert (await flaky.mark_submitted(row.id, "job-lost")).job_id == "job-lost"
    assert not database.lose
    assert len(await ledger.history(row.render_key)) == 3
    await flaky.close()


async def test_a_cancelled_caller_does_not_lose_the_job_id(ledger: Ledger) -> None:
    """A flow that is cancelled while it stores a job id still stores it."""
    for delay in (0, 0.0005, 0.002):
        row = await brought_to(ledger, State.SUBMITTING)
        task = asyncio.create_task(ledger.mark_submitted(row.id, f"job-{delay}-{row.id}"))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.wait({task})

        assert (await ledger.get(row.id)).state == State.SUBMITTED


async def test_failed_and_cancelled_renders_are_reserved_again(ledger: Ledger) -> None:
    """A new attempt is a new row; the old one keeps its history and its cost."""
    row = await brought_to(ledger, State.SUBMITTED)
    await ledger.mark_failed(row.id, "face lost", charged=True, expected=State.SUBMITTED)
    second, created = await ledger.reserve(an_intent(row.render_key), owner="run-2")
    assert (created, second.attempt, second.state) == (True, 2, State.RESERVED)
    await ledger.mark_cancelled(second.id, "changed my mind", charged=None, expected=State.RESERVED)
    third, created = await ledger.reserve(an_intent(row.render_key), owner="run-3")
    assert (created, third.attempt) == (True, 3)
    assert (await ledger.get(row.id)).reason == "face lost"
    assert (await ledger.get(second.id)).charged is False
    assert (await ledger.find(row.render_key)) == third
    assert [event.attempt for event in await ledger.history(row.render_key)] == [1, 1, 1, 1, 2, 2, 3]


async def test_open_rows_hold_their_key(ledger: Ledger) -> None:
    """Reserving a render that is reserved, on its way, ambiguous or archived returns that row."""
    for state in State:
        row = await brought_to(ledger, state)
        found, created = await ledger.reserve(an_intent(row.render_key), owner="run-2")

        assert created == (state in {State.FAILED, State.CANCELLED})
        assert (found.id == row.id) == (not created)


async def test_one_job_id_belongs_to_one_submission(ledger: Ledger) -> None:
    """The same job id at the same endpoint is refused with its name; elsewhere it is another job."""
    first, second = [await brought_to(ledger, State.SUBMITTING) for _ in range(2)]
    elsewhere = await brought_to(ledger, State.SUBMITTING, endpoint="file:other")
    await ledger.mark_submitted(first.id, "job-7")
    await ledger.mark_submitted(elsewhere.id, "job-7")
    with pytest.raises(LedgerConflict, match="job-7 already belongs"):
        await ledger.mark_submitted(second.id, "job-7")
    assert (await ledger.get(second.id)).state == State.SUBMITTING
    lost = await brought_to(ledger, State.AMBIGUOUS)
    with pytest.raises(LedgerConflict, match="job-7 already belongs"):
        await ledger.settle(lost.id, State.SUBMITTED, owner="p", note="a wrong id", job_id="job-7")
    assert await ledger.get(lost.id) == lost


async def test_facts_survive_the_round_trip(ledger: Ledger) -> None:
    """Amounts stay exact, text stays whole, moments stay aware, on both databases."""
    intent = an_intent(
        payload={"text": "你好 \U0001f600 \x00 \ud800", "nested": [1, 2.5, None, {"a": True}]},
        inputs={"avatar": "file:1"},
        context={"request": {"title": "你好 \x00"}, "media": [{"seconds": 1.5}]},
        estimate=Decimal("1234567.000001"),
        unit="credits",
        title="quote ' and 你好",
        speech_seconds=12.25,
        mode="fast",
    )
    row, _ = await ledger.reserve(intent, owner="run-1")
    row = await ledger.mark_submitting(row.id, "run-2", inputs={"avatar": "file:2", "speech": "file:3"})

    assert Intent.model_validate(row.model_dump(include=set(Intent.model_fields) - {"inputs"})) == intent.model_copy(
        update={"inputs": {}}
    )
    assert row.inputs == {"avatar": "file:2", "speech": "file:3"}
    assert (row.owner, row.reserved_by) == ("run-2", "run-1")
    assert row.created_at.tzinfo is UTC
    odd = await ledger.mark_failed(row.id, "vendor said \x00\ud800", charged=False, expected=State.SUBMITTING)
    assert odd.reason == "vendor said \ufffd\ufffd"


async def test_moments_are_aware(url: str) -> None:
    """A naive clock is refused before it writes; another zone's clock is stored as UTC."""
    async with await Ledger.open(url, clock=lambda: datetime(2026, 1, 1)) as ledger:  # noqa: DTZ001 - naive on purpose
        with pytest.raises((StatementError, ValueError), match="naive"):
            await ledger.reserve(an_intent(), owner="run-1")
    shanghai = timezone(timedelta(hours=8))
    async with await Ledger.open(url, clock=lambda: datetime(2026, 1, 1, 4, tzinfo=shanghai)) as ledger:
        row = await reserved(ledger)
        assert row.created_at == datetime(2025, 12, 31, 20, tzinfo=UTC)
        assert row.created_at.utcoffset() == timedelta(0)


async def test_stale_and_due_rows_are_found(url: str) -> None:
    """Rows left behind are found by state and age; accepted rows by their next poll."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    async with await Ledger.open(url, clock=lambda: now) as ledger:
        old = await brought_to(ledger, State.SUBMITTED)
        now += timedelta(hours=2)
        young = await brought_to(ledger, State.SUBMITTED)

        assert await ledger.stale(State.SUBMITTED, timedelta(hours=1)) == [old]
        assert await ledger.stale(State.RESERVED, timedelta(0)) == []
        await ledger.set_next_poll(young.id, now + timedelta(minutes=1))
        await ledger.set_next_poll(old.id, now - timedelta(minutes=1))
        assert [row.id for row in await ledger.due("local")] == [old.id]
        now += timedelta(hours=1)
        assert [row.id for row in await ledger.due("local")] == [old.id, young.id]
        await ledger.mark_succeeded(old.id, {})
        assert [row.id for row in await ledger.due("local")] == [young.id]


async def test_restarts_are_counted(ledger: Ledger) -> None:
    """Every restart of a flow run counts once, also when several arrive together."""
    counts = await asyncio.gather(*(ledger.count_restart("run-1") for _ in range(10)))

    assert sorted(counts) == list(range(1, 11))
    assert await ledger.count_restart("run-2") == 1


async def test_costs_show_what_is_known_expected_and_unassigned(url: str) -> None:
    """Sums keep apart what was charged, what is only estimated, what has no price, and what nobody can explain."""
    now = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
    paid = {"provider": "topview", "account": "team", "estimate": Decimal("1.1"), "unit": "credits"}
    async with await Ledger.open(url, clock=lambda: now) as ledger:
        known = await brought_to(ledger, State.SUBMITTED, **paid)
        await ledger.mark_succeeded(known.id, {})
        await brought_to(ledger, State.AMBIGUOUS, **paid)
        await brought_to(ledger, State.SUBMITTED, **(paid | {"estimate": None, "unit": None}))
        await brought_to(ledger, State.RESERVED, **paid)
        refunded = await brought_to(ledger, State.SUBMITTED, **paid)
        await ledger.mark_failed(refunded.id, "no face", charged=False, expected=State.SUBMITTED)
        logged = await brought_to(ledger, State.SUBMITTED, **paid)
        charge = Charge(
            provider="topview", account="team", reference="log-1", at=now, amount=Decimal("0.25"), unit="credits"
        )
        stray = charge.model_copy(update={"reference": "log-2", "at": now + timedelta(hours=1)})
        own = charge.model_copy(update={"reference": "log-0", "amount": Decimal("0.3"), "submission_id": known.id})
        for found in (own, charge, stray, charge.model_copy(update={"submission_id": logged.id}), charge):
            await ledger.record_charge(found)
        lines = await ledger.costs()

        assert [(line.month, line.unit) for line in lines] == [
            ("2026-01", ""),
            ("2026-01", "credits"),
            ("2026-02", "credits"),
        ]
        assert (lines[0].renders, lines[0].unpriced) == (1, 1)
        assert (lines[1].renders, lines[1].charged, lines[1].expected) == (3, Decimal("0.55"), Decimal("1.1"))
        assert (lines[1].unpriced, lines[1].unassigned) == (0, Decimal(0))
        assert (lines[2].renders, lines[2].unassigned) == (0, Decimal("0.25"))
        assert [line.month for line in await ledger.costs(since=now + timedelta(minutes=30))] == ["2026-02"]
        assert (await ledger.get(logged.id)).charge == Decimal("0.25")


async def test_the_loser_of_a_race_waits_for_the_winner(ledger: Ledger) -> None:
    """Waiting returns the row once it has moved, and says what still runs when time is up."""
    row = await reserved(ledger)
    waiting = asyncio.create_task(ledger.wait_change(row.id, State.RESERVED, deadline=30))
    await asyncio.sleep(0.05)
    await ledger.mark_submitting(row.id, "run-1")
    assert (await waiting).state == State.SUBMITTING
    with pytest.raises(StillRunning, match="has been submitting"):
        await ledger.wait_change(row.id, State.SUBMITTING, deadline=0.2)


def start_worker(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.contract.ledger_worker", *arguments],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outputs(workers: list[subprocess.Popen[str]]) -> list[str]:
    said = []
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert worker.returncode == 0, err
        said += out.split("\n")[:-1]
    return said


async def test_racing_processes_make_one_row(url: str) -> None:
    """Of 2 processes with 100 coroutines each on a new database, one call creates the row and all get it."""
    said = outputs([start_worker("race", url, "f" * 64, "100") for _ in range(2)])

    assert len(said) == 200
    assert [line.split()[0] for line in said].count("created") == 1
    assert len({line.split()[1] for line in said}) == 1


async def test_concurrent_starts_migrate_once(url: str) -> None:
    """Processes that open a new database together all succeed, and it has the tables of this version."""
    assert outputs([start_worker("open", url) for _ in range(3)]) == ["open"] * 3
    database = Database(url, patience=5)

    def differences(connection: Any) -> list[Any]:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == REVISION
        found: list[Any] = compare_metadata(context, metadata)
        return found

    assert await database.read(methodcaller("run_sync", differences)) == []
    await database.close()


@pytest.mark.usefixtures("ledger")
async def test_a_newer_ledger_is_refused(url: str) -> None:
    """An older studio does not write to tables it does not know."""
    database = Database(url, patience=5)
    await database.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    await database.close()
    with pytest.raises(StudioUnavailable, match="9999"):
        await Ledger.open(url)


async def test_a_killed_writer_leaves_whole_rows(url: str) -> None:
    """After SIGKILL at any moment each row's state is the last event of its history, and work goes on."""
    for kill_after in (5, 9):
        worker = start_worker("work", url)
        assert worker.stdout is not None
        for line in worker.stdout:
            if int(line) >= kill_after:
                break
        os.kill(worker.pid, signal.SIGKILL)
        worker.communicate(timeout=30)
        async with await Ledger.open(url) as ledger:
            for number in range(kill_after + 3):
                key = f"{number:064x}"
                row, history = await ledger.find(key), await ledger.history(key)

                assert (row.state if row else None) == (history[-1].after if history else None)
            for table in ("events", "submissions"):
                await ledger._database.write(methodcaller("execute", text(f"DELETE FROM {table}")))  # noqa: S608 - own words


async def test_the_database_itself_guards_the_rules(ledger: Ledger, url: str) -> None:
    """Two open rows of one render, or an accepted row without job id, cannot be written even by hand."""
    row = await brought_to(ledger, State.FAILED)
    await ledger.reserve(an_intent(row.render_key), owner="run-2")
    database = Database(url, patience=5)
    for state in ("reserved", "submitted", "lost"):
        statement = update(submissions).values(state=state)
        with pytest.raises(IntegrityError):
            await database.write(methodcaller("execute", statement))
    await database.close()


async def test_a_restarting_database_is_waited_for() -> None:
    """A PostgreSQL that crashes and comes back costs time, not a change; one that stays away is named."""
    with PostgresServer() as server:
        url = server.create_database()
        async with await Ledger.open(url, patience=60) as ledger:
            row = await brought_to(ledger, State.SUBMITTING)
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
            storing = asyncio.create_task(ledger.mark_submitted(row.id, "job-1"))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.start)

            assert (await storing).job_id == "job-1"
            await asyncio.to_thread(server.stop, signal.SIGQUIT)
        with pytest.raises(StudioUnavailable, match="has not answered"):
            await Ledger.open(url, patience=0.2)


@pytest.mark.parametrize("bad", ["", "nonsense", "sqlite:///x.db", "sqlite+aiosqlite://", "mysql://h/db"])
async def test_a_wrong_address_is_explained(bad: str) -> None:
    """An address the ledger cannot use is refused with what to write instead."""
    with pytest.raises(StudioUnavailable, match="STUDIO_LEDGER_URL"):
        await Ledger.open(bad)


async def test_an_unusable_file_is_explained(tmp_path: Path) -> None:
    """A folder, a file that is no database, or a place where none can be made is named at once, with the cause."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("not a database, but long enough to look like something\n" * 100)
    for name in ("folder", "text", "text/ledger.db"):
        with pytest.raises(StudioUnavailable, match=r"cannot be (used|made)"):
            await Ledger.open(f"sqlite+aiosqlite:///{tmp_path / name}")


async def test_an_unknown_database_is_explained(postgres: PostgresServer) -> None:
    """A PostgreSQL that runs but lacks the database is not waited for, and no password is told."""
    url = f"postgresql+asyncpg://studio:hush@/nowhere?host={postgres.folder}"
    with pytest.raises(StudioUnavailable, match="nowhere") as refused:
        await Ledger.open(url)
    assert "hush" not in str(refused.value)


async def test_long_and_odd_words_from_vendors_are_kept(ledger: Ledger) -> None:
    """Whatever a vendor calls its job or says about it, the row that carries money is stored."""
    row = await brought_to(ledger, State.SUBMITTING)
    row = await ledger.mark_submitted(row.id, "j" * 2000)
    row = await ledger.mark_failed(row.id, "ü\x00" * 5000, charged=True, expected=State.SUBMITTED)
    assert (len(row.job_id or ""), len(row.reason)) == (2000, 10_000)
