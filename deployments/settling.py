"""What `studio settle` decides: which row a person means, whether a way out fits its state, and the change itself."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.errors import StudioError
from tasks.ledger import LIVE_PROVIDERS, Entry, State

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger


class Way(StrEnum):
    """What a person may decide."""

    RESUBMIT = "resubmit"
    JOB = "job"
    ABANDON = "abandon"


@dataclass(frozen=True)
class Decision:
    """What a person decided.

    Args:
        way: the way out.
        job_id: the provider's id, with ``Way.JOB``.
        charged: whether it cost money, with ``Way.ABANDON``; None means that nobody knows.
    """

    way: Way
    job_id: str | None = None
    charged: bool | None = None


_WAYS: Mapping[State, frozenset[Way]] = {
    # One that is too old to be on its way any more is ambiguous in all but name.
    State.SUBMITTING: frozenset(Way),
    State.AMBIGUOUS: frozenset(Way),
    State.RESERVED: frozenset({Way.ABANDON}),
    State.SUBMITTED: frozenset({Way.ABANDON}),
    State.SUCCEEDED: frozenset({Way.ABANDON}),
}


async def list_waiting(ledger: "Ledger", submit_timeout: float) -> list[Entry]:
    """Renders that need a person: ambiguous ones, and those being submitted for longer than can be, oldest first."""
    waiting = await ledger.in_states({State.AMBIGUOUS}, without=LIVE_PROVIDERS)
    waiting += await ledger.stale(State.SUBMITTING, timedelta(seconds=submit_timeout), without=LIVE_PROVIDERS)
    return sorted(waiting, key=lambda entry: entry.updated_at)


async def find_row(ledger: "Ledger | None", key: str) -> Entry:
    """The latest attempt at the one render whose key begins like this.

    Raises:
        StudioError: no hex digits, too few, or no render or several begin like this.
    """
    prefix = key.strip().lower()
    if not re.fullmatch("[0-9a-f]{6,64}", prefix):
        raise StudioError(
            f"{key!r} is no render key.", fix="Give its first 6 or more hex digits, as `studio settle` shows them."
        )
    found = await ledger.matching(prefix, limit=5) if ledger else []
    if not found:
        raise StudioError(
            f"the ledger has no render that begins with {prefix}.",
            fix="`studio settle` lists those that need a person.",
        )
    if len(found) > 1:
        keys = ", ".join(entry.render_key[: max(len(entry.short_key), len(prefix) + 4)] for entry in found)
        raise StudioError(f"several renders begin with {prefix}: {keys}.", fix="Give more digits.")
    return found[0]


def refuse_unfit(entry: Entry, way: Way, submit_timeout: float) -> None:
    """Refuse a way out that the row's state does not have.

    Raises:
        StudioError: with what to do instead.
    """
    if entry.provider in LIVE_PROVIDERS:
        raise StudioError(
            f"{entry.short_key} is a live stream, which is {entry.state}.",
            fix="`close-streams` settles it by itself, within minutes of its show's end.",
        )
    if entry.state is State.SUBMITTING:
        _refuse_fresh(entry, submit_timeout)
    if way not in _WAYS.get(entry.state, frozenset()):
        message, fix = _instead(entry)
        raise StudioError(f"render {entry.short_key} {message}", fix=fix)


async def settle_row(ledger: "Ledger", entry: Entry, decision: Decision, *, who: str, submit_timeout: float) -> Entry:
    """Make the change, unless somebody else has moved the row since it was read.

    Raises:
        StudioError: the way does not fit the row.
        LedgerConflict: the row was moved meanwhile, or another submission has this job id.
    """
    refuse_unfit(entry, decision.way, submit_timeout)
    if entry.state is State.SUBMITTING:
        entry = await ledger.mark_ambiguous(entry, f"no answer came in {submit_timeout:.0f} s", owner=who)
    if entry.state is not State.AMBIGUOUS:
        note = "given up by a person"
        return await ledger.mark_cancelled(entry.id, note, charged=decision.charged, expected=entry.state, owner=who)
    if decision.way is Way.JOB:
        note = "found by a person"
        return await ledger.settle(entry.id, State.SUBMITTED, owner=who, note=note, job_id=decision.job_id)
    if decision.way is Way.RESUBMIT:
        return await ledger.settle(entry.id, State.RESERVED, owner=who, note="to be submitted again, says a person")
    note = "given up by a person"
    return await ledger.settle(entry.id, State.CANCELLED, owner=who, note=note, charged=decision.charged)


def _refuse_fresh(entry: Entry, submit_timeout: float) -> None:
    age = (datetime.now(UTC) - entry.updated_at).total_seconds()
    # A clock that was set back must not make the wait longer.
    left = min(submit_timeout, submit_timeout - age)
    if left > 0:
        when = (datetime.now(UTC) + timedelta(seconds=left)).astimezone()
        raise StudioError(
            f"render {entry.short_key} is being submitted right now by {entry.owner}.",
            fix=f"Come back in {left:.0f} s, at {when:%H:%M:%S}; most likely the answer is there by then.",
        )


def _instead(entry: Entry) -> tuple[str, str]:
    if entry.state is State.ARCHIVED:
        return f"is finished: {entry.location}.", "Nothing is left to settle; the same request shows its video."
    if entry.state is State.RESERVED:
        return "is reserved and nothing was sent.", "Run the same request, which submits it, or --abandon it."
    if entry.state in {State.SUBMITTED, State.SUCCEEDED}:
        again = "Run the same request again, which finishes it without paying again, or --abandon it."
        return f"was accepted as job {entry.job_id}.", again
    ended = "failed" if entry.state is State.FAILED else "was given up"
    why = f": {entry.reason.rstrip('.')}" if entry.reason else ""
    return f"{ended}{why}.", "Nothing is left to settle; running the request again makes a new attempt."
