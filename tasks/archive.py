"""Bring a finished render into the archive, where it is found again by its render key.

The video goes to a bounded file on this machine first and not straight on: it must decode to its end before anything
of it shows in the archive. ``render.json`` is written last and makes the render count; without it there is no hit.
"""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.download import download_result
from tasks.errors import DownloadBroken
from tasks.partial import WholeFile
from tasks.providers.base import Provider, ResultFile
from tasks.quality.decode import verify_playable
from tasks.settings import StudioSettings
from tasks.sniff import HEAD_BYTES, file_type
from tasks.storage import ObjectFacts, ObjectMissing, ObjectStore

VERSION = 1
RECORD_LIMIT = 1024 * 1024
DOWNLOAD_SECONDS = 3600

log = logging.getLogger("studio.archive")


class JobFacts(BaseModel):
    """Whose job a result is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    account: str
    job_id: str


class ArchivedRender(BaseModel):
    """The untouched result of a render, as it lies in the archive."""

    model_config = ConfigDict(frozen=True)

    version: int = VERSION
    render_key: str
    bucket: str
    key: str
    sha256: str
    size: int = Field(description="Bytes.")
    etag: str
    provider: str
    account: str
    job_id: str
    seconds: float = Field(description="Decoded duration.")
    speech_seconds: float | None = Field(None, description="Length of the speech, where the provider says it.")
    notes: list[str] = Field(default_factory=list, description="What the provider remarked, for people.")
    archived_at: datetime

    @property
    def uri(self) -> str:
        """Address of the video."""
        return f"s3://{self.bucket}/{self.key}"


def video_key(render_key: str) -> str:
    """Key of the untouched video in the archive bucket."""
    return f"renders/{render_key[:2]}/{render_key}/original.mp4"


def record_key(render_key: str) -> str:
    """Key of the record that makes a render count."""
    return f"renders/{render_key[:2]}/{render_key}/render.json"


async def archive_video(
    provider: Provider,
    result: ResultFile,
    *,
    render_key: str,
    store: ObjectStore,
    folder: Path,
    facts: JobFacts,
    settings: StudioSettings,
) -> ArchivedRender:
    """Download a result, make sure that it is whole, and keep it in the archive. Doing it again changes nothing.

    Args:
        provider: who holds the result.
        result: where it is, and what is announced about it.
        render_key: address in the archive.
        store: the object store.
        folder: room for one copy on this machine, which is kept as ``original.mp4``.
        facts: whose job it is.
        settings: caps.

    Raises:
        DownloadBroken: damaged, short, or not as announced; nothing was archived.
        ResultExpired: the provider's link is dead; query again for a fresh one.
        StorageError: the object store does not answer or changed the bytes.
    """
    there = await find_in_store(store, render_key)
    if there is not None:
        log.info("already archived key=%s", render_key)
        return there
    local = await download_result(
        lambda offset: provider.read_result(result, offset),
        folder / "original.mp4",
        what=f"the result of {facts.provider} job {facts.job_id}",
        max_bytes=settings.max_result_bytes,
        deadline=DOWNLOAD_SECONDS,
        expect_size=result.size,
        expect_md5=result.md5,
    )
    seconds = await asyncio.to_thread(_check_video, local.path, facts)
    written = await store.put_file(
        store.archive_bucket,
        video_key(render_key),
        local.path,
        content_type="video/mp4",
        metadata={"sha256": local.sha256, "render-key": render_key},
    )
    return await _commit(store, render_key, local=local, written=written, result=result, facts=facts, seconds=seconds)


def _check_video(path: Path, facts: JobFacts) -> float:
    """Decode all of it; returns its length in seconds. Only an MP4 reaches the decoder, never a playlist."""
    with path.open("rb") as file:
        found = file_type(file.read(HEAD_BYTES))
    if found.demuxer != "mov" or found.kind != "video":
        raise DownloadBroken(
            f"{facts.provider} job {facts.job_id} delivered {found.name} instead of an MP4 video.",
            fix="Run the same request again to download it once more; nothing was archived.",
        )
    try:
        decoded = verify_playable(path)
    except DownloadBroken as error:
        raise DownloadBroken(
            f"{facts.provider} job {facts.job_id} delivered a video that is damaged: {error.message}",
            fix="Run the same request again to download it once more; nothing was archived.",
        ) from error
    return max(decoded.video_seconds, decoded.audio_seconds or 0.0)


async def _commit(
    store: ObjectStore,
    render_key: str,
    *,
    local: WholeFile,
    written: ObjectFacts,
    result: ResultFile,
    facts: JobFacts,
    seconds: float,
) -> ArchivedRender:
    """Write the record, which makes the render count."""
    record = ArchivedRender(
        render_key=render_key,
        bucket=written.bucket,
        key=written.key,
        sha256=local.sha256,
        size=local.size,
        etag=written.etag,
        provider=facts.provider,
        account=facts.account,
        job_id=facts.job_id,
        seconds=seconds,
        speech_seconds=result.speech_seconds,
        notes=result.notes,
        archived_at=datetime.now(UTC),
    )
    body = record.model_dump_json(indent=2).encode()
    await store.put_bytes(store.archive_bucket, record_key(render_key), body, content_type="application/json")
    log.info("render archived key=%s uri=%s size=%d seconds=%.2f", render_key, record.uri, record.size, seconds)
    return record


async def find_in_store(store: ObjectStore, render_key: str) -> ArchivedRender | None:
    """The archived render of this key, None unless its record and its whole video are there.

    Raises:
        StorageError: the object store does not answer or denies access; that is not the same as absent.
    """
    try:
        body = await store.get_bytes(store.archive_bucket, record_key(render_key), limit=RECORD_LIMIT)
        record = ArchivedRender.model_validate_json(body)
    except ObjectMissing:
        return None
    except ValidationError as error:
        log.warning("unreadable archive record key=%s problems=%d", render_key, error.error_count())
        return None
    video = await store.head(record.bucket, record.key)
    if video is None or (video.size, video.etag) != (record.size, record.etag):
        log.warning("archive record without its video key=%s uri=%s", render_key, record.uri)
        return None
    return record
