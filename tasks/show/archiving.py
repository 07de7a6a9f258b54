"""A show's record on its way to the archive: first into a file below the studio's home, where it outlives any outage.

What could not be uploaded when its show ended or was killed, or was uploaded before the end of its stream was certain,
lies there until `close-streams` has brought it into the archive.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tasks.blocks import load_store
from tasks.errors import StudioError
from tasks.ledger import Entry, State
from tasks.ledger.opening import open_ledger
from tasks.leftovers import Note, Verdict, judge
from tasks.overtaken import unless_overtaken
from tasks.partial import partial_file
from tasks.settings import get_settings
from tasks.show.contract import PROVIDER
from tasks.show.record import ShowManifest, ShowRecord, booked, manifest_of
from tasks.show.rooms import NOT_ENDED
from tasks.show.unanswered import stream_id_of
from tasks.step import step

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

SETTLED_AFTER = timedelta(seconds=15)
"""A show that has closed its stream writes down how it ended within this; before, its file may lack that."""
KEEP_SECONDS = 2.0
"""A killed show's record lacks no more than this."""

log = logging.getLogger("studio.show")


def show_prefix(render_key: str) -> str:
    """Where in the archive the record of a show lies."""
    return f"shows/{render_key[:2]}/{render_key}"


def record_file(render_key: str) -> Path:
    """Where the record of a show waits on this machine until it is in the archive."""
    return _folder() / f"{render_key}.json"


async def keep_record(manifest: ShowManifest) -> None:
    """Keep a record on this machine; where even that fails, the archive may take it all the same."""
    path, body = record_file(manifest.render_key), manifest.model_dump_json(indent=2).encode()
    try:
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        async with partial_file(path, len(body)) as part:
            await part.add(body)
    except (OSError, StudioError) as error:
        log.warning("record not kept on this machine run=%s error=%s", manifest.run_id, error)


async def keep_as_it_happens(record: ShowRecord, entry: Entry) -> None:
    """Keep the record of a show that is on air, for the case that its process is killed; never returns."""
    kept = -1
    while True:
        if record.changes != kept:
            kept = record.changes
            await keep_record(manifest_of(record, entry, run_id=entry.reserved_by, stream_id=stream_id_of(entry)))
        await asyncio.sleep(KEEP_SECONDS)


async def archive_show(ledger: "Ledger", entry: Entry, manifest: ShowManifest) -> str:
    """Bring a record into the archive and note in the ledger where it is; returns its s3:// address.

    Its file on this machine goes, unless the stream has not ended for the ledger: then the record lacks its end, and
    `archive_left_records` completes it.

    Raises:
        StorageError: the object store does not answer or refuses.
        StudioError: the ledger is away.
    """
    store = await load_store(get_settings().storage_block)
    key = f"{show_prefix(manifest.render_key)}/show.json"
    body = manifest.model_dump_json(indent=2).encode()
    await store.put_bytes(store.archive_bucket, key, body, content_type="application/json")
    location = f"s3://{store.archive_bucket}/{key}"
    if entry.state is State.SUCCEEDED:
        change = ledger.mark_archived(entry.id, location, owner=manifest.run_id)
        await unless_overtaken(change, done={State.ARCHIVED})
    if entry.state not in NOT_ENDED:
        await asyncio.to_thread(record_file(manifest.render_key).unlink, missing_ok=True)
    log.info("show archived run=%s uri=%s cues=%d", manifest.run_id, location, len(manifest.cues))
    return location


@step("archive records that were left")
async def archive_left_records(until: float) -> list[Note]:
    """Bring into the archive what shows on this machine could not, once their streams have ended for certain.

    Args:
        until: no record is begun after this moment of ``time.monotonic()``; the next pass goes on.

    Returns:
        A line for each record that was archived, or could not be.

    Raises:
        StudioError: the ledger cannot be opened.
    """
    left = await asyncio.to_thread(lambda: sorted(_folder().glob("*.json")))
    notes: list[Note] = []
    if not left:
        return notes
    async with open_ledger() as ledger:
        for path in left:
            if time.monotonic() > until:
                break
            notes += await _archive_left(ledger, path)
    return notes


async def _archive_left(ledger: "Ledger", path: Path) -> list[Note]:
    what = path.stem[:12]
    facts = {"what": what, "provider": PROVIDER, "title": ""}
    try:
        manifest = await _read(path)
        facts["title"] = manifest.title
        entry = await ledger.find_order(PROVIDER, manifest.stream_id)
        if entry is None:
            told = f"the ledger knows no stream {manifest.stream_id}, of which {path} is the record."
            return [Note(**facts, verdict=Verdict.PERSON, done=told, next_step="Move the file away, or delete it.")]
        if entry.state in NOT_ENDED or datetime.now(UTC) - entry.updated_at < SETTLED_AFTER:
            return []
        # Once more, as its show may have ended between the first look and the ledger's answer.
        manifest = await _read(path)
        location = await archive_show(ledger, entry, manifest.model_copy(update=booked(entry)))
    except FileNotFoundError:
        # Its show has archived it meanwhile.
        return []
    except (OSError, ValidationError) as error:
        told, fix = f"the record {path} cannot be read ({type(error).__name__}).", "Mend it, or delete it."
        return [Note(**facts, verdict=Verdict.PERSON, done=told, next_step=fix)]
    except StudioError as error:
        verdict, told, next_step = judge(error, "record")
        return [Note(**facts, verdict=verdict, done=f"its record waits in {path}: {told}", next_step=next_step)]
    return [Note(**facts, verdict=Verdict.DONE, state=entry.state, done=f"its record is archived: {location}")]


async def _read(path: Path) -> ShowManifest:
    return ShowManifest.model_validate_json(await asyncio.to_thread(path.read_bytes))


def _folder() -> Path:
    return get_settings().root / "shows"
