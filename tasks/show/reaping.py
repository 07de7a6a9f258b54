"""Streams that nobody attends to any more are closed, whatever became of their shows.

A show that lives says so every few seconds. One that has not for half a minute, and does not while it is looked at
twice, is dead: its process was killed, its machine is gone, or its hooks could not run. That is judged only while the
ledger takes changes promptly, as shows cannot give signs of life to one that does not. What such a show costs is
bounded by that half minute, the pause between two passes and the second look, unless the vendor cannot be reached; then
by the idle end, and at last by the TTL.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from prefect.artifacts import acreate_table_artifact
from prefect.context import FlowRunContext

from tasks.errors import RequestRefused, StillRunning, StudioError
from tasks.ledger import Entry
from tasks.ledger.opening import open_ledger
from tasks.leftovers import Leftover, Note, Verdict, judge, work_through
from tasks.pass_report import cells, summarise
from tasks.show.account import ZegoAccount, load_zego
from tasks.show.beating import BEAT_PATIENCE, BEAT_SECONDS
from tasks.show.booking import is_over, record_seconds
from tasks.show.closing import close_overdue, close_stream, stop_surely
from tasks.show.contract import PROVIDER
from tasks.show.rooms import NOT_ENDED, claim_of, holder_of, room_of
from tasks.step import step

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger
    from tasks.providers.zego.models import StreamTask

QUIET_SECONDS = 30.0
"""A show without a sign of life for so long is probably dead."""
SECOND_LOOK_SECONDS = 2 * BEAT_SECONDS + 1
"""A show that only could not reach the ledger has beaten again by then, whatever its clock says."""
PROMPT_SECONDS = 3.0
"""A ledger that takes longer than this for a change may not have taken those of shows, either."""
PROOF_SECONDS = 2.0
"""So often that is tried until the second look."""
CLOCKS_DIFFER = timedelta(seconds=5)
STRAY_SECONDS = 20.0
EVENTS_KEPT = timedelta(days=7)
REPORT_KEY = "streams-report"
_AT_ONCE = 20
_PROOF = f"reaper/{PROVIDER}"
_WHY = "nobody attended to the show any more"

_late: set[asyncio.Task[bool]] = set()

log = logging.getLogger("studio.show")


class Signs(NamedTuple):
    """All signs of life that a show has given; while one of them changes, somebody is there."""

    row: datetime
    beat: datetime | None
    claim: datetime | None


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
        found = await _quiet(ledger, timedelta(seconds=quiet_seconds))
        is_sure = not found or await _stays_writable(ledger, second_look_seconds)
        dead = await _still_quiet(ledger, timedelta(seconds=quiet_seconds), found) if is_sure else []
        rows = [Leftover.of(entry) for entry in (await ledger.get_many(dead)).values()]
        closed, strays = await asyncio.gather(
            work_through(rows, NOT_ENDED, _close, until=until, at_once=_AT_ONCE), _stop_strays(ledger, until)
        )
        if is_sure:
            await ledger.forget_stream_events(datetime.now(UTC) - EVENTS_KEPT)
    return [row.note for row in closed] + strays + ([] if is_sure else [_unsure(len(found))])


@step("report")
async def report_streams(notes: Sequence[Note]) -> list[Note]:
    """Show what was closed on the run's page; a pass that found nothing, as nearly all do, leaves nothing there."""
    for note in notes:
        log.info("%s stream=%s state=%s done=%s", note.verdict, note.what, note.state, note.done)
    if notes and FlowRunContext.get() is not None:
        table = [cells(note) for note in notes]
        await acreate_table_artifact(table=table, key=REPORT_KEY, description=f"**{summarise(notes)}**")
    return list(notes)


async def _quiet(ledger: "Ledger", quiet: timedelta) -> dict[UUID, Signs]:
    """Rows of shows that have been quiet for so long, by id, with all their signs of life."""
    found = {}
    for entry in await ledger.in_states(NOT_ENDED, provider=PROVIDER):
        claim = await ledger.find_claim(claim_of(entry.account, room_of(entry)))
        claimed_at = claim.at if claim and claim.owner == holder_of(entry) else None
        age = datetime.now(UTC) - last_sign(entry, claimed_at)
        # A sign from the future may be an old one of a clock that was ahead, so it is no sign of being alive now.
        if age >= quiet or age < -CLOCKS_DIFFER:
            found[entry.id] = Signs(entry.updated_at, entry.next_poll_at, claimed_at)
    return found


async def _still_quiet(ledger: "Ledger", quiet: timedelta, found: dict[UUID, Signs]) -> list[UUID]:
    """Those of the shows that have not given any sign since, whatever their clocks say."""
    again = await _quiet(ledger, quiet) if found else {}
    return [entry_id for entry_id, signs in again.items() if found.get(entry_id) == signs]


def last_sign(entry: Entry, claimed_at: datetime | None) -> datetime:
    """When a show last gave a sign of life: a change of its row, a beat, or the renewal of its claim on the room."""
    beat = entry.next_poll_at - BEAT_PATIENCE if entry.next_poll_at else entry.updated_at
    return max(entry.updated_at, beat, claimed_at or entry.updated_at)


