"""What ledger, archive and vendor know of the streams of shows."""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from tasks.blocks import load_store
from tasks.errors import StudioError
from tasks.ledger import Entry
from tasks.ledger.opening import open_existing_ledger
from tasks.settings import get_settings
from tasks.show.account import ZegoAccount
from tasks.show.contract import PROVIDER
from tasks.show.record import ShowManifest
from tasks.show.rooms import NOT_ENDED
from tasks.staging import split_reference

LARGEST_RECORD = 64 * 1024 * 1024
"""A day's loop of short cues is far below."""
SETTLING_SECONDS = 10.0
"""How long a stream that was stopped may still be listed by the vendor."""
_LOOK_SECONDS = 0.5


class Streams(NamedTuple):
    """Streams at the vendor."""

    of_shows: dict[UUID, Entry]
    """The last one of each show, by its run; a show that was refused has none."""
    left: list[Entry]
    """Not yet known to have ended, though their shows are not among those that are under way."""


async def stream_of(run_id: UUID) -> Entry | None:
    """The last stream of one show; None where it has none."""
    async with open_existing_ledger() as ledger:
        return (await ledger.find_last_reserved(PROVIDER, [str(run_id)])).get(str(run_id)) if ledger else None


async def read_streams(runs: Sequence[FlowRun], under_way: Sequence[UUID]) -> Streams:
    """Find the streams of shows, and those that were left behind.

    Args:
        runs: the shows.
        under_way: ids of all shows that are under way.
    """
    async with open_existing_ledger() as ledger:
        if ledger is None:
            return Streams({}, [])
        found = await ledger.find_last_reserved(PROVIDER, [str(run.id) for run in runs])
        alive = await ledger.in_states(NOT_ENDED, provider=PROVIDER)
    attended = {str(run_id) for run_id in under_way}
    return Streams(
        of_shows={UUID(run_id): entry for run_id, entry in found.items()},
        left=[entry for entry in alive if entry.reserved_by not in attended],
    )


async def read_record(entry: Entry) -> ShowManifest:
    """The record of a show, from the archive.

    Raises:
        StudioError: it has none.
        StorageError: the object store does not answer.
    """
    if entry.location is None:
        raise StudioError("the show has no record in the archive.", fix="`studio show status` says what became of it.")
    store = await load_store(get_settings().storage_block)
    body = await store.get_bytes(*split_reference(entry.location), limit=LARGEST_RECORD)
    return ShowManifest.model_validate_json(body)


async def streams_in(account: ZegoAccount, room: str, *, patience: float = SETTLING_SECONDS) -> list[str]:
    """Task ids of the streams that the vendor itself lists in a room, once there is none or after some patience.

    Raises:
        ProviderError: the vendor cannot be asked.
    """
    end = time.monotonic() + patience
    while True:
        listed = [task.task_id for task in await account.client.live_streams() if task.room_id == room]
        if not listed or time.monotonic() >= end:
            return listed
        await asyncio.sleep(_LOOK_SECONDS)
