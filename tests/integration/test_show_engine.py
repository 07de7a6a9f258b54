"""The engine of a show against the sandbox: real calls, real sockets, a real ledger; without Prefect and object store.

Whole shows with both are in tests/e2e/test_show.py.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.testing.utilities import prefect_test_harness

from tasks.errors import RequestRefused, StillRunning, StorageError, StudioError
from tasks.ledger import Entry, State, StreamEvent
from tasks.ledger.opening import open_ledger
from tasks.ledger.store import Ledger
from tasks.leftovers import Verdict
from tasks.providers.zego.client import ZegoClient
from tasks.settings import get_settings
from tasks.show import archiving, broadcasting, commands, cues, driving, obeying, upkeep
from tasks.show.account import ZegoAccount
from tasks.show.archiving import archive_left_records, record_file
from tasks.show.broadcasting import broadcast, on_air
from tasks.show.checking import plan_show
from tasks.show.closing import close_stream
from tasks.show.commands import ShowCommand, listen, send_command
from tasks.show.contract import (
    CueMedia,
    CueOutcome,
    DriveState,
    OpenStream,
    PerformedCue,
    PlannedCue,
    PlannedLoop,
    ShowPlan,
)
from tasks.show.control import Control, CutKind, Ending, EndKind
from tasks.show.cues import Stage
from tasks.show.driving import LATE_NOTICE_SECONDS, DriveWatch
from tasks.show.obeying import obey, words_of
from tasks.show.record import ShowManifest, ShowRecord, in_order
from tasks.show.rooms import NOT_ENDED
from tasks.show.rundown import LoopCue, Rundown
from tasks.show.showing import Shown, table_of
from tasks.show.stream import open_stream, render_key_of
from tasks.show.timing import cue_seconds
from tests.media_files import write_sound
from tests.servers.sandbox import SandboxServer, one_sandbox  # noqa: F401 - a fixture

LONG = "This is said for a long time, so that there is something that can be cut. " * 6

SHORT, LASTING = "s3://staging/short.wav", "s3://staging/lasting.wav"
TONES: dict[str, tuple[Path, float]] = {}


@pytest.fixture(name="sandbox")
def clean_sandbox(sandbox_server: SandboxServer) -> SandboxServer:
    """The module's sandbox, with nothing left of the test before, and streams that are up at once."""
    sandbox_server.reset()
    sandbox_server.settings(stream_start_seconds=0.1, stream_stop_seconds=0.05)
    return sandbox_server


