"""One show in a room at a time: two streams there would talk over each other."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tasks.errors import RoomTaken
from tasks.ledger import Entry, State
from tasks.show.contract import PROVIDER

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

STALE_AFTER = timedelta(seconds=60)
"""A show renews its claim every few seconds; one that has not for so long is dead."""
NOT_ENDED = frozenset({State.RESERVED, State.SUBMITTING, State.AMBIGUOUS, State.SUBMITTED})
"""States of a row whose stream is alive, or may be yet."""


def claim_of(account: str, room: str) -> str:
    """The name of a room among the ledger's claims."""
    return f"room/{PROVIDER}/{account}/{room}"


def room_of(entry: Entry) -> str:
    """The room that a stream is published in."""
    return str(entry.payload["room_id"])


def count_of(entry: Entry) -> int:
    """Which start of its run a stream belongs to: a run that is retried has another stream, of another process."""
    return int(str(entry.payload.get("run_count", 1)))


def holder_of(entry: Entry) -> str:
    """The name under which a show has its room."""
    return holder(entry.reserved_by, count_of(entry))


def holder(run_id: str, run_count: int) -> str:
    """The same, before there is a row."""
    return f"{run_id}/{run_count}"


async def take_room(ledger: "Ledger", account: str, room: str, *, run_id: str, run_count: int) -> None:
    """Take a room for a run whose earlier streams are closed; it is to be renewed well within a minute.

    Raises:
        RoomTaken: says which run has it and since when.
    """
    name, own = claim_of(account, room), holder(run_id, run_count)
    if not await ledger.claim(name, own, stale_after=STALE_AFTER):
        held = await ledger.find_claim(name)
        if held is not None and _is_earlier(held.owner, run_id, run_count):
            # Left by an earlier start of this run, which died before it had a stream.
            await ledger.release_claim(name, held.owner)
        if not await ledger.claim(name, own, stale_after=STALE_AFTER):
            raise _taken(room, held.owner if held else "unknown", await _rows_in(ledger, account, room))
    others = [row for row in await _rows_in(ledger, account, room) if holder_of(row) != own]
    if others:
        await ledger.release_claim(name, own)
        raise RoomTaken(
            f"room {room} still has the stream of run {others[0].reserved_by}, begun {_told(others[0].created_at)}, "
            "whose show has died.",
            fix="`close-streams` closes it within two minutes; start the show again then.",
        )


async def refuse_beside(ledger: "Ledger", entry: Entry) -> None:
    """Give way to another stream of the room before this one is created.

    Its row may be of a process that slept for longer than a claim lasts, or that took over the claim of this one. Which
    was first is not asked, as clocks differ: whoever comes later sees the other one.

    Raises:
        RoomTaken: says which run has it and since when.
    """
    rows = await _rows_in(ledger, entry.account, room_of(entry))
    other = next((row for row in rows if row.id != entry.id), None)
    if other is not None:
        raise _taken(room_of(entry), holder_of(other), rows)


async def keep_room(ledger: "Ledger", entry: Entry) -> bool:
    """Renew a show's claim; False when another show has the room."""
    return await ledger.claim(claim_of(entry.account, room_of(entry)), holder_of(entry), stale_after=STALE_AFTER)


async def leave_room(ledger: "Ledger", entry: Entry) -> None:
    """Give a show's room back; another show's claim stays."""
    await ledger.release_claim(claim_of(entry.account, room_of(entry)), holder_of(entry))


async def _rows_in(ledger: "Ledger", account: str, room: str) -> list[Entry]:
    rows = await ledger.in_states(NOT_ENDED, provider=PROVIDER)
    return [row for row in rows if (row.account, room_of(row)) == (account, room)]


def _is_earlier(owner: str, run_id: str, run_count: int) -> bool:
    return owner in {holder(run_id, count) for count in range(1, run_count)}


def _taken(room: str, owner: str, rows: list[Entry]) -> RoomTaken:
    show = next((row for row in rows if holder_of(row) == owner), None)
    what = f", “{show.title}”" if show and show.title else ""
    since = f", since {_told(show.created_at)}" if show else ", which has just begun"
    return RoomTaken(
        f"room {room} has a show already: run {owner.partition('/')[0]}{what}{since}.",
        fix="Wait for its end, stop it with `studio show stop`, or choose another room.",
    )


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
