"""What a stream needs beside its cues: something said before it counts as idle, and somebody who sees it end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from tasks.errors import ProviderRejected, StudioError
from tasks.providers.zego.envelope import StreamGone
from tasks.show.control import Control, Ending, EndKind
from tasks.show.cues import Played, Stage
from tasks.show.driving import TASK_OVER

SILENCE_SECONDS = 0.2
IDLE_SHARE = 1 / 3
"""Of the vendor's idle time; the rest is for tries that fail."""
KEEP_SECONDS = 4.0
"""For one try to keep the stream alive. A call that hangs must leave time for the next one."""
AGAIN_SECONDS = 2.0
REFUSED_SECONDS = 10.0
"""After an answer that will hardly be another one at the next try."""
LOOK_SECONDS = 10.0
ASK_SECONDS = 10.0
SLEEP_SECONDS = 30.0
"""Wall clocks are set now and then, so a moment is not slept for in one piece."""

log = logging.getLogger("studio.show")


async def stay_alive(stage: Stage, control: Control, idle_seconds: float) -> None:
    """Say a moment of silence whenever nothing has been said for a third of the vendor's idle time; never returns."""
    loop = asyncio.get_running_loop()
    while True:
        due = stage.quiet_since + idle_seconds * IDLE_SHARE
        await asyncio.sleep(max(0.0, due - loop.time()))
        # Whoever speaks now keeps the stream alive; the time counts anew from the end of that.
        async with stage.turn:
            if stage.quiet_since + idle_seconds * IDLE_SHARE > loop.time():
                continue
        try:
            await _keep_alive(stage)
        except StreamGone as error:
            control.end(Ending(how=EndKind.STREAM_ENDED, reason=str(error)))
            return
        except (StudioError, TimeoutError) as error:
            log.warning("not kept alive task=%s cause=%r", stage.task_id, error)
            await asyncio.sleep(REFUSED_SECONDS if isinstance(error, ProviderRejected) else AGAIN_SECONDS)


async def _keep_alive(stage: Stage) -> None:
    """Try once.

    Raises:
        TimeoutError: it took too long; whether anything was said is unknown.
        StudioError: the vendor refused it, or is away.
    """
    async with stage.turn:
        async with asyncio.timeout(KEEP_SECONDS):
            await stage.send(lambda: _silence(stage.rundown.sample_rate), Played())
            await asyncio.sleep(SILENCE_SECONDS)
        stage.may_speak = False
        stage.quiet_since = asyncio.get_running_loop().time()
    log.info("kept alive task=%s", stage.task_id)


async def _silence(sample_rate: int) -> AsyncIterator[bytes]:
    yield bytes(2 * int(SILENCE_SECONDS * sample_rate))


async def see_its_end(stage: Stage, control: Control) -> None:
    """End the show when its stream has ended. Callbacks may be lost, or false: only the vendor's answer ends a show."""
    pause = 0.0
    while True:
        await _doubted_within(pause, stage.watch.in_doubt)
        await stage.watch.look()
        stage.watch.in_doubt.clear()
        try:
            over = await _over(stage)
        except (StudioError, TimeoutError) as error:
            log.warning("stream not looked at task=%s error=%s", stage.task_id, type(error).__name__)
            # Not the long pause: there may have been a doubt.
            pause = AGAIN_SECONDS
            continue
        if over:
            log.warning("stream has ended task=%s why=%s", stage.task_id, over)
            stage.watch.stream_over = over
            control.end(Ending(how=EndKind.STREAM_ENDED, reason=over))
            return
        pause = LOOK_SECONDS


async def _doubted_within(seconds: float, doubt: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await doubt.wait()
    except TimeoutError:
        return


async def _over(stage: Stage) -> str:
    """Why the stream has ended, by the vendor's own answer; empty while it lives."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            task = await stage.client.stream_status(stage.task_id)
    except StreamGone as error:
        return str(error)
    return (task.fail_reason or TASK_OVER[task.status]) if task.status in TASK_OVER else ""


async def end_at(moment: datetime, control: Control, ending: Ending) -> None:
    """End the show at a moment."""
    await until(moment)
    control.end(ending)


async def end_after(seconds: float, control: Control, ending: Ending) -> None:
    """End the show when so much time has passed, whatever clocks are set to meanwhile."""
    await asyncio.sleep(seconds)
    control.end(ending)


async def until(moment: datetime) -> None:
    """Sleep until a moment of the wall clock, which may be set meanwhile."""
    while True:
        left = (moment - datetime.now(UTC)).total_seconds()
        if left <= 0:
            return
        await asyncio.sleep(min(left, SLEEP_SECONDS))


async def end_when(asked: asyncio.Event, control: Control) -> None:
    """End the show when the process has been asked to end."""
    await asked.wait()
    control.end(Ending(how=EndKind.ASKED))


def note_broken(control: Control) -> Callable[[asyncio.Task[None]], None]:
    """A callback for the tasks beside the cues: a show without one of them must not go on unattended."""

    def note(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("the show broke task=%s error=%r", task.get_name(), error, exc_info=error)
            control.end(Ending(how=EndKind.BROKEN, reason=f"{task.get_name()} failed with {type(error).__name__}"))

    return note
