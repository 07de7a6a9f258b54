"""Events of live streams, and how the sweeps of renders leave live streams alone; on both databases."""

# ruff: noqa: F401, F811 - fixtures are imported and then asked for by name

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from tasks.ledger import LIVE_PROVIDERS, State, StreamEvent
from tasks.ledger.store import Ledger
from tasks.ledger.streams import select_stream_events
from tests.contract.test_ledger import brought_to, ledger, plan_of, postgres, url

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def an_event(
    status: int = 3, *, task_id: str = "task-1", drive_id: str = "", at: float = 0, received: float | None = None
) -> StreamEvent:
    """A callback that happened so many seconds after noon."""
    return StreamEvent(
        task_id=task_id,
        kind="drive" if drive_id else "task",
        drive_id=drive_id,
        status=status,
        happened_at=NOON + timedelta(seconds=at),
        received_at=NOON + timedelta(seconds=at + 1 if received is None else received),
    )


async def test_a_callback_that_comes_twice_is_one_event(ledger: Ledger) -> None:
    """Only the first of many deliveries is new, also when they come together; the first moment of receipt stays."""
    event = an_event()
    again = event.model_copy(update={"received_at": NOON + timedelta(hours=1)})

    answers = await asyncio.gather(*(ledger.add_stream_event(event) for _ in range(8)))

    assert sorted(answers) == [False] * 7 + [True]
    assert not await ledger.add_stream_event(again)
    assert await ledger.stream_events("task-1") == [event]


async def test_events_are_told_apart_by_all_that_makes_them(ledger: Ledger) -> None:
    """Another stream, drive, status or moment is another event."""
    events = [
        an_event(1),
        an_event(3),
        an_event(3, at=0.001),
        an_event(3, drive_id="drive-1"),
        an_event(3, drive_id="drive-2"),
        an_event(3, task_id="task-2"),
    ]

    assert [await ledger.add_stream_event(event) for event in events] == [True] * 6
    assert len(await ledger.stream_events("task-1")) == 5
    assert await ledger.stream_events("task-2") == events[-1:]
    assert await ledger.stream_events("task-3") == []


async def test_events_come_in_the_order_in_which_they_happened(ledger: Ledger) -> None:
    """Callbacks arrive in disorder; who reads sees them as they happened, and may ask for what came lately only."""
    late = an_event(2, drive_id="drive-1", at=5, received=60)
    early = an_event(4, drive_id="drive-1", at=9, received=10)
    for event in (early, late):
        await ledger.add_stream_event(event)

    assert await ledger.stream_events("task-1") == [late, early]
    assert await ledger.stream_events("task-1", after=NOON + timedelta(seconds=60)) == [late]
    assert await ledger.stream_events("task-1", after=NOON + timedelta(seconds=61)) == []


async def test_old_events_are_forgotten(ledger: Ledger) -> None:
    """What was received before a moment goes, the rest stays."""
    for second in range(4):
        await ledger.add_stream_event(an_event(at=second, received=second))

    assert await ledger.forget_stream_events(NOON + timedelta(seconds=2)) == 2
    assert [event.happened_at.second for event in await ledger.stream_events("task-1")] == [2, 3]
    assert await ledger.forget_stream_events(NOON) == 0


async def test_words_that_no_database_takes_are_kept_without_them(ledger: Ledger) -> None:
    """A vendor's reason with a NUL must not lose the event that carries it."""
    event = an_event(2).model_copy(update={"reason": "bad\x00avatar"})

    assert await ledger.add_stream_event(event)
    assert [kept.reason for kept in await ledger.stream_events("task-1")] == ["bad\ufffdavatar"]


def test_an_event_has_bounds() -> None:
    """What cannot be a callback never reaches the table."""
    for wrong in ({"task_id": ""}, {"task_id": "t" * 201}, {"drive_id": "d" * 201}, {"status": -1}, {"kind": "x"}):
        with pytest.raises(ValidationError):
            StreamEvent.model_validate(an_event().model_dump() | wrong)


async def test_waiting_shows_read_by_an_index(url: str, ledger: Ledger) -> None:
    """Shows ask several times a second, so the question must not read the events of all streams."""
    plan = await plan_of(url, select_stream_events("task-1", NOON))

    assert "SCAN stream_events" not in plan
    assert "stream_events" in plan


async def test_sweeps_of_renders_leave_live_streams_alone(url: str) -> None:
    """Each query of a sweep can leave live streams out, and has them otherwise."""
    now = NOON
    async with await Ledger.open(url, clock=lambda: now) as ledger:
        for provider in ("local", "zego"):
            for state in (State.AMBIGUOUS, State.SUBMITTED, State.ARCHIVED):
                await brought_to(ledger, state, provider=provider)
        now += timedelta(hours=1)
        half = timedelta(minutes=30)

        async def providers(without: Collection[str]) -> list[list[str]]:
            found = (
                await ledger.in_states({State.AMBIGUOUS}, without=without),
                await ledger.stale(State.AMBIGUOUS, half, without=without),
                await ledger.unattended(half, without=without),
                await ledger.archived_since(NOON, without=without),
            )
            return [sorted({row.provider for row in rows}) for rows in found]

        assert await providers(()) == [["local", "zego"]] * 4
        assert await providers(LIVE_PROVIDERS) == [["local"]] * 4
