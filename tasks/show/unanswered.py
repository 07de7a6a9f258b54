"""A Create without an answer: the stream's own id, which nobody else uses, tells whether it is there."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.errors import StillRunning
from tasks.ledger import Entry, State, StateConflict
from tasks.overtaken import unless_overtaken

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger
    from tasks.providers.zego.client import ZegoClient
    from tasks.providers.zego.models import StreamTask

ID_TAKEN = "a stream of this id exists at the vendor, which does not list it"
"""The reason of an unanswered row whose stream surely exists, or has existed: Create was refused for its id."""
LOOKS = 3
LOOK_PAUSE_SECONDS = 2.0
"""A Create that was on its way when it lost its answer has arrived by the last look."""

log = logging.getLogger("studio.show")


def stream_id_of(entry: Entry) -> str:
    """The StreamId of a row: its order id, from which the ledger finds the row again."""
    return f"{entry.render_key[:24]}-{entry.attempt}"


async def find_live(client: "ZegoClient", stream_id: str, *, looks: int = LOOKS) -> "StreamTask | None":
    """Look for a stream among the live ones (section 4.2), a few times.

    Raises:
        ProviderError: the vendor does not answer; nothing is known.
    """
    for look in range(looks):
        if look:
            await asyncio.sleep(LOOK_PAUSE_SECONDS)
        found = next((task for task in await client.live_streams() if task.stream_id == stream_id), None)
        if found is not None and found.task_id:
            log.info("found stream=%s task=%s", stream_id, found.task_id)
            return found
    return None


def may_have_ended(entry: Entry) -> bool:
    """Whether a stream of an unanswered row, had there been one, may have ended for want of anything said."""
    age = (datetime.now(UTC) - entry.updated_at).total_seconds()
    return age > min(float(str(entry.payload[limit])) for limit in ("max_idle", "ttl"))


def was_there(entry: Entry) -> bool:
    """Whether the vendor has said of an unanswered row that its stream exists."""
    return entry.state is State.AMBIGUOUS and entry.reason == ID_TAKEN


async def note_accepted(ledger: "Ledger", entry: Entry, task_id: str, *, owner: str) -> Entry:
    """Store the id of a row's stream, whether or not somebody has called the row ambiguous meanwhile.

    Raises:
        StateConflict: the row has ended, so that nobody would close the stream for it.
    """
    if entry.state is State.SUBMITTING:
        try:
            return await ledger.mark_submitted(entry.id, task_id, owner=owner, since=entry.updated_at)
        except StateConflict as conflict:
            entry = conflict.entry
    if entry.state is State.SUBMITTED and entry.job_id == task_id:
        return entry
    note = "looked up: accepted"
    return await ledger.settle(entry.id, State.SUBMITTED, owner=owner, note=note, job_id=task_id)


async def note_absent(ledger: "Ledger", entry: Entry, *, owner: str) -> Entry:
    """End an unanswered row whose stream is not alive.

    Whether it cost anything is unknown only where it may have lived and ended by itself since.

    Raises:
        StillRunning: the vendor has said that the stream exists, and it cannot have ended by itself yet.
    """
    if was_there(entry) and not may_have_ended(entry):
        raise StillRunning(
            f"stream {stream_id_of(entry)} exists, but is not among those that the vendor lists.",
            provider=entry.provider,
            fix="Nothing to do: `close-streams` looks every minute. It ends by itself after "
            f"{entry.payload['max_idle']} s without anything said.",
        )
    note = "no answer came, and no stream of this id is alive"
    charged = None if may_have_ended(entry) else False
    since = entry.updated_at
    if entry.state is State.AMBIGUOUS:
        change = ledger.settle(entry.id, State.CANCELLED, owner=owner, note=note, charged=charged, since=since)
    else:
        change = ledger.mark_failed(
            entry.id, note, charged=charged, expected=State.SUBMITTING, owner=owner, since=since
        )
    overtaken = await unless_overtaken(change)
    return overtaken or await ledger.get(entry.id)
