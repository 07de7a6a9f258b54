"""Batches, their rows and claims, many rows at once, and the way of older tables to these, on both databases."""

# ruff: noqa: F401, F811 - fixtures are imported and then asked for by name

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from tasks.ledger import Batch, BatchRow, RowState, State
from tasks.ledger.batches import select_counts, select_rows
from tasks.ledger.finding import select_latest
from tasks.ledger.store import Ledger
from tests.contract.test_ledger import (
    an_intent,
    brought_to,
    ledger,
    outputs,
    plan_of,
    postgres,
    start_worker,
    url,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BATCH = "ab" * 16


def a_batch(batch_id: str = BATCH, **more: Any) -> Batch:
    facts = {"name": "Spring", "source": "s3://media/a.csv", "rows": 3, "run_id": "run-1"} | more
    return Batch(**({"id": batch_id, "created_at": NOON, "updated_at": NOON} | facts))


def a_row(number: int, state: RowState = RowState.RENDERING, **more: Any) -> BatchRow:
    return BatchRow(**({"number": number, "run_id": "run-1", "state": state, "updated_at": NOON} | more))


async def test_a_batch_is_opened_once_and_brought_up_to_date(ledger: Ledger) -> None:
    """The same batch run again is the same row with a new run; when it was made stays."""
    assert await ledger.find_batch(BATCH) is None
    assert await ledger.open_batch(a_batch()) == a_batch()
    again = a_batch(name="Spring 2 \x00", rows=4, run_id="run-2", created_at=NOON + timedelta(days=1))
    again = again.model_copy(update={"updated_at": NOON + timedelta(days=1)})
    kept = again.model_copy(update={"name": "Spring 2 \ufffd", "created_at": NOON})

    for _ in range(2):
        assert await ledger.open_batch(again) == kept
    assert await ledger.find_batch(BATCH) == kept


async def test_batches_are_listed_by_their_last_work(ledger: Ledger) -> None:
    """The batch that was worked on last comes first, however old it is."""
    ids = [f"{number:032x}" for number in range(1, 5)]
    for number, batch_id in enumerate(ids):
        await ledger.open_batch(a_batch(batch_id, updated_at=NOON + timedelta(minutes=number)))
    await ledger.open_batch(a_batch(ids[0], updated_at=NOON + timedelta(hours=1)))

    assert [batch.id for batch in await ledger.batches()] == [ids[0], ids[3], ids[2], ids[1]]
    assert [batch.id for batch in await ledger.batches(limit=1)] == [ids[0]]


async def test_rows_survive_the_round_trip_and_are_replaced(ledger: Ledger) -> None:
    """What was noted of a row is kept to the last field; the latest note of a number counts."""
    full = a_row(
        2,
        RowState.DONE,
        title="你好 \x00",
        render_key="f" * 64,
        provider="topview",
        reason="label is 4 % high",
        fix="look",
        video="s3://archive/v.mp4",
        poster="s3://archive/p.jpg",
        manifest="s3://archive/m.json",
        seconds=12.25,
        estimate=Decimal("0.300001"),
        unit="credits",
    )
    await ledger.note_rows(BATCH, [])
    await ledger.note_rows(BATCH, [a_row(3), a_row(1), a_row(2, reason="begun")])
    for _ in range(2):
        await ledger.note_rows(BATCH, [full])

    assert await ledger.batch_rows(BATCH, run_id="run-1") == [
        a_row(1),
        full.model_copy(update={"title": "你好 \ufffd"}),
        a_row(3),
    ]
    assert await ledger.batch_rows("cd" * 16, run_id="run-1") == []


async def test_many_rows_are_counted_and_read_by_the_page(ledger: Ledger) -> None:
    """Thousands of rows are noted at once; counts and pages are of one run alone, of some states, in order."""
    states = list(RowState)
    await ledger.note_rows(BATCH, [a_row(number, states[number % 7]) for number in range(1, 2802)])
    await ledger.note_rows(BATCH, [a_row(number, RowState.THERE, run_id="run-2") for number in (7, 14)])
    await ledger.note_rows("cd" * 16, [a_row(1)])

    counts = await ledger.count_rows(BATCH, "run-1")
    assert counts == dict.fromkeys(states, 400) | {states[1]: 401}
    assert await ledger.count_rows(BATCH, "run-2") == {RowState.THERE: 2}
    assert await ledger.count_rows(BATCH, "run-3") == {}
    numbers: list[int] = []
    while page := await ledger.batch_rows(BATCH, run_id="run-1", after=numbers[-1] if numbers else 0):
        assert len(page) <= 1000
        numbers += [row.number for row in page]
    assert numbers == list(range(1, 2802))
    failed = await ledger.batch_rows(
        BATCH, run_id="run-1", states={RowState.FAILED, RowState.BLOCKED}, after=1000, limit=3
    )
    assert [(row.number, row.state) for row in failed] == [
        (1004, states[1004 % 7]),
        (1005, states[1005 % 7]),
        (1011, states[1011 % 7]),
    ]
    assert {row.state for row in failed} == {RowState.FAILED, RowState.BLOCKED}
    assert [row.number for row in await ledger.batch_rows(BATCH, run_id="run-2")] == [7, 14]


async def test_many_submissions_are_read_at_once(ledger: Ledger) -> None:
    """Far more keys and ids than one statement takes are read; each render once, as its latest attempt."""
    failed = await brought_to(ledger, State.FAILED)
    second, _ = await ledger.reserve(an_intent(failed.render_key, work=3.5), owner="run-2")
    other = await brought_to(ledger, State.SUBMITTED)
    strange_keys, strange_ids = (
        [f"{number:064x}" for number in range(10**9, 10**9 + 40_000)],
        [uuid4() for _ in range(1500)],
    )
    wanted = [failed.render_key, *strange_keys, other.render_key, failed.render_key]

    assert second.work == 3.5
    assert await ledger.find_many(wanted) == {failed.render_key: second, other.render_key: other}
    found = await ledger.get_many([failed.id, *strange_ids, second.id])
    assert found == {failed.id: failed, second.id: second}
    ticks = await ledger.ticks([other.id, *strange_ids, second.id])
    assert {(tick.id, tick.state, tick.owner, tick.updated_at) for tick in ticks.values()} == {
        (row.id, row.state, row.owner, row.updated_at) for row in (other, second)
    }
    assert set(ticks) == {other.id, second.id}
    assert await ledger.find_many([]) == await ledger.get_many([]) == await ledger.ticks([]) == {}


async def test_a_claim_is_renewed_taken_over_and_given_back(url: str) -> None:
    """A claim is its owner's until it is given back or too old; nobody gives back what is not his."""
    now, hour = NOON, timedelta(hours=1)
    async with await Ledger.open(url, clock=lambda: now) as ledger:
        assert await ledger.find_claim("inbox/a") is None
        assert await ledger.claim("inbox/a", "one", stale_after=hour)
        assert await ledger.claim("inbox/b", "two", stale_after=hour)
        assert not await ledger.claim("inbox/a", "two", stale_after=hour)
        now += hour
        assert not await ledger.claim("inbox/a", "two", stale_after=hour)
        assert await ledger.claim("inbox/a", "one", stale_after=hour)
        now += timedelta(seconds=1)
        assert not await ledger.claim("inbox/a", "two", stale_after=hour)
        now += hour
        assert await ledger.claim("inbox/a", "two", stale_after=hour)
        await ledger.release_claim("inbox/a", "one")
        held = await ledger.find_claim("inbox/a")
        assert held is not None
        assert (held.name, held.owner, held.at) == ("inbox/a", "two", now)
        for _ in range(2):
            await ledger.release_claim("inbox/a", "two")
        assert await ledger.find_claim("inbox/a") is None
        assert await ledger.claim("inbox/a", "one", stale_after=hour)


async def test_racing_processes_claim_each_name_once(url: str) -> None:
    """Of 3 processes with 5 callers each, exactly one gets each of 10 names."""
    said = outputs([start_worker("claim", url, f"worker-{number}", "10", "5") for number in range(3)])

    got = dict(line.split() for line in said)
    assert sorted(line.split()[0] for line in said) == sorted(f"inbox/{number}" for number in range(10))
    async with await Ledger.open(url) as ledger:
        for name, owner in got.items():
            assert (await ledger.find_claim(name)).owner == owner  # type: ignore[union-attr]


async def test_pages_and_counts_use_an_index(ledger: Ledger, url: str) -> None:
    """Neither a page nor a count nor a look-up of many keys reads through the tables."""
    await ledger.note_rows(BATCH, [a_row(1)])
    plan = await plan_of(url, select_counts(BATCH, "run-1"))
    assert "ix_batch_rows_batch_id_run_id_state" in plan
    for run_id, states in (("run-1", None), ("run-1", {RowState.FAILED})):
        plan = await plan_of(url, select_rows(BATCH, run_id, states, 5, 10))
        assert "batch_rows" in plan
        assert "index" in plan.lower()
        assert "scan batch_rows" not in plan.lower()
    plan = await plan_of(url, select_latest(["a" * 64, "b" * 64]))
    assert "render_key" in plan
    assert "SCAN submissions" not in plan


def test_wrong_batches_are_refused() -> None:
    """A batch without a digest, a row without a number or an unknown state is a mistake of the caller."""
    for wrong in ({"batch_id": "xyz"}, {"rows": -1}, {"created_at": datetime(2026, 1, 1)}):  # noqa: DTZ001 - wrong on purpose
        with pytest.raises(ValidationError):
            a_batch(**wrong)
    with pytest.raises(ValidationError):
        a_row(0)


def test_the_words_of_the_ledger_are_cheap() -> None:
    """Importing the words loads no database library, which would cost every short command most of a second."""
    code = "import sys, tasks.ledger; print({'sqlalchemy', 'alembic', 'prefect'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == "set()"
