"""The engine of a show against the sandbox: real calls, real sockets, a real ledger; without Prefect and object store.

Whole shows with both are in tests/e2e/test_show.py.
"""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tasks.errors import StudioError
from tasks.ledger import State
from tasks.show import broadcasting, cues, obeying, upkeep
from tasks.show.commands import ShowCommand
from tasks.show.contract import (
    PlannedCue,
)
from tasks.show.control import Control, CutKind, Ending, EndKind
from tasks.show.cues import Stage
from tasks.show.driving import DriveWatch
from tasks.show.obeying import obey, words_of
from tests.playing_shows import (
    LASTING,
    LONG,
    SHORT,
    Show,
    brisk,
    clean_sandbox,
    drives,
    eventually,
    heard,
    make_plan,
    playing,
    show_of,
    tones,
)
from tests.servers.sandbox import SandboxServer, one_sandbox

pytestmark = pytest.mark.usefixtures("studio_home")


async def test_cues_are_performed_in_order_and_the_stream_is_closed_and_charged(sandbox: SandboxServer) -> None:
    """Text, pause, action, streamed recording and loop: each once, one after the other, and the books are right."""
    plan = make_plan(
        [
            {"text": "Hello.", "name": "greeting"},
            {"pause": 0.3},
            {"action": "802_921474", "seconds": 0.2},
            {"recording": SHORT},
            {"loop": [{"text": "Again."}, {"pause": 0.1}], "times": 2},
        ]
    )

    async with show_of(sandbox, plan) as show:
        entry = await show.perform()

    assert str(show.record.ending) == "all cues performed"
    assert show.outcomes == [
        *((number, "done") for number in ("1", "2", "3", "4")),
        *((number, "done") for number in ("5.1, round 1", "5.2, round 1", "5.1, round 2", "5.2, round 2")),
    ]
    assert [drive["kind"] for drive in drives(sandbox)] == ["text", "ws", "text", "text"]
    spans = [(line.began_at, line.ended_at) for line in show.lines]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert entry.state is State.SUCCEEDED
    assert entry.result is not None
    assert entry.charge is not None
    (stream,) = sandbox.truth()["zego"]["streams"]
    lived = stream["ended"] - stream["started"]
    assert float(str(entry.result["seconds"])) == pytest.approx(lived, abs=2)


async def test_streamed_recording_is_heard_to_its_end(sandbox: SandboxServer) -> None:
    """All of it arrives, at the pace of speech, and the next cue begins after its end, not after its last byte."""
    plan = make_plan([{"recording": SHORT}, {"text": "Next."}])

    async with show_of(sandbox, plan) as show:
        await show.perform()

    spoken, following = drives(sandbox)
    assert spoken["playout"]["seconds"] == pytest.approx(1.0, abs=0.1)
    assert spoken["playout"]["unfinished"] is False
    assert spoken["status"] == 4
    assert following["at"] >= spoken["ended"] - 0.1
    assert show.record.first_byte_at is not None


