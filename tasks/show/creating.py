"""Creating a stream: one paid call at a time, and a look for our own StreamId where its answer was lost."""

import asyncio
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import JsonValue

from tasks.errors import LedgerConflict, ProviderBusy, ProviderRejected, ProviderUnavailable, StudioError
from tasks.http import may_repeat_poll, patiently
from tasks.ledger import AtCapacity, Entry, State
from tasks.overtaken import unless_overtaken
from tasks.providers.zego.envelope import StreamIdTaken
from tasks.settings import get_settings
from tasks.show.account import ZegoAccount
from tasks.show.closing import stop_surely
from tasks.show.contract import PROVIDER
from tasks.show.timing import MARGIN_SECONDS
from tasks.show.unanswered import ID_TAKEN, find_live, may_have_ended, note_accepted, stream_id_of, was_there

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

CREATE_SECONDS = 20.0
"""A Create without an answer for so long is looked for. Shorter than the patience of the reaper, which must not look
for one that is still on its way."""
OLDEST_RIGHT_SECONDS = 5.0
FULL_PAUSE_SECONDS = 10.0

log = logging.getLogger("studio.show")


async def create_once(account: ZegoAccount, ledger: "Ledger", entry: Entry, *, patience: float) -> Entry:
    """Create the stream of a reserved row, trying as often as it takes: one StreamId cannot become two streams.

    Args:
        account: who pays.
        ledger: where the row is.
        entry: the row.
        patience: seconds to go on while the vendor is busy or does not answer.

    Returns:
        The row, accepted.

    Raises:
        ProviderRejected: the vendor refused for good, or the stream has ended already.
        ProviderBusy: not accepted for so long.
        ProviderUnavailable: no answer for so long; the row is reserved, or ambiguous where nobody could look.
        StudioError: another run has ended the row.
    """

    async def offer() -> Entry:
        current = await ledger.get(entry.id)
        if current.state is State.AMBIGUOUS:
            current = await _look(account, ledger, current)
        if current.state is State.RESERVED:
            current = await _try_create(account, ledger, current)
        if current.state is not State.SUBMITTED:
            raise StudioError(
                f"the stream of run {entry.reserved_by} was ended by another run: {current.reason}",
                fix="Start the show again.",
            )
        return current

    return await patiently(may_repeat_poll, seconds=patience, first=2)(offer)


async def _look(account: ZegoAccount, ledger: "Ledger", entry: Entry) -> Entry:
    """Settle a Create that lost its answer.

    Raises:
        ProviderRejected: a stream may have been there and ended by itself since, so another one would be the second.
    """
    found = await find_live(account.client, stream_id_of(entry))
    if found is not None:
        return await note_accepted(ledger, entry, found.task_id, owner=entry.reserved_by)
    if was_there(entry):
        raise _is_unlisted(entry)
    if may_have_ended(entry):
        raise _has_ended(entry)
    note = "looked up: no such stream"
    return await ledger.settle(entry.id, State.RESERVED, owner=entry.reserved_by, note=note, since=entry.updated_at)


async def _try_create(account: ZegoAccount, ledger: "Ledger", entry: Entry) -> Entry:
    """One try at the paid call; what it leaves in the ledger is what is known afterwards."""
    owner = entry.reserved_by
    try:
        entry = await ledger.mark_submitting(entry.id, owner, most=get_settings().concurrency.get(PROVIDER))
    except LedgerConflict:
        return await ledger.get(entry.id)
    except AtCapacity as full:
        raise ProviderBusy(full.message, provider=PROVIDER, retry_after=FULL_PAUSE_SECONDS, fix=full.fix) from full
    try:
        task_id = await _call_create(account, entry)
    except StreamIdTaken:
        # Nobody else knows this id, so an earlier Create was accepted after all.
        return await _adopt(account, ledger, entry)
    except ProviderRejected as error:
        change = ledger.mark_failed(
            entry.id, str(error), charged=False, expected=State.SUBMITTING, owner=owner, since=entry.updated_at
        )
        await unless_overtaken(change)
        raise
    except ProviderBusy as error:
        await unless_overtaken(ledger.release(entry, str(error), owner=owner))
        raise
    except ProviderUnavailable as error:
        change = (ledger.mark_ambiguous if error.sent else ledger.release)(entry, error.message, owner=owner)
        await unless_overtaken(change)
        raise
    return await _store(account, ledger, entry, task_id)


async def _call_create(account: ZegoAccount, entry: Entry) -> str:
    payload = entry.payload
    age = (datetime.now(UTC) - entry.updated_at).total_seconds()
    if age > OLDEST_RIGHT_SECONDS:
        # This process has been asleep, and the reaper may have looked meanwhile.
        raise ProviderUnavailable(f"the right to create it was taken {age:.0f} s ago.", provider=PROVIDER, sent=False)
    try:
        async with asyncio.timeout(CREATE_SECONDS):
            return await account.client.create_stream(
                digital_human_id=str(payload["digital_human_id"]),
                background=str(payload["background"]),
                room_id=str(payload["room_id"]),
                stream_id=stream_id_of(entry),
                ttl=_time_to_live(payload),
                max_idle=int(str(payload["max_idle"])),
            )
    except TimeoutError as error:
        raise ProviderUnavailable("the vendor did not answer in time.", provider=PROVIDER, sent=True) from error


async def _adopt(account: ZegoAccount, ledger: "Ledger", entry: Entry) -> Entry:
    """Take the stream that has our id.

    Raises:
        ProviderRejected: it cannot be found; the row stays ambiguous, and the show is over before it began.
    """
    entry = await ledger.mark_ambiguous(entry, ID_TAKEN, owner=entry.reserved_by)
    found = await find_live(account.client, stream_id_of(entry))
    if found is not None:
        return await note_accepted(ledger, entry, found.task_id, owner=entry.reserved_by)
    raise _is_unlisted(entry)


def _time_to_live(payload: Mapping[str, JsonValue]) -> int:
    """What was reserved, less where the hard end has come nearer: it counts from the accepted Create."""
    planned, hard_end = int(str(payload["ttl"])), str(payload.get("hard_end", ""))
    if not hard_end:
        return planned
    left = (datetime.fromisoformat(hard_end) - datetime.now(UTC)).total_seconds()
    return min(planned, max(0, math.ceil(left)) + MARGIN_SECONDS)


def _is_unlisted(entry: Entry) -> ProviderRejected:
    return ProviderRejected(
        f"stream {stream_id_of(entry)} was created without an answer, and the vendor does not list it.",
        provider=PROVIDER,
        fix="`close-streams` looks for it every minute; start a new run of the show, in another room until then.",
    )


def _has_ended(entry: Entry) -> ProviderRejected:
    return ProviderRejected(
        f"stream {stream_id_of(entry)} may have been created without an answer, and has ended since.",
        provider=PROVIDER,
        fix="Start the show again.",
    )


async def _store(account: ZegoAccount, ledger: "Ledger", entry: Entry, task_id: str) -> Entry:
    """Write down the task id; a stream that has no place in the ledger is stopped at once."""
    try:
        return await note_accepted(ledger, entry, task_id, owner=entry.reserved_by)
    except BaseException:
        log.critical("created but not stored, stopping task=%s stream=%s", task_id, stream_id_of(entry))
        await stop_surely(account.client, task_id)
        raise
