"""The end of a stream: stopped until that is certain, then booked with what it cost.

Whoever closes a stream may be the show itself, the hooks of its run, or the reaper, also several of them at once: each
finds what the others have done.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.objects import State as RunState
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_before_delay, wait_random_exponential

from tasks.errors import ProviderBusy, ProviderError, StillRunning, StudioError
from tasks.ledger import Entry, State
from tasks.ledger.opening import open_ledger
from tasks.overtaken import unless_overtaken
from tasks.providers.zego.envelope import StreamGone
from tasks.providers.zego.models import StreamStatus
from tasks.registry import refuse_elsewhere
from tasks.show.account import ZegoAccount, load_zego
from tasks.show.booking import How, book_end, is_over
from tasks.show.contract import PROVIDER
from tasks.show.rooms import NOT_ENDED, count_of, leave_room
from tasks.show.unanswered import find_live, note_absent, note_accepted, stream_id_of

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger
    from tasks.providers.zego.client import ZegoClient

STOP_SECONDS = 60.0
"""How long to go on stopping; the reaper goes on after that."""
STOPPING_SECONDS = 3.0
"""How long a stream is asked about after a Stop before it is stopped again."""
LAST_TRY_SECONDS = 8.0
"""How long a stream is tried to be stopped whose TTL is over by our clock, which may have been set meanwhile."""
_ASK_SECONDS = 0.25
_ENDED = {StreamStatus.FAILED, StreamStatus.STOPPED}
_UNANSWERED = {State.SUBMITTING, State.AMBIGUOUS}

log = logging.getLogger("studio.show")


class _StillAlive(ProviderBusy):
    """The vendor itself has said, after a Stop, that the stream has not ended."""


async def close_stream(account: ZegoAccount, ledger: "Ledger", entry: Entry, *, why: str) -> Entry:
    """End the stream of a row, whatever state the row is in, and give back its room; again and again if need be.

    Args:
        account: where the stream is.
        ledger: where the row is.
        entry: the row as it was last seen. Before it was accepted, nobody else may be creating its stream any more.
        why: for people, such as ``the rundown is over``.

    Returns:
        The row: succeeded with ``result`` {started, ended, seconds, how, why}; or failed or cancelled where there was
        no stream.

    Raises:
        StillRunning: the vendor has not ended it within a minute; the row stays as it is, for the reaper.
        ProviderError: the vendor cannot tell whether an unanswered Create was accepted; the row stays as it is.
        StudioError: the row lives at another account; or the ledger is away, with the stream ended.
    """
    if is_over(entry):
        return await close_overdue(account, ledger, entry, why=why)
    refuse_elsewhere(entry, account.account, account.endpoint)
    if entry.state is not State.SUBMITTED:
        entry = await _settled(account.client, ledger, await ledger.get(entry.id), why)
    # First the stream, which costs money, and then the books, which may be away.
    if entry.state is State.SUBMITTED and entry.job_id:
        how = await stop_surely(account.client, entry.job_id)
        entry = await book_end(ledger, entry, how, why)
    await leave_room(ledger, entry)
    return entry


async def close_overdue(account: ZegoAccount | None, ledger: "Ledger", entry: Entry, *, why: str) -> Entry:
    """Book the end of a stream that its TTL has ended, after a last try to stop it.

    So a vendor that is not reachable any more leaves no row that only a person can end, and a clock that was set leaves
    no stream that nobody stops.

    Args:
        account: None where the studio has none any more.
        ledger: where the row is.
        entry: the row.
        why: for people.

    Raises:
        StillRunning: the vendor says that the stream is alive; the row stays as it is, for the reaper.
    """
    if entry.state is not State.SUBMITTED:
        entry = await ledger.get(entry.id)
    is_ours = account is not None and (entry.account, entry.endpoint) == (account.account, account.endpoint)
    if account is not None and is_ours and entry.state in _UNANSWERED:
        entry = await _last_look(account.client, ledger, entry)
    if entry.state is State.SUBMITTED:
        how = await _last_stop(account.client, entry.job_id or "") if account is not None and is_ours else None
        entry = await book_end(ledger, entry, how or "lifetime over", why)
    elif entry.state in _UNANSWERED:
        entry = await note_absent(ledger, entry, owner=entry.reserved_by)
    elif entry.state is State.RESERVED:
        entry = await _give_up(ledger, entry, why)
    await leave_room(ledger, entry)
    return entry


async def close_earlier(account: ZegoAccount, ledger: "Ledger", run_id: str, run_count: int) -> None:
    """Close the streams of a run's earlier starts, before it is given another one.

    Raises:
        StudioError: one of them cannot be closed now.
    """
    for row in await _open_rows(ledger, run_id, before=run_count):
        try:
            await close_stream(account, ledger, row, why="its run was started again")
        except StudioError as trouble:
            raise StudioError(
                f"the stream of an earlier start of run {run_id} may be alive: {trouble.message}",
                fix="`close-streams` closes it as soon as that can be done; start a new run of the show then.",
            ) from trouble


async def stop_surely(client: "ZegoClient", task_id: str, *, seconds: float = STOP_SECONDS) -> How:
    """Stop a stream until it has ended: its status says so, or the vendor does not know it any more (section 4.2).

    Raises:
        StillRunning: not within so many seconds, with the last thing that the vendor said.
    """
    asked = 0

    async def end() -> How:
        nonlocal asked
        asked += 1
        try:
            await client.stop(task_id)
        except StreamGone:
            # Of a later Stop, an earlier one whose answer was lost may be the reason.
            return "had ended" if asked == 1 else "stopped"
        await _see_ended(client, task_id)
        return "stopped"

    attempts = AsyncRetrying(
        # Also what looks final: a stream that lives on costs more than a few calls in vain.
        retry=retry_if_exception_type(ProviderError),
        stop=stop_before_delay(seconds),
        wait=wait_random_exponential(multiplier=0.25, max=3),
        before_sleep=_report,
        reraise=True,
    )
    try:
        how: How = await attempts(end)
    except ProviderError as error:
        raise StillRunning(
            f"stream {task_id} has not ended after {asked} tries to stop it: {error.message}",
            provider=PROVIDER,
            job_id=task_id,
            fix="`close-streams` goes on every minute; to be sure, stop it in ZEGO's console.",
        ) from error
    log.info("stream ended task=%s how=%s calls=%d", task_id, how, asked)
    return how


async def hook_close(flow: Flow[..., Any], flow_run: FlowRun, state: RunState[Any]) -> None:  # noqa: ARG001 - hook of Prefect
    """Close what a show left that was cancelled, crashed or failed; runs outside its process where that is dead."""
    ended = f"its run ended as {state.name or state.type}"
    await close_streams_of(str(flow_run.id), why=ended, before=_started(flow_run) + 1)


async def close_streams_of(run_id: str, *, why: str, before: int | None = None) -> None:
    """Close the streams of a run; what cannot be closed now is left to the reaper.

    Args:
        run_id: of the flow run.
        why: for people.
        before: only those of earlier starts of the run than this one; None closes all.
    """
    async with open_ledger() as ledger:
        for row in await _open_rows(ledger, run_id, before=before):
            try:
                await close_stream(await load_zego(), ledger, row, why=why)
            except StudioError as error:
                log.warning("left to the reaper run=%s key=%s cause=%s", run_id, row.render_key, error)


def _started(flow_run: FlowRun) -> int:
    """How often a run had been started when it ended; by now it may have been started again.

    A start is counted once it runs. A runner gives the hooks the run as it read it before the start.
    """
    seen = flow_run.state
    return flow_run.run_count + (seen is None or seen.is_scheduled() or seen.is_pending())


async def _open_rows(ledger: "Ledger", run_id: str, *, before: int | None) -> list[Entry]:
    rows = await ledger.in_states(NOT_ENDED, provider=PROVIDER)
    return [row for row in rows if row.reserved_by == run_id and (before is None or count_of(row) < before)]


async def _last_look(client: "ZegoClient", ledger: "Ledger", entry: Entry) -> Entry:
    """Look for the stream of an unanswered row once more; the row as it is where that tells nothing."""
    try:
        async with asyncio.timeout(LAST_TRY_SECONDS):
            found = await find_live(client, stream_id_of(entry), looks=1)
    except (ProviderError, TimeoutError) as error:
        log.warning("not looked for key=%s cause=%r", entry.render_key, error)
        return entry
    return entry if found is None else await note_accepted(ledger, entry, found.task_id, owner=entry.reserved_by)


async def _last_stop(client: "ZegoClient", task_id: str) -> How | None:
    """Try to stop a stream for some seconds; None where the vendor cannot be asked.

    Raises:
        StillRunning: the vendor says that it is alive.
    """
    try:
        async with asyncio.timeout(2 * LAST_TRY_SECONDS):
            return await stop_surely(client, task_id, seconds=LAST_TRY_SECONDS)
    except (StillRunning, TimeoutError) as error:
        if isinstance(error.__cause__, _StillAlive):
            raise
        log.warning("ended by its lifetime task=%s cause=%r", task_id, error)
        return None


async def _see_ended(client: "ZegoClient", task_id: str) -> None:
    """Ask for a stream that is stopping until it has stopped.

    Raises:
        _StillAlive: it has not, for longer than that should take. The status may never say so, as the page does not
            list it (section 4.3); then the next Stop tells.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + STOPPING_SECONDS
    while True:
        try:
            status = (await client.stream_status(task_id)).status
        except StreamGone:
            return
        if status in _ENDED:
            return
        if loop.time() > end:
            raise _StillAlive(f"it has status {status}.", provider=PROVIDER, job_id=task_id)
        await asyncio.sleep(_ASK_SECONDS)


async def _settled(client: "ZegoClient", ledger: "Ledger", entry: Entry, why: str) -> Entry:
    """Bring a row that was not accepted, as far as is known, to where its stream is known or surely not there."""
    if entry.state is State.RESERVED:
        return await _give_up(ledger, entry, why)
    if entry.state not in _UNANSWERED:
        return entry
    found = await find_live(client, stream_id_of(entry))
    if found is None:
        return await note_absent(ledger, entry, owner=entry.reserved_by)
    return await note_accepted(ledger, entry, found.task_id, owner=entry.reserved_by)


async def _give_up(ledger: "Ledger", entry: Entry, why: str) -> Entry:
    change = ledger.mark_cancelled(
        entry.id, f"no stream was created: {why}", charged=False, expected=State.RESERVED, since=entry.updated_at
    )
    return await unless_overtaken(change) or await ledger.get(entry.id)


def _report(state: RetryCallState) -> None:
    cause = state.outcome.exception() if state.outcome else None
    log.warning("stream not ended yet attempt=%d cause=%s", state.attempt_number, cause)