async def test_skip_cuts_what_is_said_and_goes_on(sandbox: SandboxServer) -> None:
    """The vendor is silent and the next cue begins, long before the words would end."""
    plan = make_plan([{"text": LONG}, {"text": "Next."}, {"pause": 0.1}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        asked = time.monotonic()
        show.control.cut(CutKind.SKIP)
        await show.until_on_air("2")
        took = time.monotonic() - asked
        await task

    assert took < 15
    assert show.outcomes == [("1", "skipped"), ("2", "done"), ("3", "done")]
    assert [drive["status"] for drive in drives(sandbox)] == [5, 4]


async def test_skip_of_a_stream_stops_its_socket(sandbox: SandboxServer) -> None:
    """PCM under way is cut as text is, and its drive is not left waiting for more."""
    plan = make_plan([{"recording": LASTING}, {"text": "Next."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        await asyncio.sleep(0.5)
        show.control.cut(CutKind.SKIP)
        await task

    assert show.outcomes == [("1", "skipped"), ("2", "done")]
    assert [drive["status"] for drive in drives(sandbox)] == [5, 4]


async def test_skip_ends_a_pause(sandbox: SandboxServer) -> None:
    """A long silence is a cue as any other."""
    plan = make_plan([{"pause": 600}, {"text": "Next."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        show.control.cut(CutKind.SKIP)
        await task

    assert show.outcomes == [("1", "skipped"), ("2", "done")]


async def test_interrupt_holds_the_show_until_it_is_resumed(sandbox: SandboxServer) -> None:
    """Nothing more begins after an interruption, although the stream goes on; then the next cue does."""
    plan = make_plan([{"text": LONG}, {"text": "Next."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        show.control.hold()
        show.control.cut(CutKind.INTERRUPT)
        await eventually(lambda: show.record.lines)
        await asyncio.sleep(0.6)
        begun = len(drives(sandbox))
        show.control.resume()
        await task

    assert begun == 1
    assert show.outcomes == [("1", "interrupted"), ("2", "done")]


async def test_pause_lets_the_cue_end(sandbox: SandboxServer) -> None:
    """A held show finishes its sentence."""
    plan = make_plan([{"text": "Hello there, audience."}, {"text": "Next."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        show.control.hold()
        await eventually(lambda: show.record.lines)
        await asyncio.sleep(0.5)
        assert [(line.number, line.outcome.value) for line in show.record.lines] == [("1", "done")]
        assert len(drives(sandbox)) == 1
        show.control.resume()
        await task

    assert show.outcomes == [("1", "done"), ("2", "done")]


@pytest.mark.parametrize(
    ("queue", "outcomes"),
    [
        (False, [("1", "interrupted"), ("say 1", "done"), ("2", "done")]),
        (True, [("1", "done"), ("say 1", "done"), ("2", "done")]),
    ],
)
async def test_say_cuts_or_waits(sandbox: SandboxServer, queue: bool, outcomes: list[tuple[str, str]]) -> None:
    """What a person wants said comes instead of the rest of the cue or after it, and the rundown goes on."""
    plan = make_plan([{"text": "Somewhat more than a second."}, {"text": "Next."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        show.control.say(words_of(ShowCommand(do="say", text="Breaking news."), plan, "say 1"), queue=queue)
        await task

    assert show.outcomes == outcomes
    assert [drive["text"] for drive in drives(sandbox)][1] == "Breaking news."
    said = next(line for line in show.lines if line.number == "say 1")
    assert said.drift_seconds is None


async def test_say_in_a_pause_is_heard_at_once_and_the_pause_goes_on(sandbox: SandboxServer) -> None:
    """Silence is there to be spoken into: it neither delays the words nor grows by them."""
    plan = make_plan([{"pause": 4}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        show.control.say(words_of(ShowCommand(do="say", text="Hello?"), plan, "say 1"), queue=True)
        await task

    assert show.outcomes == [("say 1", "done"), ("1", "done")]
    (pause,) = [line for line in show.lines if line.number == "1"]
    assert pause.began_at is not None
    assert pause.ended_at is not None
    assert 3.9 < (pause.ended_at - pause.began_at).total_seconds() < 12


async def test_hard_end_cuts_the_word_and_leaves_the_rest(sandbox: SandboxServer) -> None:
    """At the hard end the stream is closed, whatever is being said."""
    plan = make_plan([{"text": LONG}, {"text": "Never."}], hard_end=datetime.now(UTC) + timedelta(seconds=10))

    async with show_of(sandbox, plan) as show:
        await show.perform()

    assert show.record.ending == Ending(how=EndKind.HARD_END)
    assert show.outcomes == [("1", "interrupted"), ("2", "not reached")]
    assert plan.hard_end is not None
    (stream,) = sandbox.truth()["zego"]["streams"]
    assert stream["ended"] - plan.hard_end.timestamp() < 15
    assert stream["how_ended"] == "stopped"


async def test_signal_ends_the_show(sandbox: SandboxServer) -> None:
    """A process that is asked to end closes its stream in the middle of a word."""
    plan = make_plan([{"text": LONG}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        asked = asyncio.Event()
        waiting = asyncio.create_task(upkeep.end_when(asked, show.control))
        asked.set()
        await task
        await waiting

    assert show.record.ending == Ending(how=EndKind.ASKED)
    assert show.outcomes == [("1", "interrupted")]


async def test_failing_cue_is_skipped_or_ends_the_show(sandbox: SandboxServer) -> None:
    """The show says what a failing cue does, and a cue may say otherwise."""
    plan = make_plan(
        [
            {"text": "One.", "timbre": "no-such-timbre"},
            {"text": "Two."},
            {"action": "no-such-action", "on_failure": "end"},
            {"text": "Never."},
        ]
    )

    async with show_of(sandbox, plan) as show:
        await show.perform()

    assert show.outcomes == [("1", "failed"), ("2", "done"), ("3", "failed"), ("4", "not reached")]
    assert "400000004" in show.lines[0].reason
    assert show.record.ending is not None
    assert show.record.ending.how is EndKind.CUE_FAILED
    assert "cue 3" in show.record.ending.reason


async def test_loop_in_which_everything_fails_ends(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rundown whose cues all fail does not call the vendor for hours."""
    monkeypatch.setattr("tasks.show.performing.MOST_FAILURES", 3)
    monkeypatch.setattr("tasks.show.performing.LONGEST_BREATH", 0.1)
    plan = make_plan([{"loop": [{"text": "One.", "timbre": "no-such-timbre"}]}])

    async with show_of(sandbox, plan) as show:
        await show.perform()

    assert [outcome for _, outcome in show.outcomes] == ["failed"] * 3
    assert show.record.ending is not None
    assert show.record.ending.how is EndKind.CUE_FAILED


async def test_stream_that_somebody_stopped_ends_the_show(sandbox: SandboxServer) -> None:
    """No cue is tried on a stream that is gone; the run says why it ended."""
    plan = make_plan([{"pause": 0.5}, {"text": "To nobody."}, {"text": "Never."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        await show.account.client.stop(show.stream.task_id)
        await task

    assert show.record.ending is not None
    assert show.record.ending.how is EndKind.STREAM_ENDED
    assert show.outcomes[-1] == ("3", "not reached")


async def test_stream_that_ends_in_a_pause_is_noticed(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any callback, in an hour of silence, the vendor is asked whether the stream still lives."""
    monkeypatch.setattr(upkeep, "LOOK_SECONDS", 0.5)
    plan = make_plan([{"pause": 3600}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        await show.account.client.stop(show.stream.task_id)
        await asyncio.wait_for(task, 30)

    assert show.record.ending is not None
    assert show.record.ending.how is EndKind.STREAM_ENDED


@asynccontextmanager
async def kept_alive(show: Show, idle_seconds: float) -> AsyncIterator[None]:
    """Within the block, the show's stream is kept alive as one with another idle end would be."""
    watch = DriveWatch(show.ledger, show.stream.task_id, expects=False)
    stage = Stage(show.account, show.stream, watch, show.record.plan.rundown, {})
    keeping = asyncio.create_task(upkeep.stay_alive(stage, show.control, idle_seconds))
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


async def test_silence_is_said_before_the_stream_counts_as_idle(sandbox: SandboxServer) -> None:
    """In a long pause the vendor gets a moment of silence at a third of its idle time, again and again."""
    plan = make_plan([{"pause": 60}])

    async with playing(sandbox, plan) as (show, _task):
        await show.until_on_air("1")
        async with kept_alive(show, 3):
            await eventually(lambda: len(drives(sandbox)) >= 2)

    silent = [drive for drive in drives(sandbox) if drive["kind"] == "ws"]
    assert silent[1]["at"] - silent[0]["at"] > 0.9
    assert silent[0]["playout"]["seconds"] == pytest.approx(upkeep.SILENCE_SECONDS, abs=0.01)


async def test_hanging_try_to_keep_alive_leaves_time_for_the_next(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call without an answer costs seconds, not the stream; a failed try does not count as something said."""
    assert 10 + 3 * upkeep.KEEP_SECONDS + 2 * upkeep.AGAIN_SECONDS < 30
    monkeypatch.setattr(upkeep, "KEEP_SECONDS", 1.5)
    monkeypatch.setattr(upkeep, "AGAIN_SECONDS", 0.2)
    sandbox.arm("zego", "ws", "hold_before")
    plan = make_plan([{"pause": 60}])

    async with playing(sandbox, plan) as (show, _task):
        await show.until_on_air("1")
        async with kept_alive(show, 3):
            await asyncio.to_thread(sandbox.wait_held)
            began = time.monotonic()
            await eventually(lambda: drives(sandbox))
            took = time.monotonic() - began
        sandbox.clear()

    assert took < cues.CALL_SECONDS - 2


async def test_drive_that_was_never_taken_does_not_count_as_said(sandbox: SandboxServer) -> None:
    """The vendor's idle time runs on through cues that it refuses, so the stream's keeper must count on as well."""
    plan = make_plan([{"pause": 60}])

    async with playing(sandbox, plan) as (show, _task):
        await show.until_on_air("1")
        watch = DriveWatch(show.ledger, show.stream.task_id, expects=False)
        stage = Stage(show.account, show.stream, watch, plan.rundown, {})
        before = stage.quiet_since
        refused = make_plan([{"text": "Hello.", "timbre": "no-such-timbre"}, {"text": "Hello."}])
        first, second = refused.cues
        assert isinstance(first, PlannedCue)
        assert isinstance(second, PlannedCue)
        with pytest.raises(StudioError):
            await stage.perform(first, cues.Played())
        assert stage.quiet_since == before
        await stage.perform(second, cues.Played())
        assert stage.quiet_since > before


async def test_lost_answer_to_a_drive_is_not_heard_twice(sandbox: SandboxServer) -> None:
    """The repeat cuts what the unanswered drive may be saying already."""
    sandbox.arm("zego", "text", "lost_answer")
    plan = make_plan([{"text": "Say this once."}])

    async with show_of(sandbox, plan) as show:
        await show.perform()

    assert show.outcomes == [("1", "done")]
    assert [drive["status"] for drive in drives(sandbox)] == [5, 4]


async def test_short_outage_of_the_vendor_delays_a_cue(sandbox: SandboxServer) -> None:
    """Refused connections and busy answers are waited out; the cue is said once."""
    sandbox.arm("zego", "text", "reset", times=2)
    sandbox.arm("zego", "ws", "business", times=2, code=400010002)
    plan = make_plan([{"text": "Hello."}, {"recording": SHORT}])

    async with show_of(sandbox, plan) as show:
        await show.perform()

    assert show.outcomes == [("1", "done"), ("2", "done")]


async def test_outage_that_lasts_fails_the_cue_and_not_the_show(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the patience of a live show the next cue has its turn."""
    monkeypatch.setattr(cues, "PATIENCE_SECONDS", 1.0)
    sandbox.arm("zego", "text", "business", times=50, code=400010002)
    plan = make_plan([{"text": "Lost."}, {"recording": SHORT}])

    async with show_of(sandbox, plan) as show:
        await show.perform()

    assert show.outcomes == [("1", "failed"), ("2", "done")]


async def test_broken_helper_ends_the_show(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A show whose stream nobody keeps alive any more does not go on unattended."""

    async def broken(*_: object) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr("tasks.show.broadcasting.stay_alive", broken)
    plan = make_plan([{"pause": 600}])

    async with show_of(sandbox, plan) as show:
        await asyncio.wait_for(show.perform(), 20)

    assert show.record.ending is not None
    assert show.record.ending.how is EndKind.BROKEN


async def test_stream_that_fails_to_start_is_told(sandbox: SandboxServer) -> None:
    """The vendor's reason is the show's ending, and no cue was reached."""
    sandbox.arm("zego", "create", "fail")
    plan = make_plan([{"text": "Never."}])

    async with show_of(sandbox, plan) as show:
        entry = await show.perform()

    assert show.record.ending is not None
    assert show.record.ending.how is EndKind.BROKEN
    assert show.outcomes == [("1", "not reached")]
    assert entry.state is State.FAILED
    assert entry.charge is None


async def test_every_skip_skips_a_cue(sandbox: SandboxServer) -> None:
    """Two that arrive together cut the cue on air and pass over the next, of which the vendor hears nothing."""
    plan = make_plan([{"text": LONG}, {"text": LONG}, {"text": "Next."}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        show.control.cut(CutKind.SKIP)
        show.control.cut(CutKind.SKIP)
        await task

    assert show.outcomes == [("1", "skipped"), ("2", "skipped"), ("3", "done")]
    assert [drive["text"] for drive in drives(sandbox)] == [LONG.strip(), "Next."]


def test_skip_of_a_cue_that_ends_by_itself_is_about_no_later_one() -> None:
    """Of two skips for a cue that ended before they came, one is left for the next cue; a wish to interrupt is not."""
    control = Control()
    control.cut(CutKind.SKIP)
    control.cut(CutKind.SKIP)
    control.cut(CutKind.INTERRUPT)
    control.take_cut(speaks=True)
    control.forget_cut()

    assert control.take_cut(speaks=True) is None
    assert [control.take_skip(), control.take_skip()] == [True, False]


async def test_what_nobody_heard_is_noted_as_refused(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words that waited behind the last cue when the show was stopped, and words that came after that."""
    wishes: asyncio.Queue[ShowCommand] = asyncio.Queue()
    monkeypatch.setattr(obeying, "listen", lambda _run_id: heard(wishes))
    plan = make_plan([{"text": LONG}])

    async with playing(sandbox, plan) as (show, task):
        obeying_it = asyncio.create_task(obey(uuid4(), show.control, show.record))
        await show.until_on_air("1")
        wishes.put_nowait(ShowCommand(do="say", text="Too late.", queue=True))
        wishes.put_nowait(ShowCommand(do="stop"))
        await task
        wishes.put_nowait(ShowCommand(do="say", text="Much too late."))
        await eventually(lambda: len(show.record.asked_for) == 3)
        obeying_it.cancel()

    waited, stopped, late = show.record.asked_for
    assert (waited.cue, waited.refused) == ("say 1", "the show was over before it could be said")
    assert (stopped.do, stopped.refused) == ("stop", "")
    assert late.refused == "the show was over"
    assert [number for number, _ in show.outcomes] == ["1"]


async def test_time_to_live_is_no_matter_of_the_wall_clock(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that was set since the stream was created ends the show neither early nor late."""
    monkeypatch.setattr(broadcasting, "BEFORE_TTL", 7.0)
    plan = make_plan([{"pause": 60}]).model_copy(update={"ttl": 10})

    for off in (timedelta(hours=-1), timedelta(hours=1)):
        async with show_of(sandbox, plan) as show:
            show.stream = show.stream.model_copy(update={"ends_by": show.stream.ends_by + off})
            began = time.monotonic()
            await show.perform()
            took = time.monotonic() - began

        assert show.record.ending is not None
        assert show.record.ending.reason == "the stream has reached its time to live"
        assert 2.9 < took < 9
