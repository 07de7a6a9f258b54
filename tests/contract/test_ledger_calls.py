"""Shared call rates, places for renders under way, and following renders by the thousand, on both databases."""

# ruff: noqa: F401, F811 - fixtures are imported and then asked for by name

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import uuid4

import pytest
from sqlalchemy import text

from tasks.ledger import AtCapacity, Duration, Entry, PollPlan, State, StateConflict
from tasks.ledger.capacity import select_under_way
from tasks.ledger.database import Database
from tasks.ledger.finding import select_due
from tasks.ledger.polling import select_durations, select_news
from tasks.ledger.store import Ledger
from tests.contract.test_ledger import (
    LostAnswers,
    an_intent,
    brought_to,
    ledger,
    outputs,
    plan_of,
    postgres,
    reserved,
    start_worker,
    url,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLACE = ("local", "file:test")


async def test_slots_of_one_caller_follow_each_other(ledger: Ledger) -> None:
    """No more slots are given than fit into a second, each where the one before ended; other places are apart."""
    told = time.monotonic()
    first = await ledger.take_calls(*PLACE, 10, 4)
    second = await ledger.take_calls(*PLACE, 3, 4)
    third = await ledger.take_calls(*PLACE, 1, 4)
    elsewhere = await ledger.take_calls("local", "file:other", 1, 0.01)
    passed = time.monotonic() - told

    assert [slots.calls for slots in (first, second, third, elsewhere)] == [4, 3, 1, 1]
    assert first.begin == elsewhere.begin == 0
    assert 1 - passed <= second.begin <= 1
    assert 1.75 - passed <= third.begin <= 1.75
    assert 100 - passed - 1 <= (await ledger.take_calls("local", "file:other", 1, 0.01)).begin <= 100
    for wanted, per_second in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="must be more than 0"):
            await ledger.take_calls(*PLACE, wanted, per_second)


async def test_a_clock_that_was_set_back_stops_nobody(ledger: Ledger, url: str) -> None:
    """A next call hours ahead can only come from a clock that ran ahead: the count begins anew."""
    await ledger.take_calls(*PLACE, 5, 5)
    database = Database(url, patience=5)
    await database.write(lambda connection: connection.execute(text("UPDATE rates SET next_at = next_at + 86400")))
    await database.close()

    assert (await ledger.take_calls(*PLACE, 5, 5)).begin == 0
    assert 0 < (await ledger.take_calls(*PLACE, 5, 5)).begin <= 1


async def test_all_processes_together_keep_the_rate_and_none_starves(url: str) -> None:
    """The slots of 4 processes that ask for all they can get are one even row, of which each has its share."""
    per_second = 10
    async with await Ledger.open(url) as ledger:
        workers = [start_worker("ask", url, "3", str(per_second)) for _ in range(4)]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        until = time.time() + 6
        await ledger.claim("start", str(until), stale_after=timedelta(hours=1))
    rows = [[float(line) for line in outputs([worker])] for worker in workers]

    moments = sorted(moment for row in rows for moment in row)
    assert len(moments) > 2 * per_second
    assert all(later - earlier >= 1 for earlier, later in zip(moments, moments[per_second + 1 :], strict=False))
    shares = [sum(moment < until for moment in row) for row in rows]
    for share in shares:
        assert sum(shares) / 8 <= share <= sum(shares) / 2


