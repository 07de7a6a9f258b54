"""One show from its checked rundown to its record: the stream is opened late, and closed whatever happens."""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tasks.errors import StudioError
from tasks.ledger import Entry
from tasks.ledger.opening import open_ledger
from tasks.settings import get_settings
from tasks.show.account import ZegoAccount
from tasks.show.beating import Heartbeat
from tasks.show.closing import close_stream
from tasks.show.contract import OpenStream, ShowPlan
from tasks.show.control import Control, Ending, EndKind, unless_ended
from tasks.show.cues import Stage
from tasks.show.driving import LEDGER_SECONDS, DriveWatch
from tasks.show.links import link_audio
from tasks.show.obeying import obey
from tasks.show.performing import Performance, beside
from tasks.show.record import ShowRecord, archive_show, manifest_of
from tasks.show.showing import CueTable, Shown, show_preview, tell_ended
from tasks.show.standing import stay_running
from tasks.show.stream import open_stream, wait_streaming
from tasks.show.upkeep import end_at, end_when, see_its_end, stay_alive, until

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

EARLY = timedelta(seconds=15)
"""The stream is opened so long before the first cue: it takes some seconds until it is up."""
BEFORE_TTL = timedelta(seconds=5)
"""The show ends itself so long before the vendor would, in the middle of a word."""

log = logging.getLogger("studio.show")


async def broadcast(
    plan: ShowPlan, account: ZegoAccount, *, run_id: UUID, run_count: int, asked: asyncio.Event
) -> Shown:
    """Perform a show. When this returns or raises, its stream has been stopped.

    Args:
        plan: the checked rundown.
        account: who pays.
        run_id: of the flow run, which commands are sent to.
        run_count: which run of it this is.
        asked: is set when the process is to end.

    Raises:
        RoomTaken: another show has the room; nothing was created.
        BudgetExceeded: a cap would be broken; nothing was created.
        ProviderError: the vendor created no stream, or nobody knows whether it did.
        StorageError: the show is over, and its record could not be archived.
    """
    control, record = Control(), ShowRecord(plan)
    table = CueTable(record)
    watching = {"commands": obey(run_id, control, record), "signals": end_when(asked, control)}
    watching["standing"] = stay_running(run_id)
    try:
        async with beside(control, **watching, table=table.keep_drawing()):
            await _until_start(plan.rundown.starts_at, control)
            if control.ending is not None:
                record.ending = control.ending
                return Shown(control.ending)
            links = await link_audio(plan)
            async with open_ledger() as ledger:
                stream = await open_stream(account, ledger, plan, run_id=str(run_id), run_count=run_count)
                entry, trouble = await on_air(ledger, account, stream, record=record, control=control, links=links)
                manifest = manifest_of(record, entry, run_id=str(run_id), stream_id=stream.stream_id)
                location = await archive_show(ledger, entry, manifest)
    finally:
        await table.draw(is_last=True)
    tell_ended(manifest, location)
    if trouble is not None:
        raise trouble
    return Shown(manifest.ending, manifest, location)


async def _until_start(starts_at: datetime | None, control: Control) -> None:
    """Wait until the stream is to be opened."""
    if starts_at is not None:
        log.info("waiting for the start at=%s", starts_at.isoformat())
        await unless_ended(control, until(starts_at - EARLY))


async def on_air(
    ledger: "Ledger",
    account: ZegoAccount,
    stream: OpenStream,
    *,
    record: ShowRecord,
    control: Control,
    links: dict[str, str],
) -> tuple[Entry, StudioError | None]:
    """From the created stream to the closed one; what went wrong between is the record's ending.

    Returns:
        The row, and why the stream could not be closed for certain, if so: its record is kept all the same.
    """
    async with Heartbeat(ledger, stream.entry):
        try:
            record.ending = await _perform(ledger, account, stream, record=record, control=control, links=links)
        except StudioError as error:
            log.warning("show broken off run=%s reason=%s", stream.entry.reserved_by, error)
            record.ending = Ending(how=EndKind.BROKEN, reason=str(error))
        finally:
            entry, trouble = await _close(account, ledger, stream.entry, why=str(record.ending or EndKind.BROKEN))
        return entry, trouble


async def _close(account: ZegoAccount, ledger: "Ledger", entry: Entry, *, why: str) -> tuple[Entry, StudioError | None]:
    try:
        # A stream that never came up has been closed and booked already; but no ledger holds up the end of one.
        async with asyncio.timeout(LEDGER_SECONDS):
            entry = await ledger.get(entry.id)
    except (StudioError, TimeoutError) as error:
        log.warning("closing by what was last seen key=%s cause=%s", entry.render_key, type(error).__name__)
    try:
        return await close_stream(account, ledger, entry, why=why), None
    except StudioError as trouble:
        log.warning("not closed for certain key=%s cause=%s", entry.render_key, trouble)
        return entry, trouble


async def _perform(
    ledger: "Ledger",
    account: ZegoAccount,
    stream: OpenStream,
    *,
    record: ShowRecord,
    control: Control,
    links: dict[str, str],
) -> Ending:
    rundown = record.plan.rundown
    expects = bool(get_settings().zego_callback_secret.get_secret_value())
    watch = DriveWatch(ledger, stream.task_id, expects=expects)
    stage = Stage(account, stream, watch, rundown, links)
    async with stage.sources:
        performance = Performance(stage, control, record)
        await performance.prepare()
        async with beside(control, preview=show_preview(account, stream)):
            record.streaming_at = await unless_ended(control, wait_streaming(account, ledger, stream))
        if control.ending is not None:
            return control.ending
        async with beside(control, **_helpers(stage, stream, control, record)):
            return await performance.run()


def _helpers(
    stage: Stage, stream: OpenStream, control: Control, record: ShowRecord
) -> dict[str, Coroutine[Any, Any, None]]:
    """What runs beside the cues, by its name in messages."""
    over = Ending(how=EndKind.HARD_END, reason="the stream has reached its time to live")
    helpers = {
        "keep-alive": stay_alive(stage, control, record.plan.rundown.idle_seconds),
        "look after the stream": see_its_end(stage, control),
        "time to live": end_at(stream.ends_by - BEFORE_TTL, control, over),
    }
    if record.plan.hard_end is not None:
        helpers["hard end"] = end_at(record.plan.hard_end, control, Ending(how=EndKind.HARD_END))
    return helpers