@pytest.fixture(scope="module", autouse=True)
def tones(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The recordings on this machine, as the checks would have fetched them."""
    folder = tmp_path_factory.mktemp("tones")
    for reference, seconds in ((SHORT, 1.0), (LASTING, 8.0)):
        TONES[reference] = (write_sound(folder / Path(reference).name, seconds=seconds), seconds)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter allowances than people get: nothing here is late for reasons of its own."""
    monkeypatch.setattr(driving, "ROUGH_SLACK", 1.0)
    monkeypatch.setattr(cues, "LONGEST_PAUSE", 0.3)
    monkeypatch.setattr(cues, "SOCKET_PAUSE", 0.1)


def make_plan(cues: list[dict[str, Any]], *, hard_end: datetime | None = None, **rundown: Any) -> ShowPlan:
    """A plan as the checks would make it, of a rundown as a person writes it; recordings are files on this machine."""
    facts = {"avatar": "dh-anna", "room": f"room-{uuid4().hex[:8]}", "timbre": "tb-en-calm", "sample_rate": 16000}
    whole = Rundown.model_validate({**facts, **rundown, "cues": cues})

    def planned(number: str, cue: Any) -> PlannedCue:
        media = None
        if cue.kind == "pcm":
            path, seconds = TONES[cue.recording]
            media = CueMedia(reference=cue.recording, path=path, seconds=seconds, sha256="ab" * 32)
        return PlannedCue(number=number, cue=cue, seconds=cue_seconds(cue, media and media.seconds), media=media)

    items: list[PlannedCue | PlannedLoop] = []
    for index, cue in enumerate(whole.cues, start=1):
        if isinstance(cue, LoopCue):
            inner = [planned(f"{index}.{place}", each) for place, each in enumerate(cue.loop, start=1)]
            items.append(PlannedLoop(number=str(index), loop=cue, cues=inner))
        else:
            items.append(planned(str(index), cue))
    return ShowPlan(rundown=whole, cues=items, seconds=None, ttl=300, hard_end=hard_end)


@dataclass
class Show:
    """A show that is on air in the background."""

    ledger: Ledger
    account: ZegoAccount
    stream: OpenStream
    record: ShowRecord
    control: Control = field(default_factory=Control)

    async def perform(self) -> Entry:
        """From the created stream to the closed one."""
        entry, trouble = await on_air(
            self.ledger, self.account, self.stream, record=self.record, control=self.control, links={}
        )
        assert trouble is None
        return entry

    @property
    def lines(self) -> list[PerformedCue]:
        return self.record.all_lines()

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Number and outcome of every cue, in the order in which they ended."""
        return [(line.number, line.outcome.value) for line in self.lines]

    async def until_on_air(self, number: str) -> None:
        """Wait until a cue is being performed; spoken ones until the vendor has their drive."""
        await eventually(
            lambda: any(
                line.number == number and (line.played.drive_id or line.planned.cue.kind in {"pause", "action"})
                for line in self.record.on_air
            )
        )


async def eventually(reached: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def account_at(sandbox: SandboxServer) -> ZegoAccount:
    client = ZegoClient(base_url=sandbox.zego_url, app_id=sandbox.zego_app_id, server_secret=sandbox.zego_server_secret)
    return ZegoAccount(client=client, account="test", endpoint=client.base_url, unverified_socket=True, prices={})


@asynccontextmanager
async def show_of(sandbox: SandboxServer, plan: ShowPlan) -> AsyncIterator[Show]:
    """A show whose stream has been created; afterwards none may be alive."""
    account = account_at(sandbox)
    async with open_ledger() as ledger:
        stream = await open_stream(account, ledger, plan, run_id=str(uuid4()), run_count=1)
        yield Show(ledger, account, stream, ShowRecord(plan))
        assert await account.client.live_streams() == []


@asynccontextmanager
async def playing(sandbox: SandboxServer, plan: ShowPlan) -> AsyncIterator[tuple[Show, "asyncio.Task[Entry]"]]:
    """A show that is performed while the block runs, and has ended after it."""
    async with show_of(sandbox, plan) as show:
        task = asyncio.create_task(show.perform())
        try:
            yield show, task
        finally:
            show.control.end(Ending(how=EndKind.STOPPED))
            await task


def drives(sandbox: SandboxServer) -> list[dict[str, Any]]:
    """All drives that the sandbox was asked for, oldest first."""
    return sandbox.truth()["zego"]["drives"]


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
    # How well it is paced is a benchmark; here other programs may have the machine for a moment.
    assert spoken["playout"]["underrun_seconds"] < 0.5
    assert spoken["playout"]["seconds"] == pytest.approx(1.0, abs=0.1)
    assert spoken["playout"]["unfinished"] is False
    assert spoken["status"] == 4
    assert following["at"] >= spoken["ended"] - 0.1
    assert show.record.first_byte_at is not None


async def test_skip_cuts_what_is_said_and_goes_on(sandbox: SandboxServer) -> None:
    """Within two seconds the vendor is silent and the next cue begins."""
    plan = make_plan([{"text": LONG}, {"text": "Next."}, {"pause": 0.1}])

    async with playing(sandbox, plan) as (show, task):
        await show.until_on_air("1")
        asked = time.monotonic()
        show.control.cut(CutKind.SKIP)
        await show.until_on_air("2")
        took = time.monotonic() - asked
        await task

    assert took < 2
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
    assert 3.9 < (pause.ended_at - pause.began_at).total_seconds() < 7


async def test_hard_end_cuts_the_word_and_leaves_the_rest(sandbox: SandboxServer) -> None:
    """At the hard end the stream is closed, whatever is being said."""
    plan = make_plan([{"text": LONG}, {"text": "Never."}], hard_end=datetime.now(UTC) + timedelta(seconds=2.5))

    async with show_of(sandbox, plan) as show:
        await show.perform()

    assert show.record.ending == Ending(how=EndKind.HARD_END)
    assert show.outcomes == [("1", "interrupted"), ("2", "not reached")]
    assert plan.hard_end is not None
    (stream,) = sandbox.truth()["zego"]["streams"]
    assert stream["ended"] - plan.hard_end.timestamp() < 3
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
        await asyncio.wait_for(task, 10)

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


async def heard(wishes: "asyncio.Queue[ShowCommand]") -> AsyncIterator[ShowCommand]:
    """Commands as from Prefect."""
    while True:
        yield await wishes.get()


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


# From the rundown to the record


@dataclass
class Shelf:
    """An archive in memory that may be away."""

    is_away: bool = False
    kept: dict[str, bytes] = field(default_factory=dict)
    archive_bucket: str = "archive"

    async def put_bytes(self, _bucket: str, key: str, body: bytes, **_: Any) -> None:
        if self.is_away:
            raise StorageError("the object store is away.", fix="Start it.")
        self.kept[key] = body

    @property
    def manifest(self) -> ShowManifest:
        """The only record."""
        (body,) = self.kept.values()
        return ShowManifest.model_validate_json(body)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The archive; without Prefect there are neither commands nor a run to look at."""
    made = Shelf()

    async def load(_name: str) -> Shelf:
        return made

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(archiving, "load_store", load)
    monkeypatch.setattr(broadcasting, "obey", never)
    monkeypatch.setattr(broadcasting, "stay_running", never)
    return made


async def broadcast_as(
    run_id: UUID, sandbox: SandboxServer, plan: ShowPlan, asked: asyncio.Event | None = None
) -> Shown:
    return await broadcast(plan, account_at(sandbox), run_id=run_id, run_count=1, asked=asked or asyncio.Event())


async def row_of(run_id: UUID) -> Entry:
    async with open_ledger() as ledger:
        entry = await ledger.find(render_key_of(str(run_id), 1))
    assert entry is not None
    return entry


async def archive_left() -> list[tuple[Verdict, str]]:
    return [(note.verdict, note.done) for note in await archive_left_records.fn(time.monotonic() + 30)]


async def test_record_waits_on_this_machine_for_the_object_store(sandbox: SandboxServer, shelf: Shelf) -> None:
    """A show that ends while the store is away is told so; its record is archived by a later pass, once."""
    run_id = uuid4()
    shelf.is_away = True

    with pytest.raises(StorageError, match="`close-streams` archives its record"):
        await broadcast_as(run_id, sandbox, make_plan([{"text": "Hello."}]))
    assert (await row_of(run_id)).state is State.SUCCEEDED
    assert record_file((await row_of(run_id)).render_key).is_file()
    ((verdict, told),) = await archive_left()
    assert verdict is Verdict.WAITS
    assert "the object store is away" in told
    shelf.is_away = False
    ((verdict, told),) = await archive_left()

    row = await row_of(run_id)
    assert verdict is Verdict.DONE
    assert row.state is State.ARCHIVED
    assert row.location is not None
    assert row.location in told
    assert [cue.outcome.value for cue in shelf.manifest.cues] == ["done"]
    assert await archive_left() == []
    assert list((get_settings().root / "shows").iterdir()) == []


async def test_defect_in_a_cue_costs_neither_stream_nor_record(
    sandbox: SandboxServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is closed, the record says which cue broke, and the defect is raised behind that."""

    async def breaks(*_: object) -> None:
        raise MemoryError

    monkeypatch.setitem(cues._PERFORMED, "action", breaks)
    run_id = uuid4()

    with pytest.raises(MemoryError):
        await broadcast_as(run_id, sandbox, make_plan([{"pause": 0.2}, {"action": "802_921474"}, {"text": "Never."}]))

    found = shelf.manifest
    assert found.ending.how is EndKind.BROKEN
    assert [cue.outcome.value for cue in found.cues] == ["done", "failed", "not reached"]
    assert "MemoryError" in found.cues[1].reason
    assert (await row_of(run_id)).state is State.ARCHIVED
    assert sandbox.live_streams() == []


async def test_record_of_a_stream_in_doubt_is_completed_later(
    sandbox: SandboxServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is archived at once as far as it is known, and again with end and costs when the stream has surely ended."""

    async def in_vain(*_: object, **__: object) -> None:
        raise StillRunning("it has not ended.", provider="zego")

    monkeypatch.setattr(broadcasting, "close_stream", in_vain)
    run_id = uuid4()

    with pytest.raises(StillRunning):
        await broadcast_as(run_id, sandbox, make_plan([{"pause": 0.2}]))

    assert shelf.manifest.ended_at is None
    assert await archive_left() == []
    async with open_ledger() as ledger:
        closed = await close_stream(account_at(sandbox), ledger, await row_of(run_id), why="now it can be")
    ((verdict, _),) = await archive_left()
    assert verdict is Verdict.DONE
    assert shelf.manifest.ended_at == closed.succeeded_at
    assert shelf.manifest.cost == closed.charge
    assert (await row_of(run_id)).state is State.ARCHIVED
    assert not record_file(closed.render_key).exists()


@pytest.mark.parametrize("wish", ["signal", "stop", "hard end"])
async def test_end_is_heeded_while_the_vendor_has_no_stream_for_us(
    sandbox: SandboxServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    """Create is offered for minutes to a vendor that is busy; who ends the show meanwhile does not wait for that."""
    wishes: asyncio.Queue[ShowCommand] = asyncio.Queue()
    monkeypatch.setattr(broadcasting, "obey", obey)
    monkeypatch.setattr(obeying, "listen", lambda _run_id: heard(wishes))
    asked = asyncio.Event()
    run_id = uuid4()
    end = None
    if wish == "hard end":
        # Nothing is offered again after it, so that only a call without an answer outlasts it.
        sandbox.arm("zego", "create", "hold_before")
        end = datetime.now(UTC) + timedelta(seconds=6)
    else:
        sandbox.arm("zego", "create", "business", times=100, code=400010002)

    show = asyncio.create_task(broadcast_as(run_id, sandbox, make_plan([{"pause": 1}], hard_end=end), asked))
    await until_reserved(run_id)
    await asyncio.sleep(1)
    assert not show.done()
    if wish == "signal":
        asked.set()
    elif wish == "stop":
        wishes.put_nowait(ShowCommand(do="stop"))
    shown = await asyncio.wait_for(show, 18)

    how = {"signal": EndKind.ASKED, "stop": EndKind.STOPPED, "hard end": EndKind.HARD_END}[wish]
    assert (shown.ending.how, shown.manifest) == (how, None)
    assert sandbox.streams() == []
    assert (await row_of(run_id)).state not in NOT_ENDED


async def until_reserved(run_id: UUID) -> None:
    """Wait until the show's stream is about to be created."""
    async with open_ledger() as ledger, asyncio.timeout(20):
        while await ledger.find(render_key_of(str(run_id), 1)) is None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.1)


async def test_stream_that_was_being_created_when_the_show_was_ended_is_stopped_and_told(
    sandbox: SandboxServer, shelf: Shelf
) -> None:
    """It cost something, so that the show has a record although nothing was performed."""
    sandbox.arm("zego", "create", "hold_after")
    asked = asyncio.Event()
    run_id = uuid4()

    show = asyncio.create_task(broadcast_as(run_id, sandbox, make_plan([{"pause": 1}]), asked))
    await asyncio.to_thread(sandbox.wait_held)
    asked.set()
    shown = await asyncio.wait_for(show, 30)
    sandbox.clear()

    assert shown.manifest is not None
    assert [cue.outcome.value for cue in shown.manifest.cues] == ["not reached"]
    assert shelf.manifest == shown.manifest
    assert sandbox.live_streams() == []
    assert (await row_of(run_id)).state is State.ARCHIVED


# The idle end


async def test_text_that_could_outlast_the_idle_end_is_refused(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Without callbacks nothing is said between a text's end and its latest end; the refusal names field and fix."""
    long, short = "a" * 1800, "a" * 150
    plan = make_plan([{"text": short}, {"loop": [{"text": long}], "times": 2}], idle_seconds=30)
    needed = make_plan([{"text": long}], idle_seconds=120).rundown

    with pytest.raises(RequestRefused) as refused:
        await plan_show.fn(plan.rundown, tmp_path, account_at(sandbox))

    (problem,) = refused.value.problems
    assert problem.field == "cues.2.loop.1.text"
    assert "idle end of 30 s" in problem.wrong
    assert "idle_seconds" in problem.fix
    assert (await plan_show.fn(needed, tmp_path, account_at(sandbox))).seconds == pytest.approx(120)
    with pytest.raises(ValueError, match="in several parts"):
        words_of(ShowCommand(do="say", text=long), plan, "say 1")


# The watch over drives


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
    assert 0.4 < time.monotonic() - began < 3


async def test_lost_callbacks_are_not_waited_for_forever(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late one has its time, but after two that never came, audio time decides at once."""
    assert LATE_NOTICE_SECONDS > 5
    monkeypatch.setattr("tasks.show.driving.LATE_NOTICE_SECONDS", 1.5)
    watch = DriveWatch(told.ledger, told.task_id, expects=True)
    took = []
    for drive in ("d1", "d2", "d3"):
        began = time.monotonic()
        await watch.ended(drive, 0.1)
        took.append(time.monotonic() - began)

    assert min(took[:2]) > 1.5
    assert took[2] < 1.5


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

    plan = make_plan([{"text": "Somewhat more than a second, and a little more."}, {"text": "Next."}])
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


# The order of cues, and what is shown


def test_endless_loop_is_endless_and_a_counted_one_is_not() -> None:
    """Every round has its planned second, and cues behind a loop come after all of its rounds."""
    plan = make_plan([{"pause": 2}, {"loop": [{"pause": 1}], "times": 3}, {"pause": 5}, {"loop": [{"pause": 10}]}])

    found = [(number, at) for _, (_, number, at) in zip(range(7), in_order(plan), strict=False)]

    assert found == [
        ("1", 0),
        ("2.1, round 1", 2),
        ("2.1, round 2", 3),
        ("2.1, round 3", 4),
        ("3", 5),
        ("4.1, round 1", 10),
        ("4.1, round 2", 20),
    ]


def test_table_shows_drift_and_what_is_on_air() -> None:
    """A person sees at a glance what runs late; what was not reached shows when the show is over."""
    plan = make_plan([{"pause": 2, "name": "breath"}, {"text": "Hello."}, {"pause": 1}])
    now = [datetime(2026, 1, 1, 12, tzinfo=UTC)]
    record = ShowRecord(plan, clock=lambda: now[0])
    (first, number, at), (second, second_number, second_at), _ = in_order(plan)
    line = record.begin(first, number, at)
    now[0] += timedelta(seconds=2.5)
    record.end(line, CueOutcome.DONE)
    record.begin(second, second_number, second_at)

    rows = table_of(record)

    assert [(row["cue"], row["outcome"]) for row in rows] == [("1 breath", "done"), ("2", "on air")]
    line = record.on_air[0]
    record.end(line, CueOutcome.DONE)
    assert record.lines[1].drift_seconds == 0.5
    record.ending = Ending(how=EndKind.STOPPED)
    assert [row["outcome"] for row in table_of(record)] == ["done", "done", "not reached"]


def test_words_without_a_voice_are_refused_before_they_cut_anything() -> None:
    """A text needs a timbre; the studio's own voice does not."""
    plan = make_plan([{"pause": 1}], timbre=None)

    with pytest.raises(ValueError, match="timbre"):
        words_of(ShowCommand(do="say", text="Hello."), plan, "say 1")
    assert words_of(ShowCommand(do="say", script="Hello."), plan, "say 1").cue.kind == "speech"


# Commands through Prefect


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[None]:
    """A Prefect server for the tests that need one."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


async def test_commands_arrive_in_order_and_nonsense_is_dropped(prefect_server: None) -> None:
    """What a person sends reaches the run within two seconds, once, in the order in which it was sent."""
    heard: list[tuple[str, float]] = []

    @flow
    async def listening() -> None:
        run_id = UUID(str(flow_run.get_id()))
        async with get_client() as client:
            for number, nonsense in enumerate(('{"do": "dance"}', "not json", "[1]", "null", "1")):
                await client.create_flow_run_input(run_id, f"{commands.KEY_PREFIX}-nonsense-{number}", nonsense)
        sending = asyncio.create_task(send_all(run_id))
        async for command in listen(run_id):
            heard.append((command.do, time.monotonic()))
            if command.do == "stop":
                break
        await sending

    sent: list[float] = []

    async def send_all(run_id: UUID) -> None:
        for wish in ({"do": "pause"}, {"do": "say", "text": "Hello."}, {"do": "resume"}, {"do": "stop"}):
            await send_command(run_id, ShowCommand.model_validate(wish))
            sent.append(time.monotonic())

    await listening()

    assert [do for do, _ in heard] == ["pause", "say", "resume", "stop"]
    assert max(at - asked for (_, at), asked in zip(heard, sent, strict=True)) < 2


async def test_commands_of_an_earlier_try_are_ignored(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is begun again is not stopped by what stopped it the first time."""
    monkeypatch.setattr(commands, "LOOK_SECONDS", 0.05)
    heard: list[str] = []

    @flow(retries=1)
    async def listening() -> None:
        run_id = UUID(str(flow_run.get_id()))
        if flow_run.get_run_count() == 1:
            await send_command(run_id, ShowCommand(do="stop"))
            raise ConnectionError("the first try breaks")
        await send_command(run_id, ShowCommand(do="pause"))
        async for command in listen(run_id):
            heard.append(command.do)
            break

    await listening()

    assert heard == ["pause"]


async def test_commands_survive_an_outage_of_prefect(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server is away the show hears nothing and goes on; afterwards it hears what was asked."""
    failures = 3
    look = commands._look

    async def flaky(run_id: UUID, seen: set[str]) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError("away")
        return await look(run_id, seen)

    monkeypatch.setattr(commands, "_look", flaky)
    monkeypatch.setattr(commands, "LOOK_SECONDS", 0.05)

    @flow
    async def listening() -> str:
        run_id = UUID(str(flow_run.get_id()))
        await send_command(run_id, ShowCommand(do="stop"))
        async for command in listen(run_id):
            return command.do
        return ""

    assert await listening() == "stop"
    assert caplog.text.count("commands not read") == 3


@pytest.mark.parametrize(
    "wish",
    [
        {"do": "say"},
        {"do": "say", "text": "a", "script": "b"},
        {"do": "skip", "text": "a"},
        {"do": "stop", "queue": True},
    ],
)
def test_commands_that_say_nothing_or_too_much_are_refused(wish: dict[str, Any]) -> None:
    """A person learns it before it is sent."""
    with pytest.raises(ValueError, match=r"Give one of them|Leave out"):
        ShowCommand.model_validate(wish)