async def test_places_are_counted_and_a_full_account_is_named(ledger: Ledger) -> None:
    """Submitting, submitted and ambiguous renders hold a place; ended ones, and those of other accounts, do not."""
    for state in (State.SUBMITTING, State.SUBMITTED, State.AMBIGUOUS):
        await brought_to(ledger, state)
    for state in (State.RESERVED, State.SUCCEEDED, State.ARCHIVED, State.FAILED):
        await brought_to(ledger, state)
    for other in ({"account": "other"}, {"endpoint": "file:other"}, {"provider": "topview"}):
        await brought_to(ledger, State.SUBMITTED, **other)
    row = await reserved(ledger)
    with pytest.raises(AtCapacity, match=r"local \(account local\) renders at most 3 at once") as refused:
        await ledger.mark_submitting(row.id, "run-1", most=3)

    assert (refused.value.provider, refused.value.account, refused.value.limit) == ("local", "local", 3)
    assert "STUDIO_CONCURRENCY" in refused.value.fix
    assert await ledger.get(row.id) == row
    assert len(await ledger.history(row.render_key)) == 1
    assert (await ledger.mark_submitting(row.id, "run-1", inputs={"avatar": "a"}, most=4)).inputs == {"avatar": "a"}
    with pytest.raises(StateConflict):
        await ledger.mark_submitting(row.id, "run-1", most=4)


async def test_a_lost_answer_keeps_the_place_that_was_taken(url: str) -> None:
    """Whoever took the last place and never heard of it is not told that the account is full."""
    database = LostAnswers(url, patience=10)
    await database.prepare()
    async with await Ledger.open(url) as ledger:
        row = await reserved(ledger)
        flaky = Ledger(database)
        database.lose = True
        assert (await flaky.mark_submitting(row.id, "run-1", most=1)).state == State.SUBMITTING
        assert not database.lose
        with pytest.raises(AtCapacity):
            await flaky.mark_submitting((await reserved(ledger)).id, "run-1", most=1)
    await flaky.close()


async def test_racing_processes_never_take_more_places_than_there_are(url: str) -> None:
    """Of 80 renders at once from 4 processes exactly as many get the right to submit as the account may have."""
    said = outputs([start_worker("submit", url, str(20 * number + 1), "20", "7") for number in range(4)])

    assert len(said) == 80
    assert said.count("full 7") == 73
    async with await Ledger.open(url) as ledger:
        assert len(await ledger.in_states([State.SUBMITTING])) == 7
        assert len(await ledger.in_states([State.RESERVED])) == 73


async def test_polls_are_planned_for_many_at_once(ledger: Ledger) -> None:
    """Only accepted renders are planned; the moment of the last look stays unless a newer one is told."""
    rows = [await brought_to(ledger, state) for state in (State.SUBMITTED, State.SUBMITTED, State.SUCCEEDED)]
    seen = [NOON, None, NOON]
    await ledger.plan_polls([])
    for _ in range(2):
        await ledger.plan_polls([PollPlan(row.id, NOON, at) for row, at in zip(rows, seen, strict=True)])
    await ledger.plan_polls([PollPlan(row.id, NOON + timedelta(seconds=9), None) for row in rows])
    found = await ledger.get_many([row.id for row in rows])

    planned = [(found[row.id].next_poll_at, found[row.id].unfinished_at) for row in rows]
    assert planned == [(NOON + timedelta(seconds=9), NOON), (NOON + timedelta(seconds=9), None), (None, None)]
    assert [found[row.id].updated_at for row in rows] == [row.updated_at for row in rows]
    await ledger.plan_polls([PollPlan(uuid4(), NOON, NOON) for _ in range(1200)])


async def test_a_new_submission_forgets_when_the_old_one_was_unfinished(ledger: Ledger) -> None:
    """The second job of a row has not been looked at yet, whatever was known of the first."""
    row = await brought_to(ledger, State.SUBMITTED)
    await ledger.plan_polls([PollPlan(row.id, NOON, NOON)])
    await ledger.mark_denied(row.id, "no such job")
    settled = await ledger.settle(row.id, State.SUBMITTED, owner="p", note="found", job_id="other")
    assert settled.unfinished_at is None
    await ledger.plan_polls([PollPlan(row.id, NOON, NOON)])
    await ledger.mark_denied(row.id, "no such job")
    await ledger.settle(row.id, State.RESERVED, owner="p", note="again")
    await ledger.mark_submitting(row.id, "run-2")
    assert (await ledger.mark_submitted(row.id, "third")).unfinished_at is None


