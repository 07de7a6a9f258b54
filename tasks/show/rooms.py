"""One show in a room at a time: two streams there would talk over each other."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tasks.errors import StudioError
from tasks.ledger import Entry, State
from tasks.show.contract import PROVIDER

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

STALE_AFTER = timedelta(seconds=60)
"""A show renews its claim every few seconds; one that has not for so long is dead."""
NOT_ENDED = frozenset({State.RESERVED, State.SUBMITTING, State.AMBIGUOUS, State.SUBMITTED})
"""States of a row whose stream is alive, or may be yet."""


class RoomTaken(StudioError):
    """Another show has the room, or has left a stream in it; nothing was created."""


def claim_of(account: str, room: str) -> str:
    """The name of a room among the ledger's claims."""
    return f"room/{PROVIDER}/{account}/{room}"


def room_of(entry: Entry) -> str:
    """The room that a stream is published in."""
    return str(entry.payload["room_id"])


async def take_room(ledger: "Ledger", account: str, room: str, run_id: str) -> None:
    """Take a room for a run; it is to be renewed well within a minute.

    Raises:
        RoomTaken: says which run has it and since when.
    """
    name = claim_of(account, room)
    if not await ledger.claim(name, run_id, stale_after=STALE_AFTER):
        held = await ledger.find_claim(name)
        raise _taken(room, held.owner if held else "unknown", await _rows_in(ledger, account, room))
    others = [row for row in await _rows_in(ledger, account, room) if row.reserved_by != run_id]
    if others:
        await ledger.release_claim(name, run_id)
        raise RoomTaken(
            f"room {room} still has the stream of run {others[0].reserved_by}, which has died since "
            f"{_told(others[0].created_at)}.",
            fix="`close-streams` closes it within two minutes; start the show again then.",
        )


async def keep_room(ledger: "Ledger", entry: Entry) -> bool:
    """Renew a show's claim; False when another run has the room."""
    return await ledger.claim(claim_of(entry.account, room_of(entry)), entry.reserved_by, stale_after=STALE_AFTER)


async def leave_room(ledger: "Ledger", entry: Entry) -> None:
    """Give a show's room back; another run's claim stays."""
    await ledger.release_claim(claim_of(entry.account, room_of(entry)), entry.reserved_by)


async def _rows_in(ledger: "Ledger", account: str, room: str) -> list[Entry]:
    rows = await ledger.in_states(NOT_ENDED, provider=PROVIDER)
    return [row for row in rows if (row.account, room_of(row)) == (account, room)]


def _taken(room: str, owner: str, rows: list[Entry]) -> RoomTaken:
    show = next((row for row in rows if row.reserved_by == owner), None)
    what = f", “{show.title}”" if show and show.title else ""
    since = f", since {_told(show.created_at)}" if show else ", which has just begun"
    return RoomTaken(
        f"room {room} has a show already: run {owner}{what}{since}.",
        fix="Wait for its end, stop it with `studio show stop`, or choose another room.",
    )


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