async def _stays_writable(ledger: "Ledger", seconds: float) -> bool:
    """Wait for the second look; whether the ledger took changes at once all the time, and so those of shows, too."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while await _takes_changes(ledger):
        left = end - loop.time()
        if left <= 0:
            return True
        await asyncio.sleep(min(left, PROOF_SECONDS))
    return False


async def _takes_changes(ledger: "Ledger") -> bool:
    # Not cancelled at the end of the wait: the ledger ends what it has begun, however long its database is away.
    trying = asyncio.create_task(ledger.claim(_PROOF, "close-streams", stale_after=timedelta()))
    _late.add(trying)
    trying.add_done_callback(_forget)
    await asyncio.wait({trying}, timeout=PROMPT_SECONDS)
    return trying.done() and not trying.cancelled() and trying.exception() is None


def _forget(trying: asyncio.Task[bool]) -> None:
    _late.discard(trying)
    if not trying.cancelled() and (error := trying.exception()):
        log.warning("the ledger takes no changes cause=%r", error)


def _unsure(shows: int) -> Note:
    log.warning("nobody judged, as the ledger does not take changes promptly quiet=%d", shows)
    return Note(
        verdict=Verdict.WAITS,
        what="shows",
        provider=PROVIDER,
        done=f"{shows} without a sign of life, but the ledger does not take changes promptly, so they may be alive: "
        "nobody was judged",
    )


async def _close(ledger: "Ledger", row: Leftover) -> Leftover:
    entry = row.entry
    if is_over(entry):
        after = await close_overdue(await _account(), ledger, entry, why=_WHY)
    else:
        after = await close_stream(await load_zego(), ledger, entry, why=_WHY)
    if after.result is None:
        return row.told(Verdict.DONE, f"there is no stream: {after.reason}", entry=after)
    told = f"stream {after.job_id} {after.result['how']} after {after.result['seconds']} s"
    return row.told(Verdict.DONE, f"{told}; {_WHY} since {row.since:%H:%M:%S} UTC", entry=after)


async def _account() -> ZegoAccount | None:
    try:
        return await load_zego()
    except RequestRefused:
        # Without an account there is nobody to ask.
        return None


async def _stop_strays(ledger: "Ledger", until: float) -> list[Note]:
    """Stop streams of ours that live though their rows have ended, such as one whose Create arrived very late."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(account: ZegoAccount, task: "StreamTask") -> list[Note]:
        async with slots:
            try:
                entry = await ledger.find_order(PROVIDER, task.stream_id)
                if entry is None or entry.state in NOT_ENDED or not _is_at(entry, account):
                    return []
                return await _stop_stray(ledger, account, entry, task, until)
            except Exception as error:  # noqa: BLE001 - reported, stray by stray
                return [_trouble(error, task.task_id)]

    try:
        account = await _account()
        live = [] if account is None else await account.client.live_streams()
    except StudioError as error:
        return [_trouble(error, "live streams")]
    return [note for notes in await asyncio.gather(*(one(account, task) for task in live if account)) for note in notes]


async def _stop_stray(
    ledger: "Ledger", account: ZegoAccount, entry: Entry, task: "StreamTask", until: float
) -> list[Note]:
    """Try once to stop a stray; the next pass tries again."""
    row, alive = Leftover.of(entry), f"stream {task.task_id} was alive though its show is {entry.state}"
    if time.monotonic() > until:
        return [row.told(Verdict.WAITS, f"{alive}; no time was left in this pass").note]
    try:
        async with asyncio.timeout(STRAY_SECONDS):
            how = await stop_surely(account.client, task.task_id, seconds=0)
    except (StillRunning, TimeoutError) as error:
        await _record(ledger, entry, task)
        log.warning("stray not stopped key=%s task=%s cause=%r", entry.render_key, task.task_id, error)
        return [row.told(Verdict.WAITS, f"{alive}, and has not ended yet").note]
    if how == "had ended":
        # It ended between the list and now.
        return []
    seconds = await _record(ledger, entry, task)
    log.warning("stray stopped key=%s task=%s seconds=%.0f", entry.render_key, task.task_id, seconds)
    return [row.told(Verdict.DONE, f"{alive}; stopped after {seconds:.0f} s").note]


async def _record(ledger: "Ledger", entry: Entry, task: "StreamTask") -> float:
    """Note what a stray has cost until now, in seconds."""
    ended = datetime.now(UTC)
    seconds = max(0.0, (ended - (task.created_at or entry.created_at)).total_seconds())
    await record_seconds(ledger, entry, task.task_id, ended, seconds)
    return seconds


def _trouble(error: Exception, what: str) -> Note:
    verdict, told, next_step = judge(error, f"stray={what}")
    return Note(verdict=verdict, what=what, provider=PROVIDER, done=told, next_step=next_step)


def _is_at(entry: Entry, account: ZegoAccount) -> bool:
    return (entry.account, entry.endpoint) == (account.account, account.endpoint)