async def test_news_are_changes_and_due_polls_of_one_endpoint(url: str) -> None:
    """What changed since a moment, that moment included, and what is due; each once, nothing of other endpoints."""
    now = NOON
    async with await Ledger.open(url, clock=lambda: now) as ledger:
        quiet, due, later, ended = [await brought_to(ledger, State.SUBMITTED) for _ in range(4)]
        elsewhere = [
            await brought_to(ledger, State.SUBMITTED, **other)
            for other in ({"endpoint": "file:other"}, {"provider": "topview"})
        ]
        now += timedelta(minutes=1)
        assert await ledger.news(*PLACE, since=now) == []
        for row in (due, ended, *elsewhere):
            await ledger.set_next_poll(row.id, now)
        await ledger.set_next_poll(later.id, now + timedelta(seconds=1))
        ended = await ledger.mark_succeeded(ended.id, {}, owner="run-2")
        both = await brought_to(ledger, State.SUBMITTED)
        await ledger.set_next_poll(both.id, now)
        news = {tick.id: tick for tick in await ledger.news(*PLACE, since=now)}

        assert set(news) == {due.id, ended.id, both.id}
        assert len(await ledger.news(*PLACE, since=now)) == 3
        assert news[ended.id] == (ended.id, State.SUCCEEDED, "run-2", None, now)
        assert news[due.id] == (due.id, State.SUBMITTED, due.owner, now, NOON)
        assert isinstance(news[due.id].state, State)
        everything = await ledger.news(*PLACE, since=NOON)
        assert {tick.id for tick in everything} == {row.id for row in (quiet, due, later, ended, both)}


async def test_durations_tell_between_which_looks_a_render_ended(url: str) -> None:
    """The latest successes of one provider and mode come first, with the last look that found them unfinished."""
    now = NOON
    async with await Ledger.open(url, clock=lambda: now) as ledger:

        async def rendered(seconds: float, unfinished: float | None, **more: object) -> None:
            nonlocal now
            row = await brought_to(ledger, State.SUBMITTED, **({"mode": "fast"} | more))
            begun = now
            if unfinished is not None:
                await ledger.plan_polls([PollPlan(row.id, now, begun + timedelta(seconds=unfinished))])
            now = begun + timedelta(seconds=seconds)
            await ledger.mark_succeeded(row.id, {})

        await rendered(60, 45.5, work=12.5)
        await rendered(30, None)
        await rendered(50, 70, work=8)
        await rendered(99, 1, mode="slow")
        await rendered(99, 1, provider="topview")
        lost = await brought_to(ledger, State.SUBMITTED, mode="fast")
        await ledger.mark_failed(lost.id, "no face", charged=None, expected=State.SUBMITTED)

        expected = [Duration(8, 50, 50), Duration(None, 0, 30), Duration(12.5, 45.5, 60)]
        assert await ledger.durations("local", "fast") == expected
        assert await ledger.durations("local", "fast", limit=1) == expected[:1]
        assert await ledger.durations("local", "none") == []


@pytest.mark.usefixtures("ledger")
async def test_what_is_asked_every_second_uses_an_index(url: str) -> None:
    """Neither the news nor the due polls, the history of durations or the count of places read through the table."""
    plan = await plan_of(url, select_news(*PLACE, NOON, NOON))
    assert "ix_submissions_provider_updated_at" in plan
    assert "ix_submissions_provider_next_poll_at" in plan
    assert "ix_submissions_provider_next_poll_at" in await plan_of(url, select_due("local", NOON, 10))
    plan = await plan_of(url, select_durations("local", "fast", 200))
    assert "ix_submissions_provider_mode_succeeded_at" in plan
    assert "sort" not in plan.lower()
    assert "b-tree" not in plan.lower()
    assert "ix_submissions_provider_state" in await plan_of(url, select_under_way("local", "local", "file:test"))


def test_a_render_is_named_by_its_first_digits() -> None:
    """People name a render by twelve digits of its key."""
    assert an_intent("0123456789abcdef" * 4).short_key == "0123456789ab"
