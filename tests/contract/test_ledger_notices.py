"""Finding rows by what notices, sweeps and people know; hints; circuit breakers; on both databases."""

# ruff: noqa: F401, F811 - fixtures are imported and then asked for by name

from datetime import UTC, datetime, timedelta

import pytest

from tasks.ledger import State
from tasks.ledger.breakers import FAILURES_TO_OPEN
from tasks.ledger.store import Ledger
from tests.contract.test_ledger import (
    an_intent,
    brought_to,
    ledger,
    outputs,
    postgres,
    start_worker,
    url,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLACE = ("local", "file:test")


async def test_an_order_id_finds_its_attempt(ledger: Ledger) -> None:
    """An order id names one attempt at one provider; anything else names nothing."""
    key = "ab" * 32
    first = await brought_to(ledger, State.FAILED, render_key=key)
    second, _ = await ledger.reserve(an_intent(key), owner="run-2")
    await ledger.reserve(an_intent("ab" * 11 + "ff" * 21), owner="run-2")

    assert await ledger.find_order("local", f"{key[:24]}-1") == first
    assert await ledger.find_order("local", f"{key[:24]}-2") == second
    for provider, order_id in [
        ("topview", f"{key[:24]}-1"),
        ("local", f"{key[:24]}-3"),
        ("local", f"{key[:23]}-1"),
        ("local", f"{key[:24]}-0"),
        ("local", f"{'%' * 24}-1"),
        ("local", f"{key[:24]}-1\n"),
        ("local", ""),
    ]:
        assert await ledger.find_order(provider, order_id) is None


async def test_a_job_id_finds_its_submission(ledger: Ledger) -> None:
    """A job is found at its provider only."""
    row = await brought_to(ledger, State.SUBMITTED)

    assert await ledger.find_job("local", row.job_id or "") == row
    assert await ledger.find_job("topview", row.job_id or "") is None


async def test_a_run_finds_what_it_reserved_last(ledger: Ledger) -> None:
    """The newest row of each run at the provider; a run that reserved nothing there has none."""
    await ledger.reserve(an_intent("ab" * 32), owner="run-1")
    newer, _ = await ledger.reserve(an_intent("cd" * 32), owner="run-1")
    other, _ = await ledger.reserve(an_intent("ef" * 32), owner="run-2")

    assert await ledger.find_last_reserved("local", ["run-1", "run-2", "run-3"]) == {"run-1": newer, "run-2": other}
    assert await ledger.find_last_reserved("zego", ["run-1"]) == {}


async def test_a_prefix_finds_the_latest_attempts(ledger: Ledger) -> None:
    """People type the first digits of a key; each render is there once, as its latest attempt."""
    await brought_to(ledger, State.FAILED, render_key="abcdef" + "0" * 58)
    latest, _ = await ledger.reserve(an_intent("abcdef" + "0" * 58), owner="run-2")
    other = await brought_to(ledger, State.RESERVED, render_key="abcdef" + "f" * 58)
    await brought_to(ledger, State.RESERVED, render_key="abcdf0" + "0" * 58)

    assert await ledger.matching("abcdef") == [latest, other]
    assert await ledger.matching("abcdeff") == [other]
    assert await ledger.matching("f" * 64) == []
    for wrong in ("abcde", "ABCDEF", "abcde%", "g" * 6, "a" * 65):
        with pytest.raises(ValueError, match="hex digits"):
            await ledger.matching(wrong)


async def test_rows_are_found_by_state(ledger: Ledger) -> None:
    """Several states at once, of all providers or of one, the longest untouched first."""
    rows = [await brought_to(ledger, state) for state in (State.AMBIGUOUS, State.FAILED, State.SUBMITTED)]
    elsewhere = await brought_to(ledger, State.AMBIGUOUS, provider="topview")

    assert await ledger.in_states({State.AMBIGUOUS, State.FAILED}) == [rows[0], rows[1], elsewhere]
    assert await ledger.in_states([State.AMBIGUOUS], provider="topview") == [elsewhere]
    assert await ledger.in_states([State.AMBIGUOUS], limit=1) == rows[:1]


async def test_unattended_rows_are_unfinished_untouched_and_not_planned(url: str) -> None:
    """A sweep gets what nobody works on: old, open but not archived, and without a poll that is due soon."""
    now = NOON
    async with await Ledger.open(url, clock=lambda: now) as ledger:
        rows = {state: await brought_to(ledger, state) for state in State}
        planned = await brought_to(ledger, State.SUBMITTED)
        forgotten = await brought_to(ledger, State.SUBMITTED)
        now += timedelta(hours=1)
        await brought_to(ledger, State.SUBMITTED)
        await ledger.set_next_poll(planned.id, now + timedelta(minutes=1))
        await ledger.set_next_poll(forgotten.id, NOON)

        found = {row.id for row in await ledger.unattended(timedelta(minutes=30))}
        unfinished = set(State) - {State.ARCHIVED, State.FAILED, State.CANCELLED}
        assert found == {rows[state].id for state in unfinished} | {forgotten.id}
        assert len(await ledger.unattended(timedelta(minutes=30), limit=2)) == 2


async def test_hints_are_kept_in_order_and_in_bounds(url: str) -> None:
    """A notice's job ids are kept once each, oldest first, twenty at most, and only for orders that exist."""
    now = NOON
    async with await Ledger.open(url, clock=lambda: now) as ledger:
        row = await brought_to(ledger, State.AMBIGUOUS)
        order = f"{row.render_key[:24]}-1"
        for number in range(25, 0, -1):
            now += timedelta(seconds=1)
            await ledger.note_hint("local", order, f"job-{number}")
            await ledger.note_hint("local", order, f"job-{number}")
        for provider, order_id, job_id in [
            ("local", order, ""),
            ("local", order, "j" * 201),
            ("topview", order, "job"),
            ("local", "f" * 24 + "-1", "job"),
            ("local", "\x00" * 100, "job"),
        ]:
            await ledger.note_hint(provider, order_id, job_id)

        assert await ledger.hints("local", order) == [f"job-{number}" for number in range(25, 5, -1)]
        assert await ledger.hints("topview", order) == await ledger.hints("local", "f" * 24 + "-1") == []


async def test_a_breaker_opens_tries_again_and_closes(url: str) -> None:
    """It opens at the fifth trouble in a row; each failed trial doubles the time up to a quarter of an hour."""
    now = NOON
    async with await Ledger.open(url, clock=lambda: now) as ledger:
        assert await ledger.breaker(*PLACE) is None
        for number in range(1, FAILURES_TO_OPEN):
            breaker = await ledger.note_trouble(*PLACE, "no answer")
            assert (breaker.failures, breaker.is_open(now)) == (number, False)
        breaker = await ledger.note_trouble(*PLACE, "500 \x00")
        assert breaker.open_until == now + timedelta(seconds=60)
        assert breaker.is_open(now + timedelta(seconds=59))
        assert not breaker.is_open(now + timedelta(seconds=60))

        now += timedelta(seconds=59)
        assert (await ledger.note_trouble(*PLACE, "late")).open_until == breaker.open_until
        assert (await ledger.breaker(*PLACE)) == breaker.model_copy(update={"reason": "500 \ufffd"})
        opened_at, spans = NOON, []
        for _ in range(6):
            now = breaker.open_until or now
            breaker = await ledger.note_trouble(*PLACE, "still")
            spans.append(((breaker.open_until or now) - now).total_seconds())
            assert breaker.opened_at == opened_at
        assert spans == [120, 240, 480, 900, 900, 900]

        assert await ledger.breaker("local", "file:other") is None
        await ledger.note_health(*PLACE)
        await ledger.note_health(*PLACE)
        assert await ledger.breaker(*PLACE) is None
        assert (await ledger.note_trouble(*PLACE, "again")).failures == 1


async def test_racing_troubles_are_all_counted(url: str) -> None:
    """Troubles noted by several processes at once are counted one by one until the breaker opens, and no further."""
    said = outputs([start_worker("trouble", url, "2") for _ in range(2)])
    assert sorted(line.split()[0] for line in said) == ["1", "2", "3", "4"]
    async with await Ledger.open(url) as ledger:
        await ledger.note_health(*PLACE)
    said = outputs([start_worker("trouble", url, "20") for _ in range(3)])
    assert sorted(line.split()[0] for line in said) == ["1", "2", "3", "4", *["5"] * 56]
    assert len({line.split(maxsplit=1)[1] for line in said if line.startswith("5")}) == 1
