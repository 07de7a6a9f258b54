"""What callbacks and audio time tell a show about its drives, whichever of both comes, in whatever order."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.ledger import StreamEvent
from tasks.ledger.opening import open_ledger
from tasks.ledger.store import Ledger
from tasks.providers.zego.client import ZegoClient
from tasks.show import upkeep
from tasks.show.contract import (
    DriveState,
)
from tasks.show.control import EndKind
from tasks.show.driving import LATE_NOTICE_SECONDS, DriveWatch
from tests.playing_shows import LONG, Show, brisk, clean_sandbox, eventually, make_plan, playing, tones
from tests.servers.sandbox import SandboxServer, one_sandbox

pytestmark = pytest.mark.usefixtures("studio_home")


@dataclass
class Told:
    """Puts callbacks into the ledger as the webhooks do."""

    ledger: Ledger
    task_id: str = "task-1"
    zero: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def say(self, drive_id: str, status: int, at: float = 0, kind: str = "drive", reason: str = "") -> None:
        event = {"task_id": self.task_id, "kind": kind, "drive_id": drive_id, "status": status, "reason": reason}
        moments = {"happened_at": self.zero + timedelta(seconds=at), "received_at": datetime.now(UTC)}
        await self.ledger.add_stream_event(StreamEvent.model_validate(event | moments))


@pytest.fixture
async def told(studio_home: Path) -> AsyncIterator[Told]:
    """An open ledger that callbacks are written into."""
    async with open_ledger() as ledger:
        yield Told(ledger)


async def test_callback_tells_the_end_of_a_drive(told: Told) -> None:
    """It is believed before the audio can be over, and counts as confirmed."""
    watch = DriveWatch(told.ledger, told.task_id, expects=True)
    waiting = asyncio.create_task(watch.ended("d1", 60))
    await told.say("d1", 2)
    await told.say("d1", 4, at=3)

    end = await asyncio.wait_for(waiting, 5)

    assert (end.state, end.confirmed) == (DriveState.ENDED, True)


async def test_without_callbacks_audio_time_decides(told: Told) -> None:
    """Nothing is waited for that was never set up."""
    watch = DriveWatch(told.ledger, told.task_id, expects=False)
    began = time.monotonic()

    end = await watch.ended("d1", 0.4)

    assert (end.state, end.confirmed) == (DriveState.ENDED, False)
    assert 0.4 < time.monotonic() - began < LATE_NOTICE_SECONDS


async def test_lost_callbacks_are_not_waited_for_forever(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late one has its time, but after two that never came, audio time decides at once."""
    assert LATE_NOTICE_SECONDS > 5
    monkeypatch.setattr("tasks.show.driving.LATE_NOTICE_SECONDS", 4.0)
    watch = DriveWatch(told.ledger, told.task_id, expects=True)
    took = []
    for drive in ("d1", "d2", "d3"):
        began = time.monotonic()
        await watch.ended(drive, 0.1)
        took.append(time.monotonic() - began)

    assert min(took[:2]) > 4
    assert took[2] < 4


async def test_disorder_and_repeats_change_nothing(told: Told) -> None:
    """An end stays an end when an older state arrives after it."""
    watch = DriveWatch(told.ledger, told.task_id, expects=False)
    await told.say("d1", 4, at=5)
    await watch.look()
    await told.say("d1", 1, at=0)
    await told.say("d1", 2, at=1)
    await told.say("d1", 2, at=9)

    end = await asyncio.wait_for(watch.ended("d1", 60), 5)

    assert (end.state, end.confirmed) == (DriveState.ENDED, True)


async def test_failed_drive_and_ended_stream_are_told_with_their_reasons(told: Told) -> None:
    """What the vendor gives as a reason reaches the record."""
    watch = DriveWatch(told.ledger, told.task_id, expects=False)
    await told.say("d1", 3, reason="no audio")
    assert (await watch.ended("d1", 60)).reason == "no audio"
    waiting = asyncio.create_task(watch.ended("d2", 60))
    watch.stream_over = "its start failed"

    end = await asyncio.wait_for(waiting, 5)

    assert end.state is DriveState.FAILED
    assert "stream ended" in end.reason


async def test_callback_alone_ends_neither_drive_nor_show(told: Told) -> None:
    """It only makes somebody ask, once for each callback, however often it is read."""
    watch = DriveWatch(told.ledger, told.task_id, expects=False)
    await told.say("", 5, kind="task")

    end = await asyncio.wait_for(watch.ended("d1", 0.5), 10)

    assert (end.state, end.confirmed, watch.stream_over) == (DriveState.ENDED, False, "")
    assert watch.in_doubt.is_set()
    watch.in_doubt.clear()
    await watch.look()
    assert not watch.in_doubt.is_set()
    await told.say("", 4, kind="task", at=1)
    await watch.look()
    assert watch.in_doubt.is_set()


async def tell(show: Show, status: int) -> None:
    """A callback about the show's stream."""
    event = StreamEvent(
        task_id=show.stream.task_id,
        kind="task",
        status=status,
        happened_at=datetime.now(UTC),
        received_at=datetime.now(UTC),
    )
    await show.ledger.add_stream_event(event)


async def test_false_callback_leaves_a_healthy_show_alone(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor is asked at once, says that the stream lives, and the cue on air is said to its end."""
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 600)
    asked: list[str] = []
    real = ZegoClient.stream_status

    async def counted(self: ZegoClient, task_id: str) -> Any:
        asked.append(task_id)
        return await real(self, task_id)

    # So long that the vendor has been asked well before its end.
    plan = make_plan([{"text": "Somewhat more than ten seconds, and a little more. " * 3}, {"text": "Next."}])
    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        monkeypatch.setattr(ZegoClient, "stream_status", counted)
        await tell(show, 5)
        await eventually(lambda: asked)
        ending, lines = show.control.ending, list(show.record.lines)
        monkeypatch.setattr(ZegoClient, "stream_status", real)
        await task

    assert (ending, lines) == (None, [])
    assert show.outcomes == [("1", "done"), ("2", "done")]


async def test_true_callback_ends_the_show_at_once(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next regular look at the stream would be much later; the cue on air has failed with the stream's end."""
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 600)
    plan = make_plan([{"text": LONG}, {"text": "Never."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        await show.account.client.stop(show.stream.task_id)
        await tell(show, 5)
        await asyncio.wait_for(task, 15)

    assert show.record.ending is not None
    assert show.record.ending.how is EndKind.STREAM_ENDED
    assert show.outcomes[-1] == ("2", "not reached")
