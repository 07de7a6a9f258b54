"""The books of a stream: when it began and ended, and what that cost."""

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from tasks.ledger import Charge, Entry, State
from tasks.overtaken import unless_overtaken
from tasks.providers.zego.models import StreamStatus
from tasks.settings import get_settings
from tasks.show.account import cost_of
from tasks.show.rooms import NOT_ENDED

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

How = Literal["stopped", "had ended", "lifetime over"]

CLOCKS_DIFFER = timedelta(seconds=60)
"""What callbacks tell of a stream's begin and end is taken if it lies within its life, as known here, give or take."""
AFTER_LIFE = timedelta(seconds=60)
"""So long after its TTL a stream has ended, whatever can be asked."""
_DONE = frozenset(State) - NOT_ENDED

log = logging.getLogger("studio.show")


async def book_end(ledger: "Ledger", entry: Entry, how: How, why: str) -> Entry:
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


async def _span(ledger: "Ledger", entry: Entry, how: How) -> tuple[datetime, datetime]:
    """When a stream began and ended: by callbacks, else at most from its creation until now or until its TTL.

    Callbacks tell it more exactly, but no more than that: what lies outside of the life known here is not taken.
    """
    created, now = entry.submitted_at or entry.updated_at, datetime.now(UTC)
    latest = created + _life(entry)
    by_now = latest if how == "lifetime over" else max(created, min(latest, now))
    earliest, newest = created - CLOCKS_DIFFER, max(created, min(latest, now)) + CLOCKS_DIFFER
    told = {
        event.status: event.happened_at
        for event in reversed(await ledger.stream_events(entry.job_id or ""))
        if event.kind == "task" and earliest <= event.happened_at <= newest
    }
    started, ended = told.get(StreamStatus.STREAMING, created), told.get(StreamStatus.STOPPED, by_now)
    # Where the two are of clocks that differ by more than the stream lived, ours tells both.
    return (started, ended) if started <= ended else (created, by_now)


def _life(entry: Entry) -> timedelta:
    return timedelta(seconds=float(str(entry.payload["ttl"])))
