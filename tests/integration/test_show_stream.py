"""The stream of a show against the sandbox: created once, found again, closed for certain, attended to or reaped."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.objects import State as RunState
from prefect.states import AwaitingRetry, Crashed, Pending, Running
from sqlalchemy import update

from tasks.errors import (
    AmbiguousSubmit,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RenderFailed,
    RoomTaken,
    StillRunning,
    StudioError,
    StudioUnavailable,
)
from tasks.ledger import BudgetExceeded, Entry, Intent, State, StreamEvent
from tasks.ledger.opening import open_ledger
from tasks.ledger.schema import submissions
from tasks.ledger.store import Ledger
from tasks.leftovers import Verdict
from tasks.providers.zego.client import ZegoClient
from tasks.settings import get_settings
from tasks.show import closing, reaping, rooms, unanswered
from tasks.show import stream as stream_module
from tasks.show import turns as turns_module
from tasks.show.account import ZegoAccount
from tasks.show.beating import BEAT_PATIENCE, Heartbeat
from tasks.show.closing import close_stream, close_streams_of, hook_close, stop_surely
from tasks.show.contract import PROVIDER, STREAM_SECONDS, OpenStream, ShowPlan
from tasks.show.reaping import reap_streams
from tasks.show.rooms import claim_of
from tasks.show.rundown import Rundown
from tasks.show.stream import open_stream, render_key_of, wait_streaming
from tasks.show.turns import PER_SECOND, ActionTurns
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox

AVATAR = "dh-anna"


@pytest.fixture
def account(sandbox: SandboxServer, studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> ZegoAccount:
    """The sandbox's account, also for whoever loads it by its block; looks follow each other quickly."""
    sandbox.settings(stream_start_seconds=0.1, stream_stop_seconds=0.05)
    client = ZegoClient(base_url=sandbox.zego_url, app_id=sandbox.zego_app_id, server_secret=sandbox.zego_server_secret)
    made = ZegoAccount(
        client=client.with_turn(ActionTurns(client.base_url)),
        account="sandbox",
        endpoint=client.base_url,
        unverified_socket=True,
        prices={},
    )

    async def load() -> ZegoAccount:
        return made

    monkeypatch.setattr(closing, "load_zego", load)
    monkeypatch.setattr(reaping, "load_zego", load)
    monkeypatch.setattr(unanswered, "LOOK_PAUSE_SECONDS", 0.2)
    return made


@pytest.fixture
async def ledger(studio_home: Path) -> AsyncIterator[Ledger]:
    """The ledger that the settings name."""
    async with open_ledger() as opened:
        yield opened


def a_plan(room: str = "room-1", *, ttl: int = 600, **more: Any) -> ShowPlan:
    rundown = Rundown.model_validate(
        {"title": "Evening", "avatar": AVATAR, "room": room, "cues": [{"pause": 1}], "idle_seconds": 30}
    )
    return ShowPlan(**{"rundown": rundown, "cues": [], "seconds": 1.0, "ttl": ttl, "hard_end": None} | more)


async def opened(account: ZegoAccount, ledger: Ledger, run_id: str = "run-1", **more: Any) -> OpenStream:
    return await open_stream(account, ledger, a_plan(**more), run_id=run_id, run_count=1)


async def row_of(ledger: Ledger, run_id: str = "run-1") -> Entry:
    entry = await ledger.find(render_key_of(run_id, 1))
    assert entry is not None
    return entry


async def reap(seconds: float = 0, second_look_seconds: float = 0.3) -> list[tuple[Verdict, str]]:
    """A pass of the reaper; one that spares the living needs a second look with room for many of their beats."""
    notes = await reap_streams.fn(time.monotonic() + 60, quiet_seconds=seconds, second_look_seconds=second_look_seconds)
    return [(note.verdict, note.done) for note in notes]


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> "asyncio.Queue[bool]":
    """Whether the ledger took a change promptly, each time that a pass has tried; the first look is over by then."""
    told: asyncio.Queue[bool] = asyncio.Queue()
    real = reaping._takes_changes

    async def telling(ledger: Ledger) -> bool:
        is_prompt = await real(ledger)
        told.put_nowait(is_prompt)
        return is_prompt

    monkeypatch.setattr(reaping, "_takes_changes", telling)
    return told


# Opening


