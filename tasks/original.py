"""The untouched original of a render: from the provider into the archive, and back onto this machine."""

import logging
from pathlib import Path

from prefect import task

from tasks.archive import ArchivedRender, JobFacts, archive_video, find_in_store
from tasks.blocks import load_store
from tasks.errors import ResultExpired
from tasks.ledger import Entry, State, StateConflict
from tasks.ledger.opening import open_ledger
from tasks.providers.base import Provider, ResultFile
from tasks.providers.registry import get_provider
from tasks.settings import get_settings

ORIGINAL = "original.mp4"

log = logging.getLogger("studio.original")


@task(name="archive", task_run_name="archive")
async def archive_original(entry: Entry, result: ResultFile, folder: Path) -> ArchivedRender:
    """Bring a finished render into the archive and note it in the ledger; a dead link is asked for anew, once.

    Raises:
        DownloadBroken: the result is damaged; nothing was archived.
        ResultExpired: the provider no longer has it.
    """
    provider = get_provider(entry.provider)
    settings = get_settings()
    store = await load_store(settings.storage_block)

    async def keep(fresh: ResultFile) -> ArchivedRender:
        return await archive_video(
            provider,
            fresh,
            render_key=entry.render_key,
            store=store,
            folder=folder,
            facts=JobFacts(provider=entry.provider, account=entry.account, job_id=entry.job_id or ""),
            settings=settings,
        )

    try:
        record = await keep(result)
    except ResultExpired as expired:
        log.warning("result link expired, asking for a fresh one key=%s", entry.render_key)
        record = await keep(await _fresh_result(provider, entry, expired))
    await _note_archived(entry, record)
    return record


@task(name="original archived?", task_run_name="original archived?")
async def find_original(render_key: str) -> ArchivedRender | None:
    """The archived render of this key, None when there is none or only half of one.

    A run may have died after it archived and before it noted that in the ledger; this is noted now.
    """
    record = await find_in_store(await load_store(get_settings().storage_block), render_key)
    if record is not None:
        async with open_ledger() as ledger:
            entry = await ledger.find(render_key)
        if entry is not None and entry.state is State.SUCCEEDED:
            await _note_archived(entry, record)
    return record


@task(name="bring back", task_run_name="bring back")
async def bring_original(record: ArchivedRender, folder: Path) -> Path:
    """The original as a file on this machine; fetched from the archive unless this run has just put it there."""
    local = folder / ORIGINAL
    if not local.exists():
        settings = get_settings()
        store = await load_store(settings.storage_block)
        await store.get_file(record.bucket, record.key, local, limit=settings.max_result_bytes)
    return local


async def _fresh_result(provider: Provider, entry: Entry, expired: ResultExpired) -> ResultFile:
    status = await provider.query(entry.job_id or "")
    if status.result is None:
        raise expired
    return status.result


async def _note_archived(entry: Entry, record: ArchivedRender) -> None:
    async with open_ledger() as ledger:
        try:
            await ledger.mark_archived(entry.id, record.uri)
        except StateConflict as conflict:
            # Another run that waited for the same job was quicker.
            if conflict.actual is not State.ARCHIVED:
                raise
