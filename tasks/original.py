"""The untouched original of a render: from the provider into the archive, and back onto this machine."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from tasks.archive import ArchivedRender, JobFacts, archive_video, find_in_store
from tasks.blocks import load_store
from tasks.errors import DownloadBroken, ResultExpired, StudioError
from tasks.http import may_repeat_poll, patiently
from tasks.ledger import Entry, State
from tasks.ledger.opening import open_ledger
from tasks.overtaken import unless_overtaken
from tasks.plan import RenderPlan
from tasks.providers.base import JobStatus, Provider, ResultFile
from tasks.registry import provider_of
from tasks.settings import get_settings
from tasks.step import step

ORIGINAL = "original.mp4"
DOWNLOADS = 3
"""Times that a result is brought before it counts as damaged."""
AGAIN_SECONDS = 5.0
ASKING_SECONDS = 60

log = logging.getLogger("studio.original")


@step("archive")
async def archive_original(entry: Entry, result: ResultFile | None, folder: Path) -> ArchivedRender:
    """Bring a finished render into the archive and note it in the ledger.

    A dead link or a damaged file is asked for anew, twice: links expire, and what arrives broken may be whole the
    next time.

    Args:
        entry: the submission.
        result: where the result is; None to ask the provider, should the archive not have it.
        folder: room for one copy on this machine.

    Raises:
        DownloadBroken: the result is damaged; nothing was archived.
        ResultExpired: the provider no longer has it.
    """
    provider = await provider_of(entry)
    settings = get_settings()
    store = await load_store(settings.storage_block)
    if result is None:
        if record := await find_in_store(store, entry.render_key):
            await _note_archived(entry, record)
            return record
        result = await _fresh_result(provider, entry, _gone(entry))
    for attempt in range(1, DOWNLOADS + 1):
        try:
            record = await archive_video(
                provider,
                result,
                render_key=entry.render_key,
                store=store,
                folder=folder,
                facts=JobFacts(provider=entry.provider, account=entry.account, job_id=entry.job_id or ""),
                settings=settings,
            )
        except (ResultExpired, DownloadBroken) as error:
            log.warning("result not usable attempt=%d key=%s error=%s", attempt, entry.render_key, error)
            if attempt == DOWNLOADS:
                await _let_go(entry)
                raise
            await asyncio.sleep(AGAIN_SECONDS * (attempt - 1))
            result = await _fresh_result(provider, entry, error)
        else:
            await _note_archived(entry, record)
            return record
    raise AssertionError("the last attempt returns or raises")


@step("original archived?")
async def find_original(plans: Sequence[RenderPlan]) -> ArchivedRender | None:
    """The archived render of the first plan that has one, None when there is none or only half of one.

    A run may have died after it archived and before it noted that in the ledger; this is noted now.
    """
    store = await load_store(get_settings().storage_block)
    for plan in plans:
        if record := await find_in_store(store, plan.render_key):
            async with open_ledger() as ledger:
                entry = await ledger.find(plan.render_key)
            if entry is not None and entry.state is State.SUCCEEDED:
                await _note_archived(entry, record)
            return record
    return None


@step("bring back")
async def bring_original(record: ArchivedRender, folder: Path) -> Path:
    """The original as a file on this machine; fetched from the archive unless this run has just put it there."""
    local = folder / ORIGINAL
    if not local.exists():
        settings = get_settings()
        store = await load_store(settings.storage_block)
        await store.get_file(record.bucket, record.key, local, limit=settings.max_result_bytes)
    return local


async def _fresh_result(provider: Provider, entry: Entry, error: StudioError) -> ResultFile:
    status: JobStatus = await patiently(may_repeat_poll, seconds=ASKING_SECONDS)(provider.query, entry.job_id or "")
    if status.result is None:
        raise error
    return status.result


async def _let_go(entry: Entry) -> None:
    """Whoever comes next need not wait for this run."""
    async with open_ledger() as ledger:
        await ledger.let_go(entry.id, (await ledger.get(entry.id)).owner)


def _gone(entry: Entry) -> ResultExpired:
    return ResultExpired(
        f"{entry.provider} has no result of job {entry.job_id} any more.",
        provider=entry.provider,
        job_id=entry.job_id or "",
        fix="If its console has none either, end it: studio settle KEY --abandon.",
    )


async def _note_archived(entry: Entry, record: ArchivedRender) -> None:
    async with open_ledger() as ledger:
        # Another run that waited for the same job may have been quicker.
        await unless_overtaken(ledger.mark_archived(entry.id, record.uri), done={State.ARCHIVED})
