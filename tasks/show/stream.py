"""A show's stream: created once, found again when the answer was lost, awaited until it streams."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from tasks.errors import (
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RenderFailed,
    StreamInDoubt,
    StudioError,
)
from tasks.ledger import Entry, Intent, Limits, State, StreamEvent
from tasks.overtaken import unless_overtaken
from tasks.providers.zego.envelope import StreamGone
from tasks.providers.zego.models import StreamStatus
from tasks.settings import get_settings
from tasks.show.account import ZegoAccount, cost_of
from tasks.show.beating import Heartbeat
from tasks.show.closing import close_earlier, close_stream
from tasks.show.contract import PROVIDER, OpenStream, ShowPlan
from tasks.show.creating import create_once
from tasks.show.driving import LEDGER_SECONDS
from tasks.show.rooms import claim_of, holder, refuse_beside, take_room
from tasks.show.unanswered import stream_id_of

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

STREAMING_SECONDS = 90.0
_LOOK_SECONDS = 0.3
_ASK_SECONDS = 1.0
_NO_REASON = "the vendor gives no reason"
_DECISIVE = {StreamStatus.STREAMING, StreamStatus.FAILED, StreamStatus.STOPPING, StreamStatus.STOPPED}

log = logging.getLogger("studio.show")


class _Told(NamedTuple):
    """What decides whether a stream can be driven."""

    status: int
    reason: str
    since: datetime


def render_key_of(run_id: str, run_count: int) -> str:
    """The key of a show in the ledger: one for each time that a run is begun."""
    return sha256(f"show/{run_id}/{run_count}".encode()).hexdigest()


async def open_stream(
    account: ZegoAccount, ledger: "Ledger", plan: ShowPlan, *, run_id: str, run_count: int
) -> OpenStream:
    """Take the room, write the worst cost down, and create the stream, at most one whatever happens.

    Whatever is raised, cancellation too: the stream is closed, or left to the reaper where the vendor does not answer.

    Args:
        account: who pays.
        ledger: open until the show has ended.
        plan: the checked show.
        run_id: id of the flow run.
        run_count: how often that run has been begun.

    Raises:
        RoomTaken: another show has the room.
        BudgetExceeded: the stream's TTL would cost more than a cap leaves.
        ProviderRejected: the vendor refused for good.
        ProviderBusy: no stream was free for ``busy_patience_seconds``.
        ProviderUnavailable: the vendor could not be reached for as long; there is no stream.
        StreamInDoubt: nobody knows whether there is a stream, as the vendor does not answer any more.
        StudioError: this run has had a stream, or one of an earlier start of it cannot be closed.
    """
    room = plan.rundown.room
    await close_earlier(account, ledger, run_id, run_count)
    await take_room(ledger, account.account, room, run_id=run_id, run_count=run_count)
    try:
        entry = await _reserve(account, ledger, plan, run_id=run_id, run_count=run_count)
    except BaseException:
        await ledger.release_claim(claim_of(account.account, room), holder(run_id, run_count))
        raise
    async with _closed_on_error(account, ledger, entry), Heartbeat(ledger, entry):
        await refuse_beside(ledger, entry)
        entry = await create_once(account, ledger, entry, patience=_patience(plan))
    task_id, submitted_at = entry.job_id or "", entry.submitted_at or entry.updated_at
    log.info("stream created key=%s task=%s stream=%s", entry.render_key, task_id, stream_id_of(entry))
    return OpenStream(
        entry=entry,
        task_id=task_id,
        stream_id=stream_id_of(entry),
        ends_by=submitted_at + timedelta(seconds=plan.ttl),
    )


async def wait_streaming(
    account: ZegoAccount, ledger: "Ledger", stream: OpenStream, *, deadline: float = STREAMING_SECONDS
) -> datetime:
    """Wait until a stream can be driven, by callback or by asking, whichever tells first; returns since when it can.

    Args:
        account: where it is.
        ledger: where callbacks are kept.
        stream: the stream.
        deadline: seconds to wait at most.

    Raises:
        RenderFailed: it failed, ended, or was not up at the deadline; it has been closed then, and the show is over.
    """
    loop = asyncio.get_running_loop()
    end, ask_at = loop.time() + deadline, loop.time()
    doubt = "the vendor has not said anything"
    while loop.time() < end:
        since = _streaming_since(await _events(ledger, stream.task_id))
        if since is not None:
            return since
        if loop.time() >= ask_at:
            # An end is never believed to a callback: a stream that is not stopped goes on costing money.
            told, doubt = await _asked(account, stream.task_id, until=end)
            ask_at = loop.time() + _ASK_SECONDS
            if told is not None and told.status == StreamStatus.STREAMING:
                return told.since
            if told is not None:
                raise await _not_streaming(account, ledger, stream, told)
        await asyncio.sleep(_LOOK_SECONDS)
    try:
        await close_stream(account, ledger, stream.entry, why="it did not stream in time")
        closed = "has been closed"
    except StudioError as trouble:
        closed = f"is left to the reaper, as it could not be closed for certain ({trouble.message})"
    raise RenderFailed(
        f"stream {stream.task_id} was not streaming after {deadline:.0f} s and {closed}: {doubt}",
        provider=PROVIDER,
        job_id=stream.task_id,
        fix="Start the show again later; if this repeats, ask ZEGO's support for this task.",
    )


async def _reserve(account: ZegoAccount, ledger: "Ledger", plan: ShowPlan, *, run_id: str, run_count: int) -> Entry:
    """Write down the intent with its worst cost: that of the whole TTL."""
    settings = get_settings()
    estimate, unit = cost_of(plan.ttl, settings.prices)
    budget = settings.budgets.get(PROVIDER)
    rundown = plan.rundown
    intent = Intent(
        render_key=render_key_of(run_id, run_count),
        provider=PROVIDER,
        account=account.account,
        endpoint=account.endpoint,
        payload={
            "digital_human_id": rundown.avatar,
            "background": rundown.background,
            "room_id": rundown.room,
            "ttl": plan.ttl,
            "max_idle": rundown.idle_seconds,
            "hard_end": plan.hard_end.isoformat() if plan.hard_end else "",
            "run_count": run_count,
        },
        estimate=estimate,
        unit=unit,
        title=rundown.title,
    )
    limits = Limits(month=budget.month, run=budget.run) if budget else Limits()
    entry, is_new = await ledger.reserve(intent, owner=run_id, limits=limits)
    if not is_new:
        raise StudioError(
            f"run {run_id} has had a stream already, which is {entry.state}. A live show cannot be taken up again.",
            fix="Start a new run of the show.",
        )
    return entry


def _patience(plan: ShowPlan) -> float:
    """How long to ask for a stream; after the hard end nobody wants it any more."""
    patience = get_settings().busy_patience_seconds
    if plan.hard_end is None:
        return patience
    return min(patience, max(0.0, (plan.hard_end - datetime.now(UTC)).total_seconds()))


@asynccontextmanager
async def _closed_on_error(account: ZegoAccount, ledger: "Ledger", entry: Entry) -> AsyncIterator[None]:
    """Leave no stream behind that nobody gets to know of; the error goes on as it is, or as a doubt that remains."""
    try:
        yield
    except BaseException as error:
        try:
            await close_stream(account, ledger, entry, why="the show could not begin")
        except StudioError as trouble:
            log.warning("left to the reaper key=%s cause=%s", entry.render_key, trouble)
            is_known = isinstance(error, ProviderRejected)
            if isinstance(error, ProviderError) and isinstance(trouble, ProviderError) and not is_known:
                raise _in_doubt(entry, error) from error
        raise


def _in_doubt(entry: Entry, error: ProviderError) -> StreamInDoubt:
    return StreamInDoubt(
        f"nobody knows whether {PROVIDER} created stream {stream_id_of(entry)}: {error.message}",
        provider=PROVIDER,
        fix="Nothing to do: `close-streams` looks every minute and closes it as soon as the vendor answers. It ends by "
        f"itself after {entry.payload['max_idle']} s without anything said.",
    )


async def _events(ledger: "Ledger", task_id: str) -> list[StreamEvent]:
    """What callbacks told; nothing where the ledger is away, for which no starting show waits: the vendor is asked."""
    try:
        async with asyncio.timeout(LEDGER_SECONDS):
            return await ledger.stream_events(task_id)
    except (StudioError, TimeoutError) as error:
        log.warning("callbacks not read task=%s error=%s", task_id, type(error).__name__)
        return []


def _streaming_since(events: list[StreamEvent]) -> datetime | None:
    """Since when a stream can be driven, if that is the last decisive thing that callbacks told about it."""
    decisive = (event for event in reversed(events) if event.kind == "task" and event.status in _DECISIVE)
    last = next(decisive, None)
    return last.happened_at if last is not None and last.status == StreamStatus.STREAMING else None


async def _asked(account: ZegoAccount, task_id: str, *, until: float) -> tuple[_Told | None, str]:
    """Ask once: what decides, if anything, and what is known otherwise."""
    try:
        async with asyncio.timeout_at(until):
            task = await account.client.stream_status(task_id)
    except TimeoutError:
        return None, "the vendor does not answer."
    except StreamGone as gone:
        return _Told(StreamStatus.STOPPED, gone.message, datetime.now(UTC)), gone.message
    except (ProviderBusy, ProviderUnavailable) as error:
        return None, error.message
    told = _Told(task.status, task.fail_reason, datetime.now(UTC)) if task.status in _DECISIVE else None
    return told, f"its status is {task.status}."


async def _not_streaming(account: ZegoAccount, ledger: "Ledger", stream: OpenStream, told: _Told) -> RenderFailed:
    """Note a stream that ended before it could be driven; one whose start failed cost nothing."""
    has_failed = told.status == StreamStatus.FAILED
    if has_failed:
        change = ledger.mark_failed(stream.entry.id, told.reason or _NO_REASON, charged=False, expected=State.SUBMITTED)
        await unless_overtaken(change)
    await close_stream(account, ledger, await ledger.get(stream.entry.id), why="it ended before it could be driven")
    return RenderFailed(
        f"stream {stream.task_id} {'failed' if has_failed else 'ended'} before it could be driven: "
        f"{told.reason.rstrip('.') or _NO_REASON}.",
        provider=PROVIDER,
        job_id=stream.task_id,
        fix="Start the show again, with another avatar if this repeats.",
    )