async def test_a_stream_from_its_reservation_to_its_costs(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """The row holds the worst cost before and the real cost after; the vendor sees exactly what the rundown says."""
    began = datetime.now(UTC)
    made = await opened(account, ledger)
    (task,) = sandbox.streams()

    assert made.entry.state is State.SUBMITTED
    assert (made.entry.estimate, made.entry.unit) == (Decimal(600), STREAM_SECONDS)
    assert (task["task_id"], task["stream_id"], task["room_id"]) == (made.task_id, made.stream_id, "room-1")
    assert (task["ttl"], task["max_idle"], task["digital_human_id"]) == (600, 30, AVATAR)
    assert timedelta(seconds=600) <= made.ends_by - began < timedelta(seconds=630)
    assert await ledger.find_order(PROVIDER, made.stream_id) == await row_of(ledger)

    streaming = await wait_streaming(account, ledger, made)
    assert began < streaming <= datetime.now(UTC)

    entry = await close_stream(account, ledger, made.entry, why="the rundown is over")
    assert entry.state is State.SUCCEEDED
    assert entry.result is not None
    assert (entry.result["how"], entry.result["why"]) == ("stopped", "the rundown is over")
    assert sandbox.streams()[0]["how_ended"] == "stopped"
    assert entry.charge == Decimal(str(entry.result["seconds"]))
    assert Decimal(0) < entry.charge < Decimal(60)
    assert [line.charged for line in await ledger.costs()] == [entry.charge]
    assert await ledger.find_claim(claim_of("sandbox", "room-1")) is None


async def test_a_price_makes_money_of_seconds(
    account: ZegoAccount, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Estimate, cap and charge speak the price's unit."""
    monkeypatch.setenv("STUDIO_PRICES", '{"zego": {"per_second": "0.01", "unit": "CNY"}}')
    monkeypatch.setenv("STUDIO_BUDGETS", '{"zego": {"month": "10"}}')
    get_settings.cache_clear()

    with pytest.raises(BudgetExceeded):
        await opened(account, ledger, "run-0", ttl=1200)
    assert await ledger.find_claim(claim_of("sandbox", "room-1")) is None
    made = await opened(account, ledger, ttl=900)
    entry = await close_stream(account, ledger, made.entry, why="enough")

    assert (made.entry.estimate, made.entry.unit) == (Decimal(9), "CNY")
    assert entry.result is not None
    assert entry.charge == (Decimal(str(entry.result["seconds"])) * Decimal("0.01")).quantize(Decimal("0.000001"))


@pytest.mark.parametrize("fault", ["lost_answer", "reset"])
async def test_a_lost_answer_makes_no_second_stream(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer, fault: str
) -> None:
    """Create was accepted or not, and no answer came: the stream is found by its id, or made then; there is one."""
    sandbox.arm("zego", "create", fault)

    made = await opened(account, ledger)

    assert [task["task_id"] for task in sandbox.streams()] == [made.task_id]
    assert State.AMBIGUOUS in [event.after for event in await ledger.history(made.entry.render_key)]


async def test_a_taken_stream_id_is_our_own_stream(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """A Create that arrives after the look for it makes the repeated one fail: the stream there is taken over."""
    entry_id = f"{render_key_of('run-1', 1)[:24]}-1"
    early = await account.client.create_stream(
        digital_human_id=AVATAR, background="#000000", room_id="room-1", stream_id=entry_id, ttl=600, max_idle=30
    )

    made = await opened(account, ledger)

    assert made.task_id == early
    assert len(sandbox.streams()) == 1


async def test_no_answer_at_all_is_a_doubt_that_the_reaper_ends(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Create accepted, and then the vendor is away: the show ends in doubt, and a later pass closes the stream."""
    monkeypatch.setenv("STUDIO_BUSY_PATIENCE_SECONDS", "1")
    get_settings.cache_clear()
    sandbox.arm("zego", "create", "lost_answer")
    away = sandbox.arm("zego", "list", "reset", times=1000)

    with pytest.raises(AmbiguousSubmit, match="close-streams"):
        await opened(account, ledger)
    assert away
    assert (await row_of(ledger)).state is State.AMBIGUOUS
    assert [verdict for verdict, _ in await reap()][:1] == [Verdict.WAITS]
    sandbox.clear()

    assert [verdict for verdict, _ in await reap()] == [Verdict.DONE]
    entry = await row_of(ledger)
    assert entry.state is State.SUCCEEDED
    assert [task["task_id"] for task in sandbox.streams()] == [entry.job_id]
    assert sandbox.live_streams() == []


async def test_a_refusal_ends_the_show_and_costs_nothing(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """What the vendor refuses for good fails at once, with the row closed and the room free."""
    sandbox.arm("zego", "create", "business", code=400000010)

    with pytest.raises(ProviderRejected, match="internal configuration"):
        await opened(account, ledger)
    entry = await row_of(ledger)
    assert (entry.state, entry.charged) == (State.FAILED, False)
    assert await ledger.find_claim(claim_of("sandbox", "room-1")) is None
    assert sandbox.streams() == []


async def test_a_full_account_is_waited_for(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a free stream Create is offered again; when patience ends, the intent is given up and says so."""
    monkeypatch.setenv("STUDIO_BUSY_PATIENCE_SECONDS", "30")
    get_settings.cache_clear()
    sandbox.arm("zego", "create", "business", code=400010002)
    made = await opened(account, ledger)
    await close_stream(account, ledger, made.entry, why="enough")
    assert len(sandbox.streams()) == 1

    monkeypatch.setenv("STUDIO_BUSY_PATIENCE_SECONDS", "0")
    get_settings.cache_clear()
    sandbox.settings(zego_streams=0)
    with pytest.raises(ProviderBusy, match="concurrency"):
        await opened(account, ledger, "run-2")
    assert (await row_of(ledger, "run-2")).state is State.CANCELLED
    assert await ledger.find_claim(claim_of("sandbox", "room-1")) is None


async def test_a_show_cancelled_inside_create_leaves_no_stream(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """Cancelled while Create is under way, the show looks for what it may have made, and stops it."""
    sandbox.arm("zego", "create", "hold_after")
    opening = asyncio.create_task(opened(account, ledger))
    await asyncio.to_thread(sandbox.wait_held)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    sandbox.release()

    assert len(sandbox.streams()) == 1
    assert sandbox.live_streams() == []
    assert (await row_of(ledger)).state is State.SUCCEEDED


async def test_a_run_has_one_stream(account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer) -> None:
    """The same run begun once more under the same count finds its row, and creates nothing."""
    made = await opened(account, ledger)
    await close_stream(account, ledger, made.entry, why="enough")

    with pytest.raises(StudioError, match="has had a stream"):
        await opened(account, ledger)
    assert len(sandbox.streams()) == 1
    assert await ledger.find_claim(claim_of("sandbox", "room-1")) is None


async def test_a_second_show_in_the_room_is_refused_with_the_reason(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """The refusal names the run, its title and since when; another room is free, and so is this one afterwards."""
    first = await opened(account, ledger)

    with pytest.raises(RoomTaken, match=r"room room-1 has a show already: run run-1, “Evening”, since 20"):
        await opened(account, ledger, "run-2")
    await opened(account, ledger, "run-3", room="room-2")
    await close_stream(account, ledger, first.entry, why="enough")
    await opened(account, ledger, "run-2")
    assert len(sandbox.streams()) == 3


async def test_a_room_with_a_dead_shows_stream_is_refused(account: ZegoAccount, ledger: Ledger) -> None:
    """A show that died has no claim any more, but its stream still speaks in the room until it is closed."""
    first = await opened(account, ledger)
    await ledger.release_claim(claim_of("sandbox", "room-1"), "run-1/1")

    with pytest.raises(RoomTaken, match="still has the stream of run run-1"):
        await opened(account, ledger, "run-2")
    await reap()
    await opened(account, ledger, "run-2")
    assert (await ledger.get(first.entry.id)).state is State.SUCCEEDED


async def test_a_retried_run_closes_its_first_stream_before_it_gets_another(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """A run that is started again while its first stream lives never has two: the first is closed and booked."""
    first = await opened(account, ledger)

    second = await again(account, ledger)

    assert [task["task_id"] for task in sandbox.live_streams()] == [second.task_id]
    entry = await row_of(ledger)
    assert entry.result is not None
    assert (entry.job_id, entry.result["why"]) == (first.task_id, "its run was started again")
    held = await ledger.find_claim(claim_of("sandbox", "room-1"))
    assert held is not None
    assert held.owner == "run-1/2"


async def again(account: ZegoAccount, ledger: Ledger) -> OpenStream:
    """The same run, started a second time."""
    return await open_stream(account, ledger, a_plan(), run_id="run-1", run_count=2)


async def test_a_retried_run_gets_no_stream_while_the_first_cannot_be_closed(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the first stream may live on, the second is refused with the reason, and nothing is created."""
    monkeypatch.setattr(closing, "stop_surely", partial(stop_surely, seconds=1))
    first = await opened(account, ledger)
    sandbox.arm("zego", "stop", "business", times=1000, code=400010000)

    with pytest.raises(StudioError, match=rf"earlier start of run run-1 may be alive: stream {first.task_id}"):
        await again(account, ledger)
    assert len(sandbox.streams()) == 1
    assert await ledger.find(render_key_of("run-1", 2)) is None


async def test_a_retried_run_takes_the_room_that_its_first_start_had_only_claimed(
    account: ZegoAccount, ledger: Ledger
) -> None:
    """A process killed before it reserved anything does not keep its own run out of the room for a minute."""
    await ledger.claim(claim_of("sandbox", "room-1"), "run-1/1", stale_after=timedelta(minutes=1))

    with pytest.raises(RoomTaken, match="run run-1, which has just begun"):
        await opened(account, ledger, "run-2")
    assert (await again(account, ledger)).task_id


async def test_of_two_rows_in_a_room_the_later_gives_way(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that slept after it had claimed the room finds the stream that another show has made there since."""
    real = rooms.take_room

    async def asleep(*place: Any, run_id: str, run_count: int) -> None:
        await real(*place, run_id=run_id, run_count=run_count)
        if run_id == "run-1":
            await ledger.release_claim(claim_of("sandbox", "room-1"), "run-1/1")
            await opened(account, ledger, "run-2")

    monkeypatch.setattr(stream_module, "take_room", asleep)

    with pytest.raises(RoomTaken, match="room room-1 has a show already: run run-2, “Evening”, since 20"):
        await opened(account, ledger)
    assert len(sandbox.streams()) == 1
    assert (await row_of(ledger)).state is State.CANCELLED
    held = await ledger.find_claim(claim_of("sandbox", "room-1"))
    assert held is not None
    assert held.owner == "run-2/1"


async def test_a_stream_that_exists_and_is_not_listed_stays_a_doubt(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """A taken id proves that our stream exists, so its row neither ends nor says that it surely cost nothing."""
    sandbox.arm("zego", "create", "business", code=400000015)

    with pytest.raises(ProviderRejected, match="the vendor does not list it"):
        await opened(account, ledger)
    assert [verdict for verdict, _ in await reap()] == [Verdict.WAITS]
    entry = await row_of(ledger)
    assert (entry.state, entry.charged) == (State.AMBIGUOUS, None)
    assert len(sandbox.streams()) == 0

    await change(ledger, entry, updated_at=entry.updated_at - timedelta(seconds=31))
    assert [verdict for verdict, _ in await reap()] == [Verdict.DONE]
    entry = await row_of(ledger)
    assert (entry.state, entry.charged) == (State.CANCELLED, None)


async def change(ledger: Ledger, entry: Entry, **values: Any) -> None:
    """Write into a row what another clock would have written."""
    statement = update(submissions).where(submissions.c.id == entry.id).values(values)
    await ledger._database.write(lambda connection: connection.execute(statement))


# Waiting until it streams


async def test_a_ledger_that_is_away_does_not_end_a_starting_show(
    account: ZegoAccount, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callbacks that cannot be read are not waited for: the vendor's own answer tells that it streams."""
    monkeypatch.setattr(stream_module, "LEDGER_SECONDS", 0.2)
    made = await opened(account, ledger)

    class Away:
        looks = 0

        async def stream_events(self, task_id: str) -> list[StreamEvent]:
            self.looks += 1
            if self.looks % 2:
                raise StudioUnavailable("the database is away")
            await asyncio.sleep(60)
            return []

    assert await asyncio.wait_for(wait_streaming(account, Away(), made), timeout=20)  # type: ignore[arg-type]


async def test_a_callback_tells_sooner_than_asking(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """What a callback has told is taken, also where the status cannot be asked for."""
    sandbox.arm("zego", "status", "reset", times=1000)
    made = await opened(account, ledger)
    at = datetime.now(UTC)
    await ledger.add_stream_event(told(made, 1, at))
    await ledger.add_stream_event(told(made, 3, at))

    assert await wait_streaming(account, ledger, made, deadline=20) == at
    sandbox.clear()


def told(made: OpenStream, status: int, at: datetime) -> StreamEvent:
    return StreamEvent(task_id=made.task_id, kind="task", status=status, happened_at=at, received_at=at)


async def test_an_end_is_not_believed_to_a_callback(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """A callback that calls a living stream failed changes nothing: the vendor is asked, and the wait goes on."""
    made = await opened(account, ledger)
    await ledger.add_stream_event(told(made, 2, datetime.now(UTC)))

    assert await wait_streaming(account, ledger, made, deadline=20)
    assert (await row_of(ledger)).state is State.SUBMITTED
    assert [task["task_id"] for task in sandbox.live_streams()] == [made.task_id]


async def test_a_stream_that_fails_to_start_costs_nothing(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """The vendor's reason is the show's; the row has failed, and the room is free."""
    sandbox.arm("zego", "create", "fail")
    made = await opened(account, ledger)

    with pytest.raises(RenderFailed, match="failed before it could be driven"):
        await wait_streaming(account, ledger, made)
    entry = await row_of(ledger)
    assert (entry.state, entry.charged) == (State.FAILED, False)
    assert entry.reason
    assert await ledger.find_claim(claim_of("sandbox", "room-1")) is None


async def test_a_stream_that_never_starts_is_closed_at_the_deadline(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """Waiting has an end, and leaves no stream behind."""
    sandbox.arm("zego", "create", "stuck")
    made = await opened(account, ledger)

    with pytest.raises(RenderFailed, match="was not streaming after 2 s and has been closed: its status is 1"):
        await wait_streaming(account, ledger, made, deadline=2)
    assert sandbox.live_streams() == []
    assert (await row_of(ledger)).state is State.SUCCEEDED


async def test_a_stream_that_was_stopped_meanwhile_is_no_show(account: ZegoAccount, ledger: Ledger) -> None:
    """Somebody else has stopped it: told as it is, and booked."""
    made = await opened(account, ledger)
    await stop_surely(account.client, made.task_id)

    with pytest.raises(RenderFailed, match="ended before it could be driven"):
        await wait_streaming(account, ledger, made)
    entry = await row_of(ledger)
    assert entry.result is not None
    assert entry.result["how"] == "had ended"


# Closing


@pytest.mark.parametrize(
    ("fault", "more"),
    [("reset", {}), ("lost_answer", {}), ("business", {"code": 400010000}), ("business", {"code": 400000001})],
)
async def test_stop_is_repeated_until_the_stream_has_ended(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer, fault: str, more: dict[str, Any]
) -> None:
    """Stop refused or unanswered twice is survived."""
    made = await opened(account, ledger)
    sandbox.arm("zego", "stop", fault, times=2, **more)

    entry = await close_stream(account, ledger, made.entry, why="enough")

    assert entry.state is State.SUCCEEDED
    assert sandbox.live_streams() == []


async def test_a_stream_that_cannot_be_stopped_is_left_to_the_reaper(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """At the deadline the error names the stream and what goes on; the row is open, so that the next pass closes it."""
    made = await opened(account, ledger)
    sandbox.arm("zego", "stop", "business", times=1000, code=400010000)

    with pytest.raises(StillRunning, match=made.task_id):
        await stop_surely(account.client, made.task_id, seconds=2)
    assert (await row_of(ledger)).state is State.SUBMITTED
    sandbox.clear()
    assert [verdict for verdict, _ in await reap()] == [Verdict.DONE]
    assert sandbox.live_streams() == []


async def test_many_may_close_one_stream(account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer) -> None:
    """The show, its hook and two passes at once: one end, one charge, and everybody sees the same row."""
    made = await opened(account, ledger)

    rows = await asyncio.gather(*(close_stream(account, ledger, made.entry, why=f"{each}") for each in range(4)))

    assert {row.state for row in rows} == {State.SUCCEEDED}
    entry = await close_stream(account, ledger, made.entry, why="again")
    assert {str(row.result) for row in rows} == {str(entry.result)}
    assert entry.result is not None
    assert entry.charge == Decimal(str(entry.result["seconds"]))
    assert len(await ledger.costs()) == 1


async def test_callbacks_tell_the_exact_span(account: ZegoAccount, ledger: Ledger) -> None:
    """A stream costs from streaming to stopped, as the vendor told it, however late somebody closes it."""
    made = await opened(account, ledger)
    start = made.entry.submitted_at or datetime.now(UTC)
    await ledger.add_stream_event(told(made, 3, start + timedelta(seconds=1)))
    await ledger.add_stream_event(told(made, 5, start + timedelta(seconds=8.5)))

    entry = await close_stream(account, ledger, made.entry, why="enough")

    assert entry.charge == Decimal("7.5")


async def test_a_stream_beyond_its_lifetime_is_booked_without_asking(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """A vendor that is never reachable again leaves no row that only a person can end."""
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    async with await Ledger.open(get_settings().ledger_database_url(), clock=lambda: long_ago) as then:
        entry, _ = await then.reserve(
            Intent(
                render_key=render_key_of("run-1", 1),
                provider=PROVIDER,
                account="an account that is gone",
                endpoint="https://gone.example",
                payload={"room_id": "room-1", "ttl": 600, "max_idle": 30},
                estimate=Decimal(600),
                unit=STREAM_SECONDS,
            ),
            owner="run-1",
        )
        await then.mark_submitting(entry.id, "run-1")
        await then.mark_submitted(entry.id, "task-1")

    assert [verdict for verdict, _ in await reap(30)] == [Verdict.DONE]
    entry = await row_of(ledger)
    assert entry.result is not None
    assert (entry.state, entry.charge, entry.result["how"]) == (State.SUCCEEDED, Decimal(600), "lifetime over")


@pytest.mark.parametrize("off", [timedelta(days=6), timedelta(days=-6), timedelta(seconds=700)])
async def test_a_callback_of_another_time_costs_nothing(account: ZegoAccount, ledger: Ledger, off: timedelta) -> None:
    """What callbacks tell of begin and end is booked only within the life that the studio itself knows of."""
    made = await opened(account, ledger)
    now = datetime.now(UTC)
    for status in (3, 5):
        await ledger.add_stream_event(told(made, status, now + off))
    await asyncio.sleep(0.5)

    entry = await close_stream(account, ledger, made.entry, why="enough")

    assert entry.charge is not None
    assert Decimal("0.5") <= entry.charge < Decimal(60)


async def test_a_clock_that_was_set_leaves_no_stream(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """A stream whose TTL is over by our clock is stopped all the same, by the show and by the reaper."""
    for run_id, close in (("run-1", False), ("run-2", True)):
        made = await opened(account, ledger, run_id, room=run_id)
        await change(ledger, made.entry, submitted_at=datetime.now(UTC) - timedelta(minutes=15))
        if close:
            await close_stream(account, ledger, await ledger.get(made.entry.id), why="enough")
    assert [stream["room_id"] for stream in sandbox.live_streams()] == ["run-1"]

    assert [verdict for verdict, _ in await reap()] == [Verdict.DONE]
    assert sandbox.live_streams() == []


@pytest.mark.parametrize("answers", [True, False])
async def test_a_lifetime_is_over_only_where_the_vendor_does_not_say_otherwise(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """After the TTL, a stream that the vendor calls alive stays open; one that it tells nothing of is booked."""
    monkeypatch.setattr(closing, "LAST_TRY_SECONDS", 1.0)
    monkeypatch.setattr(closing, "STOPPING_SECONDS", 0.5)
    made = await opened(account, ledger)
    await wait_streaming(account, ledger, made)
    await change(ledger, made.entry, submitted_at=datetime.now(UTC) - timedelta(minutes=15))
    late = await ledger.get(made.entry.id)
    if answers:

        async def unheeded(self: ZegoClient, task_id: str) -> None:
            """A Stop that is accepted and changes nothing."""

        monkeypatch.setattr(ZegoClient, "stop", unheeded)
        with pytest.raises(StillRunning, match="status 3"):
            await close_stream(account, ledger, late, why="enough")
        assert (await row_of(ledger)).state is State.SUBMITTED
        return
    sandbox.arm("zego", "stop", "reset", times=1000)
    entry = await close_stream(account, ledger, late, why="enough")
    assert entry.result is not None
    assert (entry.state, entry.result["how"]) == (State.SUCCEEDED, "lifetime over")


# Signs of life


async def test_a_beating_show_is_left_alone(account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer) -> None:
    """While its heart beats, no pass touches a show, and its room stays taken; without it, the next one closes it."""
    made = await opened(account, ledger)
    async with Heartbeat(ledger, made.entry, every=0.05):
        for _ in range(2):
            await asyncio.sleep(2.1)
            assert await reap(2, second_look_seconds=1.5) == []
        entry = await row_of(ledger)
        assert entry.next_poll_at is not None
        assert timedelta(0) < entry.next_poll_at - datetime.now(UTC) <= BEAT_PATIENCE
    assert len(sandbox.live_streams()) == 1
    assert await reap(3600) == []

    assert [verdict for verdict, _ in await reap(0)] == [Verdict.DONE]
    assert sandbox.live_streams() == []


async def test_a_show_that_comes_back_between_the_two_looks_is_left_alone(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer, proofs: "asyncio.Queue[bool]"
) -> None:
    """After an outage of the ledger every show looks dead for a moment; one that beats again lives on."""
    made = await opened(account, ledger)
    await ledger.set_next_poll(made.entry.id, datetime.now(UTC) - timedelta(minutes=5))
    await ledger.release_claim(claim_of("sandbox", "room-1"), "run-1/1")
    passing = asyncio.create_task(reap_streams.fn(time.monotonic() + 60, quiet_seconds=0, second_look_seconds=1.5))
    assert await asyncio.wait_for(proofs.get(), 30)
    async with Heartbeat(ledger, made.entry, every=0.2):
        assert await passing == []
    assert len(sandbox.live_streams()) == 1


async def test_the_room_of_another_start_is_no_sign_of_life(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """A retried run that renews its claim keeps no stream of its dead first start alive."""
    await opened(account, ledger)
    name = claim_of("sandbox", "room-1")
    await ledger.release_claim(name, "run-1/1")

    async def renew() -> None:
        while await ledger.claim(name, "run-1/2", stale_after=timedelta(minutes=1)):  # noqa: ASYNC110 - a database
            await asyncio.sleep(0.05)

    renewing = asyncio.create_task(renew())
    try:
        assert [verdict for verdict, _ in await reap()] == [Verdict.DONE]
    finally:
        renewing.cancel()
    assert sandbox.live_streams() == []
    assert await ledger.find_claim(name) is not None


@pytest.mark.parametrize("good_proofs", [0, 1], ids=["before the second look", "within it"])
async def test_nobody_is_judged_while_the_ledger_takes_no_signs_of_life(  # noqa: PLR0917 - fixtures and a moment
    account: ZegoAccount,
    ledger: Ledger,
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    proofs: "asyncio.Queue[bool]",
    good_proofs: int,
) -> None:
    """A ledger that can be read and not written makes every show look dead; the next pass judges again."""
    monkeypatch.setattr(reaping, "PROMPT_SECONDS", 1.0)
    monkeypatch.setattr(reaping, "PROOF_SECONDS", 0.1)
    await opened(account, ledger)
    lock = await asyncio.to_thread(
        sqlite3.connect, get_settings().root / "ledger.db", isolation_level=None, check_same_thread=False
    )
    passing = asyncio.create_task(reap_streams.fn(time.monotonic() + 60, quiet_seconds=0, second_look_seconds=2))
    try:
        async with asyncio.timeout(30):
            for _ in range(good_proofs):
                assert await proofs.get()
            lock.execute("BEGIN IMMEDIATE")
            while await proofs.get():
                continue
            lock.execute("ROLLBACK")
            (note,) = await passing
    finally:
        lock.close()

    assert note.verdict is Verdict.WAITS
    assert "does not take changes promptly" in note.done
    assert len(sandbox.live_streams()) == 1
    assert [verdict for verdict, _ in await reap()] == [Verdict.DONE]
    assert sandbox.live_streams() == []


async def test_a_sign_of_life_from_the_future_is_none(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """A dead show whose clock was ahead is closed by the second look; one that still beats is left alone."""
    dead = await opened(account, ledger, "run-1", room="room-1")
    alive = await opened(account, ledger, "run-2", room="room-2")
    future = datetime.now(UTC) + timedelta(minutes=15)
    for made in (dead, alive):
        # The row of the living one, too, was made before its clock was set back.
        await change(ledger, made.entry, updated_at=future, next_poll_at=future + BEAT_PATIENCE)

    async with Heartbeat(ledger, alive.entry, every=0.05):
        assert [verdict for verdict, _ in await reap(3600, second_look_seconds=1.5)] == [Verdict.DONE]
    assert [task["task_id"] for task in sandbox.live_streams()] == [alive.task_id]


async def test_a_heart_goes_on_beating_after_trouble(
    account: ZegoAccount, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger that is away for a moment ends neither the show nor its heartbeat."""
    made = await opened(account, ledger)
    beats = 0

    class Away:
        async def set_next_poll(self, entry_id: object, at: datetime) -> None:
            nonlocal beats
            beats += 1
            if beats < 4:
                raise StudioError("the database is away") if beats < 3 else OSError("the disk is read-only")
            await ledger.set_next_poll(made.entry.id, at)

        claim = ledger.claim

    async with Heartbeat(Away(), made.entry, every=0.02):  # type: ignore[arg-type]
        deadline = time.monotonic() + 10
        while (await row_of(ledger)).next_poll_at is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a database
            await asyncio.sleep(0.05)
    assert (await row_of(ledger)).next_poll_at is not None


async def test_a_stream_that_lives_though_its_show_is_over_is_stopped(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer
) -> None:
    """A Create that arrives after everybody has given it up is found by its id; a stranger's stream is left alone."""
    made = await opened(account, ledger)
    await close_stream(account, ledger, made.entry, why="enough")
    facts = {"digital_human_id": AVATAR, "background": "#000000", "room_id": "room-1", "ttl": 600, "max_idle": 30}
    late = await account.client.create_stream(stream_id=made.stream_id, **facts)  # type: ignore[arg-type]
    stranger = await account.client.create_stream(stream_id="somebody-else", **facts)  # type: ignore[arg-type]

    ((verdict, done),) = await reap()

    assert verdict is Verdict.DONE
    assert f"stream {late} was alive though its show is succeeded" in done
    assert [task["task_id"] for task in sandbox.live_streams()] == [stranger]
    entry = await row_of(ledger)
    assert entry.result is not None
    assert entry.charge is not None
    assert entry.charge > Decimal(str(entry.result["seconds"]))
    assert await reap() == []


async def test_a_stray_that_cannot_be_stopped_holds_up_no_other(
    account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stray is tried once in a pass, side by side; what the stubborn one costs is on record meanwhile."""
    facts = {"digital_human_id": AVATAR, "background": "#000000", "ttl": 600, "max_idle": 300}
    for number in (1, 2):
        made = await opened(account, ledger, f"run-{number}", room=f"room-{number}")
        await close_stream(account, ledger, made.entry, why="enough")
        await account.client.create_stream(stream_id=made.stream_id, room_id=f"room-{number}", **facts)  # type: ignore[arg-type]
    stubborn = (await account.client.live_streams())[0]
    stop, tries = ZegoClient.stop, 0

    async def refused(self: ZegoClient, task_id: str) -> None:
        nonlocal tries
        if task_id == stubborn.task_id:
            tries += 1
            raise ProviderUnavailable("system error", provider=PROVIDER, sent=True)
        await stop(self, task_id)

    monkeypatch.setattr(ZegoClient, "stop", refused)

    assert {verdict for verdict, _ in await reap()} == {Verdict.DONE, Verdict.WAITS}
    assert [task["task_id"] for task in sandbox.live_streams()] == [stubborn.task_id]
    assert tries == 1
    entry = await ledger.find_order(PROVIDER, stubborn.stream_id)
    assert entry is not None
    assert entry.result is not None
    assert entry.charge is not None
    assert entry.charge > Decimal(str(entry.result["seconds"]))
    late = await reap_streams.fn(time.monotonic() - 1, quiet_seconds=0, second_look_seconds=0)
    assert [note.verdict for note in late] == [Verdict.WAITS]
    assert tries == 1


@pytest.mark.parametrize(
    ("ended", "left"),
    [((0, Pending()), 1), ((1, Running()), 1), ((1, AwaitingRetry()), 0), ((2, Running()), 0)],
    ids=["first start, read before it", "first start", "second start, read before it", "second start"],
)
async def test_a_late_hook_leaves_the_next_start_alone(
    account: ZegoAccount,
    ledger: Ledger,
    sandbox: SandboxServer,
    ended: tuple[int, RunState[Any]],
    left: int,
) -> None:
    """The hook of a process that died closes the streams of that start and of earlier ones, whoever read the run."""
    run_id = uuid4()
    await open_stream(account, ledger, a_plan(), run_id=str(run_id), run_count=2)
    run_count, seen = ended
    run = FlowRun(id=run_id, flow_id=uuid4(), name="show", run_count=run_count, state=seen)

    await hook_close(a_flow, run, Crashed())

    assert len(sandbox.live_streams()) == left


@flow
def a_flow() -> None:
    """What hooks are given."""


async def test_the_hook_closes_what_its_run_left(account: ZegoAccount, ledger: Ledger, sandbox: SandboxServer) -> None:
    """Of the crashed run only: other shows stay on air."""
    await opened(account, ledger)
    other = await opened(account, ledger, "run-2", room="room-2")

    await close_streams_of("run-1", why="its run ended as Crashed")

    assert [task["task_id"] for task in sandbox.live_streams()] == [other.task_id]
    entry = await row_of(ledger)
    assert entry.result is not None
    assert entry.result["why"] == "its run ended as Crashed"


# Turns


async def test_all_shows_share_the_rate_of_an_action(account: ZegoAccount, ledger: Ledger) -> None:
    """Callers of several processes together take the slots of one row, nine a second; another action has its own."""
    processes = [ActionTurns(account.endpoint) for _ in range(2)]
    ended: list[str] = []

    async def call(turns: ActionTurns, action: str) -> None:
        await turns(action)
        ended.append(action)

    began = time.monotonic()
    busy = [call(turns, "DriveByText") for turns in processes for _ in range(10)]
    await asyncio.gather(*busy, call(processes[0], "InterruptDriveTask"))

    assert time.monotonic() - began >= 19 / PER_SECOND - 0.1
    assert ended[-1] == "DriveByText"
    assert ended.index("InterruptDriveTask") < len(ended) / 2


async def test_a_ledger_that_is_away_does_not_hold_up_a_call(
    account: ZegoAccount, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream can be stopped while the database is locked by somebody; the vendor's own limit guards the rate then."""
    monkeypatch.setattr(turns_module, "PATIENCE_SECONDS", 0.2)
    made = await opened(account, ledger)
    path = get_settings().root / "ledger.db"
    locked = await asyncio.to_thread(sqlite3.connect, path, isolation_level=None, check_same_thread=False)
    locked.execute("BEGIN EXCLUSIVE")
    try:
        how = await asyncio.wait_for(stop_surely(account.client, made.task_id), timeout=10)
    finally:
        locked.execute("ROLLBACK")
        locked.close()

    assert how == "stopped"


@pytest.mark.parametrize("broken", [OSError(30, "Read-only file system"), ValueError("a defect")])
async def test_no_trouble_with_a_turn_keeps_a_stream_alive(
    account: ZegoAccount,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: Exception,
) -> None:
    """Whatever is raised while a turn is taken is logged, and Stop is called without one."""
    made = await opened(account, ledger)

    @asynccontextmanager
    async def failing() -> AsyncIterator[Ledger]:
        raise broken
        yield ledger

    monkeypatch.setattr(turns_module, "open_ledger", failing)

    assert await stop_surely(account.client, made.task_id) == "stopped"
    assert await account.client.live_streams() == []
    assert str(broken.args[-1]) in caplog.text
