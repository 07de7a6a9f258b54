"""What a stream needs beside its cues: something said before it counts as idle, and somebody who sees it end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from tasks.errors import StudioError
from tasks.providers.zego.envelope import StreamGone
from tasks.show.control import Control, Ending, EndKind
from tasks.show.cues import Played, Stage
from tasks.show.driving import TASK_OVER

SILENCE_SECONDS = 0.2
AGAIN_SECONDS = 3.0
LOOK_SECONDS = 10.0
SLEEP_SECONDS = 30.0
"""Wall clocks are set now and then, so a moment is not slept for in one piece."""

log = logging.getLogger("studio.show")


async def stay_alive(stage: Stage, control: Control, idle_seconds: float) -> None:
    """Say a moment of silence whenever nothing has been said for half of the vendor's idle time; never returns."""
    loop = asyncio.get_running_loop()
    while True:
        due = stage.quiet_since + idle_seconds / 2
        await asyncio.sleep(max(0.0, due - loop.time()))
        # Whoever speaks now keeps the stream alive; the time counts anew from the end of that.
        async with stage.turn:
            if stage.quiet_since + idle_seconds / 2 > loop.time():
                continue
        try:
            async with stage.speaking():
                await stage.send(lambda: _silence(stage.rundown.sample_rate), Played())
                await asyncio.sleep(SILENCE_SECONDS)
            log.info("kept alive task=%s", stage.task_id)
        except StreamGone as error:
            control.end(Ending(how=EndKind.STREAM_ENDED, reason=str(error)))
            return
        except StudioError as error:
            log.warning("not kept alive task=%s error=%s", stage.task_id, type(error).__name__)
            await asyncio.sleep(AGAIN_SECONDS)


async def _silence(sample_rate: int) -> AsyncIterator[bytes]:
    yield bytes(2 * int(SILENCE_SECONDS * sample_rate))


async def see_its_end(stage: Stage, control: Control) -> None:
    """End the show when its stream has ended: callbacks may be lost, so the vendor is asked as well."""
    while True:
        if over := await _over(stage):
            log.warning("stream has ended task=%s why=%s", stage.task_id, over)
            control.end(Ending(how=EndKind.STREAM_ENDED, reason=over))
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _over(stage: Stage) -> str:
    await stage.watch.look()
    if stage.watch.stream_over:
        return stage.watch.stream_over
    try:
        task = await stage.client.stream_status(stage.task_id)
    except StreamGone as error:
        return str(error)
    except StudioError as error:
        log.warning("stream not looked at task=%s error=%s", stage.task_id, type(error).__name__)
        return ""
    return (task.fail_reason or TASK_OVER[task.status]) if task.status in TASK_OVER else ""


async def end_at(moment: datetime, control: Control, ending: Ending) -> None:
    """End the show at a moment."""
    await until(moment)
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
