"""The end of a stream: stopped until that is certain, then booked with what it cost.

Whoever closes a stream may be the show itself, the hooks of its run, or the reaper, also several of them at once: each
finds what the others have done.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.objects import State as RunState
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_before_delay, wait_random_exponential

from tasks.errors import ProviderBusy, ProviderError, StillRunning, StudioError
from tasks.ledger import Charge, Entry, State
from tasks.ledger.opening import open_ledger
from tasks.overtaken import unless_overtaken
from tasks.providers.zego.envelope import StreamGone
from tasks.providers.zego.models import StreamStatus
from tasks.registry import refuse_elsewhere
from tasks.settings import get_settings
from tasks.show.account import ZegoAccount, cost_of, load_zego
from tasks.show.contract import PROVIDER
from tasks.show.rooms import NOT_ENDED, leave_room
from tasks.show.unanswered import find_live, note_absent, note_accepted, stream_id_of

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger
    from tasks.providers.zego.client import ZegoClient

How = Literal["stopped", "had ended", "lifetime over"]

STOP_SECONDS = 60.0
"""How long to go on stopping; the reaper goes on after that."""
STOPPING_SECONDS = 3.0
"""How long a stream is asked about after a Stop before it is stopped again."""
_ASK_SECONDS = 0.25
AFTER_LIFE = timedelta(seconds=60)
"""So long after its TTL a stream has ended, whatever can be asked."""
_ENDED = {StreamStatus.FAILED, StreamStatus.STOPPED}
_UNANSWERED = {State.SUBMITTING, State.AMBIGUOUS}
_DONE = frozenset(State) - NOT_ENDED

log = logging.getLogger("studio.show")


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
        return await close_overdue(ledger, entry, why=why)
    refuse_elsewhere(entry, account.account, account.endpoint)
    if entry.state is not State.SUBMITTED:
        entry = await _settled(account.client, ledger, await ledger.get(entry.id), why)
    # First the stream, which costs money, and then the books, which may be away.
    if entry.state is State.SUBMITTED and entry.job_id:
        how = await stop_surely(account.client, entry.job_id)
        entry = await _book(ledger, entry, how, why)
    await leave_room(ledger, entry)
    return entry


async def close_overdue(ledger: "Ledger", entry: Entry, *, why: str) -> Entry:
    """Book the end of a stream that its TTL has ended, without asking a vendor that may not be reachable any more."""
    entry = await ledger.get(entry.id)
    if entry.state is State.SUBMITTED:
        entry = await _book(ledger, entry, "lifetime over", why)
    elif entry.state in _UNANSWERED:
        entry = await note_absent(ledger, entry, owner=entry.reserved_by)
    elif entry.state is State.RESERVED:
        entry = await _give_up(ledger, entry, why)
    await leave_room(ledger, entry)
    return entry


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
            f"stream {task_id} has not ended within {seconds:.0f} s of stopping it: {error.message}",
            provider=PROVIDER,
            job_id=task_id,
            fix="`close-streams` goes on every minute; to be sure, stop it in ZEGO's console.",
        ) from error
    log.info("stream ended task=%s how=%s calls=%d", task_id, how, asked)
    return how


async def record_seconds(ledger: "Ledger", entry: Entry, task_id: str, ended: datetime, seconds: float) -> None:
    """Note what a stream of a row has cost; again, with what is known better."""
    amount, unit = cost_of(seconds, get_settings().prices)
    charge = Charge(
        provider=entry.provider,
        account=entry.account,
        reference=task_id,
        at=ended,
        amount=amount,
        unit=unit,
        submission_id=entry.id,
        note={"seconds": seconds},
    )
    await ledger.record_charge(charge)


def is_over(entry: Entry) -> bool:
    """Whether the TTL alone has ended the stream of a row by now."""
    begin = entry.submitted_at or entry.updated_at
    return datetime.now(UTC) > begin + _life(entry) + AFTER_LIFE


async def hook_close(flow: Flow[..., Any], flow_run: FlowRun, state: RunState[Any]) -> None:  # noqa: ARG001 - hook of Prefect
    """Close what a show left that was cancelled, crashed or failed; runs outside its process where that is dead."""
    await close_streams_of(str(flow_run.id), why=f"its run ended as {state.name or state.type}")


async def close_streams_of(run_id: str, *, why: str) -> None:
    """Close every stream of a run; what cannot be closed now is left to the reaper."""
    async with open_ledger() as ledger:
        rows = [row for row in await ledger.in_states(NOT_ENDED, provider=PROVIDER) if row.reserved_by == run_id]
        for row in rows:
            try:
                await close_stream(await load_zego(), ledger, row, why=why)
            except StudioError as error:
                log.warning("left to the reaper run=%s key=%s cause=%s", run_id, row.render_key, error)


async def _see_ended(client: "ZegoClient", task_id: str) -> None:
    """Ask for a stream that is stopping until it has stopped.

    Raises:
        ProviderBusy: it has not, for longer than that should take. The status may never say so, as the page does not
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
            raise ProviderBusy(f"it has status {status}.", provider=PROVIDER, job_id=task_id)
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


async def _book(ledger: "Ledger", entry: Entry, how: How, why: str) -> Entry:
    """Store the end of a stream and what it cost, unless another process has; both say the same afterwards."""
    started, ended = await _span(ledger, entry, how)
    seconds = round((ended - started).total_seconds(), 3)
    # The charge first: a row without an end is found again, one without a charge is not.
    await record_seconds(ledger, entry, entry.job_id or "", ended, seconds)
    result: dict[str, Any] = {
        "started": started.isoformat(),
        "ended": ended.isoformat(),
        "seconds": seconds,
        "how": how,
        "why": why,
    }
    overtaken = await unless_overtaken(ledger.mark_succeeded(entry.id, result), done=_DONE)
    if overtaken is not None and overtaken.result is not None:
        booked = overtaken.result
        ended, seconds = datetime.fromisoformat(str(booked["ended"])), float(str(booked["seconds"]))
        await record_seconds(ledger, entry, entry.job_id or "", ended, seconds)
    log.info("stream booked key=%s task=%s seconds=%.1f how=%s", entry.render_key, entry.job_id, seconds, how)
    return await ledger.get(entry.id)


async def _span(ledger: "Ledger", entry: Entry, how: How) -> tuple[datetime, datetime]:
    """When a stream began and ended: by callbacks, else at most from its creation until now or until its TTL."""
    told = {
        event.status: event.happened_at
        for event in reversed(await ledger.stream_events(entry.job_id or ""))
        if event.kind == "task"
    }
    created = entry.submitted_at or entry.updated_at
    latest = created + _life(entry)
    by_now = latest if how == "lifetime over" else min(latest, datetime.now(UTC))
    started = told.get(StreamStatus.STREAMING, created)
    return started, max(started, told.get(StreamStatus.STOPPED, by_now))


def _life(entry: Entry) -> timedelta:
    return timedelta(seconds=float(str(entry.payload["ttl"])))


def _report(state: RetryCallState) -> None:
    cause = state.outcome.exception() if state.outcome else None
    log.warning("stream not ended yet attempt=%d cause=%s", state.attempt_number, cause)
