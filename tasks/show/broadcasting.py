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
from tasks.show.archiving import archive_show, keep_as_it_happens, keep_record
from tasks.show.beating import Heartbeat
from tasks.show.closing import close_stream
from tasks.show.contract import OpenStream, ShowPlan
from tasks.show.control import Control, Ending, EndKind, unless_ended
from tasks.show.cues import Stage
from tasks.show.driving import LEDGER_SECONDS, DriveWatch
from tasks.show.links import link_audio
from tasks.show.obeying import obey
from tasks.show.performing import Performance, beside
from tasks.show.record import ShowManifest, ShowRecord, manifest_of
from tasks.show.rooms import NOT_ENDED
from tasks.show.showing import CueTable, Shown, show_preview, tell_ended
from tasks.show.standing import stay_running
from tasks.show.stream import open_stream, render_key_of, wait_streaming
from tasks.show.unanswered import stream_id_of
from tasks.show.upkeep import end_after, end_at, end_when, see_its_end, stay_alive, until
from tasks.show.waking import keep_awake, wake_reaper

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

EARLY = timedelta(seconds=15)
"""The stream is opened so long before the first cue: it takes some seconds until it is up."""
BEFORE_TTL = 5.0
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
        StorageError: the show is over, and its record waits on this machine.
        Exception: a defect broke the show; its stream has been stopped and its record archived all the same.
    """
    control, record = Control(), ShowRecord(plan)
    table = CueTable(record)
    watching = {
        "commands": obey(run_id, control, record),
        "signals": end_when(asked, control),
        "its run": stay_running(run_id),
    }
    try:
        async with beside(control, **watching, table=table.keep_drawing()):
            await _until_start(plan.rundown.starts_at, control)
            async with open_ledger() as ledger:
                entry, trouble = await _on_air_if_wanted(
                    ledger, account, control, record, run_id=str(run_id), run_count=run_count
                )
                if entry is None:
                    return Shown(record.ending or Ending(how=EndKind.BROKEN))
                manifest = manifest_of(record, entry, run_id=str(run_id), stream_id=stream_id_of(entry))
                location, left = await _archive(ledger, entry, manifest)
    finally:
        await table.draw(is_last=True)
    tell_ended(manifest, location)
    if error := trouble or left:
        raise error
    return Shown(manifest.ending, manifest, location)


async def _until_start(starts_at: datetime | None, control: Control) -> None:
    """Wait until the stream is to be opened."""
    if starts_at is not None:
        log.info("waiting for the start at=%s", starts_at.isoformat())
        await unless_ended(control, until(starts_at - EARLY))


async def _on_air_if_wanted(
    ledger: "Ledger", account: ZegoAccount, control: Control, record: ShowRecord, *, run_id: str, run_count: int
) -> tuple[Entry | None, Exception | None]:
    """Open the stream and perform the show, unless its end comes first, also while the vendor keeps us waiting.

    Returns:
        The row, None when there never was a stream; and what is to be raised once the record is safe.
    """

    async def opening() -> tuple[OpenStream, dict[str, str]]:
        links = await link_audio(record.plan)
        await wake_reaper()
        return await open_stream(account, ledger, record.plan, run_id=run_id, run_count=run_count), links

    async with beside(control, reaper=keep_awake()):
        async with beside(control, **_hard_end(record.plan, control)):
            opened = await unless_ended(control, opening())
        if opened is not None:
            stream, links = opened
            return await on_air(ledger, account, stream, record=record, control=control, links=links)
    record.ending = control.ending
    entry = await ledger.find(render_key_of(run_id, run_count))
    # Its Create was under way: it has been stopped, or is left to the reaper; both may cost something.
    had_stream = entry is not None and (bool(entry.job_id) or entry.state in NOT_ENDED)
    return (entry if had_stream else None), None


async def on_air(
    ledger: "Ledger",
    account: ZegoAccount,
    stream: OpenStream,
    *,
    record: ShowRecord,
    control: Control,
    links: dict[str, str],
) -> tuple[Entry, Exception | None]:
    """From the created stream to the closed one; what went wrong between is the record's ending.

    Returns:
        The row; and what is to be raised once the record is safe: a defect, or that the stream could not be closed for
        certain.
    """
    defect: Exception | None = None
    async with Heartbeat(ledger, stream.entry):
        try:
            record.ending = await _perform(ledger, account, stream, record=record, control=control, links=links)
        except StudioError as error:
            log.warning("show broken off run=%s reason=%s", stream.entry.reserved_by, error)
            record.ending = Ending(how=EndKind.BROKEN, reason=str(error))
        except Exception as error:
            log.exception("the show broke run=%s", stream.entry.reserved_by)
            record.ending = Ending(how=EndKind.BROKEN, reason=f"{type(error).__name__}, a defect of the studio")
            defect = error
        finally:
            ending = record.ending or Ending(how=EndKind.BROKEN)
            # Nobody is told any more that his wish will come true.
            control.end(ending)
            record.note_unsaid(control.take_unsaid())
            entry, trouble = await _close(account, ledger, stream.entry, why=str(ending))
        return entry, defect or trouble


async def _close(account: ZegoAccount, ledger: "Ledger", entry: Entry, *, why: str) -> tuple[Entry, Exception | None]:
    try:
        # A stream that never came up has been closed and booked already; but no ledger holds up the end of one.
        async with asyncio.timeout(LEDGER_SECONDS):
            entry = await ledger.get(entry.id)
    except (StudioError, TimeoutError) as error:
        log.warning("closing by what was last seen key=%s cause=%s", entry.render_key, type(error).__name__)
    try:
        return await close_stream(account, ledger, entry, why=why), None
    except Exception as trouble:  # noqa: BLE001 - raised behind the record
        log.warning("not closed for certain key=%s cause=%r", entry.render_key, trouble)
        return entry, trouble


async def _archive(ledger: "Ledger", entry: Entry, manifest: ShowManifest) -> tuple[str, StudioError | None]:
    """Bring the record to safety; returns its address in the archive, and why it has none, if so."""
    await keep_record(manifest)
    try:
        return await archive_show(ledger, entry, manifest), None
    except StudioError as error:
        log.warning("record not archived run=%s cause=%s", manifest.run_id, error.message)
        told = f"The show has ended ({manifest.ending.how}); `close-streams` archives its record as soon as it can."
        error.fix = f"{error.fix} {told}".strip()
        return "", error


async def _perform(
    ledger: "Ledger",
    account: ZegoAccount,
    stream: OpenStream,
    *,
    record: ShowRecord,
    control: Control,
    links: dict[str, str],
) -> Ending:
    plan = record.plan
    expects = bool(get_settings().zego_callback_secret.get_secret_value())
    watch = DriveWatch(ledger, stream.task_id, expects=expects)
    stage = Stage(account, stream, watch, plan.rundown, links)
    over = Ending(how=EndKind.HARD_END, reason="the stream has reached its time to live")
    clocks = {"time to live": end_after(plan.ttl - BEFORE_TTL, control, over), **_hard_end(plan, control)}
    keeping = {"record": keep_as_it_happens(record, stream.entry)}
    async with beside(control, **clocks, **keeping), stage.sources:
        performance = Performance(stage, control, record)
        await performance.prepare()
        async with beside(control, preview=show_preview(account, stream)):
            record.streaming_at = await unless_ended(control, wait_streaming(account, ledger, stream))
        if control.ending is not None:
            return control.ending
        helpers = {
            "keep-alive": stay_alive(stage, control, plan.rundown.idle_seconds),
            "look after the stream": see_its_end(stage, control),
        }
        async with beside(control, **helpers):
            return await performance.run()


def _hard_end(plan: ShowPlan, control: Control) -> dict[str, Coroutine[Any, Any, None]]:
    """What ends the show at the moment that was asked for, by its name in messages."""
    if plan.hard_end is None:
        return {}
    return {"hard end": end_at(plan.hard_end, control, Ending(how=EndKind.HARD_END))}
