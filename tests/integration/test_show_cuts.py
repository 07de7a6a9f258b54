"""What is cut is silent: also when the vendor does not take the cut, or a call was on its way as it came."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import asyncio
from datetime import UTC, datetime

import pytest

from tasks.ledger import StreamEvent
from tasks.ledger.opening import open_ledger
from tasks.show import cues, driving
from tasks.show.contract import DriveState
from tasks.show.control import CutKind
from tests.playing_shows import (
    LONG,
    brisk,
    clean_sandbox,
    drives,
    eventually,
    make_plan,
    playing,
    tones,
)
from tests.servers.sandbox import SandboxServer, one_sandbox

pytestmark = pytest.mark.usefixtures("studio_home")

BUSY = 400010002
INTERRUPTED, ENDED = 5, 4


async def test_a_busy_vendor_is_asked_again_to_be_silent(sandbox: SandboxServer) -> None:
    """One refusal is no reason to let the avatar talk on."""
    sandbox.arm("zego", "interrupt", "business", code=BUSY)
    plan = make_plan([{"text": LONG}, {"text": "Next."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        show.control.hold()
        show.control.cut(CutKind.INTERRUPT)
        await eventually(lambda: drives(sandbox)[0]["status"] == INTERRUPTED)
        assert len(drives(sandbox)) == 1
        show.control.resume()
        await task

    assert show.outcomes == [("1", "interrupted"), ("2", "done")]


async def test_what_cannot_be_cut_is_cut_by_the_next_cue(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text after a skip that the vendor did not take speaks at once, instead of waiting behind the skipped words."""
    monkeypatch.setattr(cues, "HUSH_SECONDS", 0.5)
    sandbox.arm("zego", "interrupt", "business", times=100, code=BUSY)
    plan = make_plan([{"text": LONG}, {"text": "Next."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        show.control.cut(CutKind.SKIP)
        await task
        sandbox.clear()

    skipped, following = drives(sandbox)
    assert (skipped["status"], following["status"]) == (INTERRUPTED, ENDED)
    assert show.outcomes == [("1", "skipped"), ("2", "done")]


async def test_a_held_show_goes_on_trying_to_be_silent(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing follows that would cut the words, so the vendor is asked until it takes it."""
    monkeypatch.setattr(cues, "HUSH_SECONDS", 0.2)
    sandbox.arm("zego", "interrupt", "business", times=4, code=BUSY)
    plan = make_plan([{"text": LONG}, {"text": "Never."}])

    async with playing(sandbox, plan) as (show, _):
        await show.until_on_air("1")
        show.control.hold()
        show.control.cut(CutKind.INTERRUPT)
        await eventually(lambda: drives(sandbox)[0]["status"] == INTERRUPTED)

    assert show.outcomes == [("1", "interrupted"), ("2", "not reached")]


async def test_a_cut_reaches_words_whose_drive_nobody_was_told(sandbox: SandboxServer) -> None:
    """The call's answer is lost, so the show knows of no drive, and yet something speaks that was skipped."""
    sandbox.arm("zego", "text", "lost_answer")
    plan = make_plan([{"text": LONG}, {"text": "Next."}])

    async with playing(sandbox, plan) as (show, task):
        await eventually(lambda: len(drives(sandbox)) == 1)
        show.control.cut(CutKind.SKIP)
        await task

    skipped, *following = drives(sandbox)
    assert skipped["status"] == INTERRUPTED
    assert following[-1]["status"] == ENDED
    assert show.outcomes == [("1", "skipped"), ("2", "done")]


async def test_words_in_the_queue_are_not_taken_for_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audio time does not run while the vendor says that a drive waits; but no show waits for ever."""
    now = datetime.now(UTC)
    waits = StreamEvent(task_id="task-1", kind="drive", drive_id="d1", status=1, happened_at=now, received_at=now)
    async with open_ledger() as ledger:
        await ledger.add_stream_event(waits)
        watch = driving.DriveWatch(ledger, "task-1", expects=False)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await watch.ended("d1", 0.1, slack=0.1)

        monkeypatch.setattr(driving, "QUEUE_SECONDS", 0.5)
        end = await watch.ended("d1", 0.1, slack=0.1)
    assert (end.state, end.confirmed) == (DriveState.ENDED, False)
