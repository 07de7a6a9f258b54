"""What is done about rows that were left behind: give up, look, ask, archive, hand out.

Each step takes all rows of a pass and gives them back, so that a row that one step brings on is taken up by the next.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.archive import ArchivedRender, find_in_store
from tasks.blocks import load_store
from tasks.delivery import Delivery
from tasks.errors import JobUnknown, ProviderUnavailable, RenderFailed
from tasks.handout import hand_out
from tasks.ledger import LIVE_PROVIDERS, Entry, State
from tasks.ledger.opening import open_ledger
from tasks.leftovers import (
    Leftover,
    Note,
    Verdict,
    delivery_of_entry,
    how_long,
    judge,
    plan_of_entry,
    still_ambiguous,
    work_through,
)
from tasks.original import archive_original
from tasks.poll import note_outcome
from tasks.publish import find_finished
from tasks.registry import provider_of
from tasks.settings import get_settings
from tasks.settle import ambiguous, look_and_settle
from tasks.step import step

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

QUESTIONS_AT_ONCE = 4
STUCK = timedelta(hours=24)
"""A job that takes longer than this is shown to a person."""
PUBLISHED_WITHIN = timedelta(days=7)
"""How far back archived renders are looked at for videos that were never handed out."""
MOST_ARCHIVED = 5000
UNFINISHED_UPLOAD = timedelta(days=1)

log = logging.getLogger("studio.reconcile")


@step("give up old intents")
async def give_up_intents(rows: Sequence[Leftover], owner: str, until: float) -> list[Leftover]:
    """Cancel intents that nobody has submitted for so long; they hold a part of the budget."""
    hours = get_settings().reserved_hours

    async def give_up(ledger: "Ledger", row: Leftover) -> Leftover:
        reason = f"nothing was sent for {hours:g} h, so the intent was given up"
        entry = await ledger.mark_cancelled(
            row.entry.id, reason, charged=False, expected=State.RESERVED, owner=owner, since=row.entry.updated_at
        )
        return row.told(Verdict.DONE, reason, "Run the request again if the video is still wanted.", entry=entry)

    return await work_through(rows, {State.RESERVED}, give_up, until=until, at_once=1)


@step("look for the unanswered")
async def look_for_unanswered(rows: Sequence[Leftover], owner: str, until: float) -> list[Leftover]:
    """Settle submissions that got no answer by looking at the provider; what it cannot tell needs a person."""

    async def look(ledger: "Ledger", row: Leftover) -> Leftover:
        provider = await provider_of(row.entry)
        entry = await look_and_settle(ledger, provider, row.entry, owner)
        row = row.model_copy(update={"entry": entry})
        if entry.state is State.AMBIGUOUS:
            return still_ambiguous(row, ambiguous(entry))
        if entry.state is State.RESERVED:
            told = "the provider never had it; nothing was spent"
            return row.told(Verdict.DONE, told, "Run the request again, which submits it.")
        if entry.job_id is None:
            return row.told(Verdict.DONE, f"another run has moved it on to {entry.state}")
        return row.told(Verdict.WAITS, f"it was accepted as job {entry.job_id}")

    unanswered = {State.SUBMITTING, State.AMBIGUOUS}
    return await work_through(rows, unanswered, look, until=until, at_once=QUESTIONS_AT_ONCE)


@step("ask for the accepted")
async def ask_for_accepted(rows: Sequence[Leftover], owner: str, until: float) -> list[Leftover]:
    """Ask once how each accepted job is, and note the end of those that have ended."""

    async def ask(ledger: "Ledger", row: Leftover) -> Leftover:
        entry = row.entry
        provider = await provider_of(entry)
        try:
            status = await provider.query(entry.job_id or "")
        except ProviderUnavailable as error:
            await ledger.note_trouble(provider.name, provider.endpoint, error.message)
            raise
        except JobUnknown as error:
            if _age(entry) > how_long(None):
                denied = await ledger.mark_denied(entry.id, error.message, owner=owner)
                return still_ambiguous(row.model_copy(update={"entry": denied}), ambiguous(denied))
            return row.told(Verdict.WAITS, f"too new to be known there: {error.message}")
        await ledger.note_health(provider.name, provider.endpoint)
        if status.phase in {"queued", "running"}:
            # It counts as attended until the next pass.
            await ledger.set_next_poll(entry.id, datetime.now(UTC))
            return _still_running(row, status.word)
        try:
            await note_outcome(ledger, entry, status, owner)
        except RenderFailed as failed:
            return row.told(Verdict.DONE, failed.message, failed.fix, entry=await ledger.get(entry.id))
        return row.told(Verdict.WAITS, "the provider has finished it", entry=await ledger.get(entry.id))

    return await work_through(rows, {State.SUBMITTED}, ask, until=until, at_once=QUESTIONS_AT_ONCE)


def _still_running(row: Leftover, word: str) -> Leftover:
    entry, age = row.entry, _age(row.entry)
    if age < STUCK:
        return row.told(Verdict.WAITS, f"the provider says {word!r}")
    told = f"the provider has said {word!r} for {age.total_seconds() / 3600:.0f} h"
    way_out = f"Ask its support for job {entry.job_id}. To give it up: studio settle {entry.short_key} --abandon"
    return row.told(Verdict.PERSON, told, way_out)


def _age(entry: Entry) -> timedelta:
    return datetime.now(UTC) - (entry.submitted_at or entry.updated_at)


@step("finish the videos")
async def finish_videos(rows: Sequence[Leftover], folder: Path, until: float) -> list[Leftover]:
    """Archive what the providers have finished, and hand it out as its request asked."""

    async def finish(ledger: "Ledger", row: Leftover) -> Leftover:
        room = await _room(folder, row.entry)
        try:
            record = await archive_original(row.entry, None, room)
            row = row.model_copy(update={"entry": await ledger.get(row.entry.id)})
            return await _hand_out(row, record, room)
        finally:
            await asyncio.to_thread(shutil.rmtree, room, ignore_errors=True)

    return await work_through(rows, {State.SUCCEEDED}, finish, until=until, at_once=1)


@step("free unfinished uploads")
async def free_uploads() -> list[Note]:
    """Free the parts of uploads into both buckets that were begun more than a day ago and never finished."""
    try:
        store = await load_store(get_settings().storage_block)
        buckets = (store.archive_bucket, store.staging_bucket)
        freed = {bucket: await store.abort_stale_uploads(bucket, UNFINISHED_UPLOAD) for bucket in buckets}
    except Exception as error:  # noqa: BLE001 - reported with the rest
        verdict, told, next_step = judge(error, "uploads")
        return [Note(verdict=verdict, what="uploads", done=told, next_step=next_step)]
    return [
        Note(verdict=Verdict.DONE, what="uploads", done=f"{count} unfinished uploads into s3://{bucket} were freed")
        for bucket, count in freed.items()
        if count
    ]


@step("hand out the archived")
async def hand_out_archived(unattended_minutes: float | None, folder: Path, until: float) -> list[Leftover]:
    """Hand out what lately came into the archive and was never published, because its run died in between."""
    rows = await _unpublished(how_long(unattended_minutes), until)

    async def publish(_ledger: "Ledger", row: Leftover) -> Leftover:
        store = await load_store(get_settings().storage_block)
        record = await find_in_store(store, row.entry.render_key)
        if record is None:
            told = f"the ledger has it at {row.entry.location}, but the archive does not"
            return row.told(
                Verdict.PERSON, told, "Run the same request: it is fetched again while the provider has it."
            )
        room = await _room(folder, row.entry)
        try:
            return await _hand_out(row, record, room)
        finally:
            await asyncio.to_thread(shutil.rmtree, room, ignore_errors=True)

    return await work_through(rows, {State.ARCHIVED}, publish, until=until, at_once=1)


async def _unpublished(unattended: timedelta, until: float) -> list[Leftover]:
    """Lately archived rows without a manifest for the labels that they were asked with."""
    now = datetime.now(UTC)
    async with open_ledger() as ledger:
        archived = await ledger.archived_since(now - PUBLISHED_WITHIN, without=LIVE_PROVIDERS, limit=MOST_ARCHIVED)
    if len(archived) == MOST_ARCHIVED:
        log.warning("more archived rows than are looked at limit=%d", MOST_ARCHIVED)
    window = (now - PUBLISHED_WITHIN, now - unattended)
    lately = [row for row in archived if row.archived_at and window[0] < row.archived_at <= window[1]]
    slots = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def is_missing(entry: Entry) -> bool:
        delivery = delivery_of_entry(entry)
        if delivery is None:
            return False
        async with slots:
            return time.monotonic() < until and await find_finished.fn([plan_of_entry(entry)], delivery) is None

    missing = await asyncio.gather(*map(is_missing, lately))
    return [Leftover.of(entry) for entry, gone in zip(lately, missing, strict=True) if gone]


async def _hand_out(row: Leftover, record: ArchivedRender, room: Path) -> Leftover:
    """Publish an archived original, unless that has been done."""
    delivery: Delivery | None = delivery_of_entry(row.entry)
    if delivery is None:
        told = f"archived at {record.uri}; the ledger does not say how it is handed out"
        return row.told(Verdict.DONE, told, "Run the same request: it labels and publishes the video at no cost.")
    plan = plan_of_entry(row.entry)
    if finished := await find_finished.fn([plan], delivery):
        return row.told(Verdict.DONE, f"another run has finished it: {finished.manifest.video.uri}")
    video = await hand_out(record, plan, delivery, room)
    where = video.manifest.video.uri
    if failures := video.manifest.inspection.failures:
        told = "; ".join(f"{finding.what}: {finding.detail}" for finding in failures)
        return row.told(Verdict.PERSON, f"finished at {where}, but its checks failed: {told}", "Look at the video.")
    return row.told(Verdict.DONE, f"finished: {where}")


async def _room(folder: Path, entry: Entry) -> Path:
    """A folder for one row: whatever lies in it as the original is taken for this very video."""
    room = folder / str(entry.id)
    await asyncio.to_thread(room.mkdir)
    return room
