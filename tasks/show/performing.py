"""The performance: cue after cue on one stream, in the order of the rundown and as people, clocks and signals wish."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from tasks.errors import StudioError
from tasks.providers.zego.envelope import StreamGone
from tasks.show.contract import CueOutcome, DriveState, PlannedCue
from tasks.show.control import Control, CutKind, Ending, EndKind, let_go
from tasks.show.cues import Stage
from tasks.show.record import Line, ShowRecord, each_once, in_order
from tasks.show.upkeep import note_broken

SILENT = frozenset({"pause", "action"})
"""Kinds of cues in which nothing is said, so that something else may be."""
STREAMED = frozenset({"pcm", "speech", "pipe"})
"""Kinds of cues whose audio is sent from here, at the pace of speech, which nothing else may disturb."""
MOST_FAILURES = 20
"""So many cues failed one after the other, and the show is over: nothing works any more."""
CUT_AGAIN_SECONDS = 1.0
"""While a show is held that could not be silenced, for the next try."""
LONGEST_BREATH = 30.0
"""Between failing cues, so that a loop of them does not do nothing but call the vendor."""

CUT_OUTCOMES = {
    CutKind.SKIP: CueOutcome.SKIPPED,
    CutKind.INTERRUPT: CueOutcome.INTERRUPTED,
    CutKind.SAY: CueOutcome.INTERRUPTED,
}

Placed = tuple[PlannedCue, str, float]
"""A cue, its number in the record, and its planned second."""

log = logging.getLogger("studio.show")


class Performance:
    """One show on a stream that is up.

    Args:
        stage: where cues are performed.
        control: what is wished.
        record: of what happens.
    """

    def __init__(self, stage: Stage, control: Control, record: ShowRecord) -> None:
        self._stage = stage
        self._control = control
        self._record = record
        self._failures = 0

    async def prepare(self) -> None:
        """Get the first script ready, else the first cue, while the stream is coming up."""
        cues = [cue for cue, _ in each_once(self._record.plan)]
        # The studio's voice takes seconds to load, and to load it beside PCM on its way would be heard.
        script = next((cue for cue in cues if cue.cue.kind == "speech"), None)
        await self._stage.sources.prepare(script or cues[0])

    async def run(self) -> Ending:
        """Perform the rundown; returns why nothing more is performed. The stream is still up then, and silent."""
        await self._until(self._record.plan.rundown.starts_at)
        for (planned, number, at), following in _with_next(in_order(self._record.plan)):
            await self._attend()
            if self._control.ending is not None:
                return self._control.ending
            if self._control.take_skip():
                self._record.end(self._record.begin(planned, number, at), CueOutcome.SKIPPED, str(CutKind.SKIP))
                # A long row of them must not keep the wishes of others waiting.
                await asyncio.sleep(0)
                continue
            await self._perform(planned, number, at, following)
        await self._attend()
        return self._control.ending or Ending(how=EndKind.DONE)

    async def _until(self, starts_at: datetime | None) -> None:
        """Wait for the start of the first cue; the stream is up a little earlier."""
        while starts_at is not None and self._control.ending is None:
            left = (starts_at - datetime.now(UTC)).total_seconds()
            if left <= 0 or not await _within(left, self._control.news()):
                return

    async def _attend(self) -> None:
        """Between two cues: say what somebody wants said, and begin nothing while the show is held."""
        while self._control.ending is None:
            if say := self._control.next_say():
                await self._perform(say, say.number, None)
            elif self._control.is_held:
                await self._stage.hush()
                await _within(CUT_AGAIN_SECONDS if self._stage.may_speak else None, self._control.news())
            else:
                return

    async def _perform(
        self, planned: PlannedCue, number: str, at: float | None, following: PlannedCue | None = None
    ) -> None:
        """Perform a cue; while the vendor itself says it, the source of the one that follows gets ready."""
        self._control.forget_cut()
        line = self._record.begin(planned, number, at)
        log.info("cue begins number=%s kind=%s seconds=%.1f", number, planned.cue.kind, planned.seconds)
        playing = asyncio.create_task(self._stage.perform(planned, line.played))
        try:
            if following is not None and planned.cue.kind not in STREAMED:
                await self._stage.sources.prepare(following)
            outcome, reason = await self._follow(line, playing)
        except Exception as error:
            self._record.end(line, CueOutcome.FAILED, f"it broke with {type(error).__name__}, a defect of the studio")
            raise
        finally:
            await let_go(playing)
        self._record.end(line, outcome, reason)
        self._record.first_byte_at = self._stage.first_byte_at
        log.info("cue ended number=%s outcome=%s confirmed=%s", number, outcome, line.played.confirmed)
        await self._after(line, outcome, reason)

    async def _follow(self, line: Line, playing: asyncio.Task[None]) -> tuple[CueOutcome, str]:
        """Wait for the end of a cue, and cut it as soon as that is wished."""
        is_silent = line.planned.cue.kind in SILENT
        while not playing.done():
            if ending := self._control.ending:
                await self._cut(playing)
                return CueOutcome.INTERRUPTED, str(ending.how)
            if cut := self._control.take_cut(speaks=not is_silent):
                await self._cut(playing)
                return CUT_OUTCOMES[cut], str(cut)
            if is_silent and (say := self._control.next_say()):
                await self._perform(say, say.number, None)
                continue
            news = asyncio.create_task(self._control.news())
            await asyncio.wait({playing, news}, return_when=asyncio.FIRST_COMPLETED)
            await let_go(news)
        # It ended by itself before a skip could end it.
        self._control.take_cut(speaks=True)
        return self._outcome(line, playing)

    async def _cut(self, playing: asyncio.Task[None]) -> None:
        """End a cue: first the call that may be on its way, which would begin to speak after the cut."""
        await let_go(playing)
        await self._stage.hush()

    def _outcome(self, line: Line, playing: asyncio.Task[None]) -> tuple[CueOutcome, str]:
        error = playing.exception()
        if isinstance(error, StreamGone):
            self._control.end(Ending(how=EndKind.STREAM_ENDED, reason=str(error)))
        if isinstance(error, StudioError):
            return CueOutcome.FAILED, str(error)
        if error is not None:
            raise error
        if line.played.state is DriveState.INTERRUPTED:
            return CueOutcome.INTERRUPTED, "the vendor says that it was interrupted"
        return CueOutcome.DONE, ""

    async def _after(self, line: Line, outcome: CueOutcome, reason: str) -> None:
        """Go on or end after a cue, as the rundown says."""
        if outcome is not CueOutcome.FAILED:
            self._failures = 0
            return
        self._failures += 1
        log.warning("cue failed number=%s in_a_row=%d reason=%s", line.number, self._failures, reason)
        what = line.planned.cue.on_failure or self._record.plan.rundown.on_failure
        if what == "end" and line.planned_at is not None:
            self._control.end(Ending(how=EndKind.CUE_FAILED, reason=f"cue {line.number}: {reason}"))
        elif self._failures >= MOST_FAILURES:
            told = f"{self._failures} cues one after the other, the last, {line.number}, as {reason}"
            self._control.end(Ending(how=EndKind.CUE_FAILED, reason=told))
        elif self._failures > 1:
            await _within(min(LONGEST_BREATH, 0.5 * 2**self._failures), self._control.news())


def _with_next(cues: Iterator[Placed]) -> Iterator[tuple[Placed, PlannedCue | None]]:
    """Every cue together with the one after it."""
    now = next(cues, None)
    while now is not None:
        following = next(cues, None)
        yield now, following[0] if following else None
        now = following


@asynccontextmanager
async def beside(control: Control, **helpers: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run what a show needs beside its cues while the block lasts; if one of them breaks, the show is ended.

    Args:
        control: of the show.
        helpers: what runs, by its name in messages.
    """
    tasks = [asyncio.create_task(work, name=name.replace("_", " ")) for name, work in helpers.items()]
    for task in tasks:
        task.add_done_callback(note_broken(control))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _within(seconds: float | None, awaited: Coroutine[Any, Any, None]) -> bool:
    """Wait for something, but not longer; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await awaited
    except TimeoutError:
        return False
    return True
