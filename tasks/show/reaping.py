"""Streams that nobody attends to any more are closed, whatever became of their shows.

A show that lives says so every few seconds. One that has not for half a minute, and does not while it is looked at
twice, is dead: its process was killed, its machine is gone, or its hooks could not run. What such a show costs is
bounded by that half minute, the pause between two passes and the second look, unless the vendor cannot be reached; then
by the idle end, and at last by the TTL.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.artifacts import acreate_table_artifact
from prefect.context import FlowRunContext

from tasks.errors import ProviderError, RequestRefused
from tasks.ledger import Entry
from tasks.ledger.opening import open_ledger
from tasks.leftovers import Leftover, Note, Verdict, judge, work_through
from tasks.pass_report import cells, summarise
from tasks.show.account import ZegoAccount, load_zego
from tasks.show.beating import BEAT_PATIENCE, BEAT_SECONDS
from tasks.show.closing import close_overdue, close_stream, is_over, record_seconds, stop_surely
from tasks.show.contract import PROVIDER
from tasks.show.rooms import NOT_ENDED, claim_of, room_of
from tasks.step import step

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger
    from tasks.providers.zego.models import StreamTask

QUIET_SECONDS = 30.0
"""A show without a sign of life for so long is probably dead."""
SECOND_LOOK_SECONDS = 2 * BEAT_SECONDS + 1
"""A show that only could not reach the ledger has beaten again by then, whatever its clock says."""
EVENTS_KEPT = timedelta(days=7)
REPORT_KEY = "streams-report"
_AT_ONCE = 20
_WHY = "nobody attended to the show any more"

log = logging.getLogger("studio.show")


@step("close unattended streams")
async def reap_streams(
    until: float, quiet_seconds: float = QUIET_SECONDS, second_look_seconds: float = SECOND_LOOK_SECONDS
) -> list[Note]:
    """Close what dead shows left, and what lives at the vendor though it was booked as ended.

    Args:
        until: no stream is begun after this moment of ``time.monotonic()``; the next pass goes on.
        quiet_seconds: how long a show must have given no sign of life.
        second_look_seconds: pause before it is looked at again.

    Returns:
        A line for each stream that was closed, or could not be.
    """
    async with open_ledger() as ledger:
        quiet = await _quiet(ledger, timedelta(seconds=quiet_seconds))
        if quiet:
            await asyncio.sleep(second_look_seconds)
            again = await _quiet(ledger, timedelta(seconds=quiet_seconds))
            quiet = {entry_id: sign for entry_id, sign in again.items() if quiet.get(entry_id) == sign}
        rows = [Leftover.of(entry) for entry in (await ledger.get_many(quiet)).values()]
        closed = await work_through(rows, NOT_ENDED, _close, until=until, at_once=_AT_ONCE)
        strays = await _stop_strays(ledger)
        await ledger.forget_stream_events(datetime.now(UTC) - EVENTS_KEPT)
    return [row.note for row in closed] + strays


@step("report")
async def report_streams(notes: Sequence[Note]) -> list[Note]:
    """Show what was closed on the run's page; a pass that found nothing, as nearly all do, leaves nothing there."""
    for note in notes:
        log.info("%s stream=%s state=%s done=%s", note.verdict, note.what, note.state, note.done)
    if notes and FlowRunContext.get() is not None:
        table = [cells(note) for note in notes]
        await acreate_table_artifact(table=table, key=REPORT_KEY, description=f"**{summarise(notes)}**")
    return list(notes)


def last_sign(entry: Entry, claimed_at: datetime | None) -> datetime:
    """When a show last gave a sign of life: a change of its row, a beat, or the renewal of its claim on the room."""
    beat = entry.next_poll_at - BEAT_PATIENCE if entry.next_poll_at else entry.updated_at
    return max(entry.updated_at, beat, claimed_at or entry.updated_at)


async def _quiet(ledger: "Ledger", quiet: timedelta) -> dict[UUID, datetime]:
    """Rows of shows that have been quiet for so long, by id, with their last signs of life."""
    found = {}
    for entry in await ledger.in_states(NOT_ENDED, provider=PROVIDER):
        claim = await ledger.find_claim(claim_of(entry.account, room_of(entry)))
        sign = last_sign(entry, claim.at if claim and claim.owner == entry.reserved_by else None)
        if datetime.now(UTC) - sign >= quiet:
            found[entry.id] = sign
    return found


async def _close(ledger: "Ledger", row: Leftover) -> Leftover:
    entry = row.entry
    if is_over(entry):
        after = await close_overdue(ledger, entry, why=_WHY)
    else:
        after = await close_stream(await load_zego(), ledger, entry, why=_WHY)
    if after.result is None:
        return row.told(Verdict.DONE, f"there is no stream: {after.reason}", entry=after)
    told = f"stream {after.job_id} {after.result['how']} after {after.result['seconds']} s"
    return row.told(Verdict.DONE, f"{told}; {_WHY} since {row.since:%H:%M:%S} UTC", entry=after)


async def _stop_strays(ledger: "Ledger") -> list[Note]:
    """Stop streams of ours that live though their rows have ended, such as one whose Create arrived very late."""
    try:
        account = await load_zego()
    except RequestRefused:
        # Without an account there is nobody to ask.
        return []
    notes = []
    try:
        for task in await account.client.live_streams():
            entry = await ledger.find_order(PROVIDER, task.stream_id)
            if entry is not None and entry.state not in NOT_ENDED and _is_at(entry, account):
                notes += await _stop_stray(ledger, account, entry, task)
    except ProviderError as error:
        verdict, told, next_step = judge(error, "strays")
        notes.append(Note(verdict=verdict, what="live streams", provider=PROVIDER, done=told, next_step=next_step))
    return notes


async def _stop_stray(ledger: "Ledger", account: ZegoAccount, entry: Entry, task: "StreamTask") -> list[Note]:
    if await stop_surely(account.client, task.task_id) == "had ended":
        # It ended between the list and now.
        return []
    ended = datetime.now(UTC)
    seconds = max(0.0, (ended - (task.created_at or entry.created_at)).total_seconds())
    await record_seconds(ledger, entry, task.task_id, ended, seconds)
    log.warning("stray stopped key=%s task=%s seconds=%.0f", entry.render_key, task.task_id, seconds)
    told = f"stream {task.task_id} was alive though its show is {entry.state}; stopped after {seconds:.0f} s"
    return [Leftover.of(entry).told(Verdict.DONE, told).note]


def _is_at(entry: Entry, account: ZegoAccount) -> bool:
    return (entry.account, entry.endpoint) == (account.account, account.endpoint)
