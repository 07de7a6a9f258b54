"""Hand the finished video out: delivered file, poster and manifest in the archive, and what the run's page shows."""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from tasks.archive import ArchivedRender
from tasks.blocks import load_store
from tasks.delivery import Delivery
from tasks.finished import FinishedVideo
from tasks.inspect import Inspection
from tasks.manifest import FileRecord, Manifest, delivery_prefix, price_of, speech_seconds_of
from tasks.plan import RenderPlan
from tasks.poster import write_poster
from tasks.settings import get_settings
from tasks.showcase import show
from tasks.staging import split_reference
from tasks.step import step
from tasks.storage import ObjectMissing, ObjectStore

MANIFEST_LIMIT = 4 * 1024 * 1024
PUBLISHING_SECONDS = 60

log = logging.getLogger("studio.publish")


@step("archived already?")
async def find_finished(plans: Sequence[RenderPlan], delivery: Delivery) -> FinishedVideo | None:
    """The archived video of the first plan that has one with these labels, under the title of this delivery.

    None when there is none, or when a part of it is damaged or gone: it is then delivered anew from the original.
    """
    return await _find(await load_store(get_settings().storage_block), plans, delivery)


async def _find(store: ObjectStore, plans: Sequence[RenderPlan], delivery: Delivery) -> FinishedVideo | None:
    for plan in plans:
        key = f"{delivery_prefix(plan.render_key, delivery.labels)}/manifest.json"
        try:
            raw = await store.get_bytes(store.archive_bucket, key, limit=MANIFEST_LIMIT)
        except ObjectMissing:
            continue
        try:
            manifest = Manifest.model_validate_json(raw)
        except ValidationError as error:
            log.warning("unreadable manifest key=%s problems=%d", plan.render_key, error.error_count())
            continue
        if await _is_whole(store, manifest):
            return _linked(
                store, manifest.model_copy(update={"title": delivery.title, "tags": delivery.tags}), again=True
            )
        log.warning("manifest without its files key=%s uri=%s", plan.render_key, manifest.video.uri)
    return None


@step("finished by another run?")
async def await_finished(plans: Sequence[RenderPlan], delivery: Delivery) -> FinishedVideo | None:
    """Wait a while for the run that has archived this render to publish it; None when it does not."""
    store = await load_store(get_settings().storage_block)
    end, pause = time.monotonic() + PUBLISHING_SECONDS, 1.0
    while time.monotonic() < end:
        if finished := await _find(store, plans, delivery):
            return finished
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, 5)
    return None


@step("publish")
async def show_again(video: FinishedVideo) -> FinishedVideo:
    """Show an archived video on this run's page."""
    await show(video)
    return video


@step("publish")
async def publish_video(
    delivery: Delivery,
    plan: RenderPlan,
    record: ArchivedRender,
    inspection: Inspection,
    *,
    video: Path,
) -> FinishedVideo:
    """Store the delivered file and its poster, then the manifest, which makes the delivery count; then show it."""
    store = await load_store(get_settings().storage_block)
    prefix = delivery_prefix(plan.render_key, delivery.labels)
    delivered = await _deliver(store, delivery, record, video, prefix)
    poster = await asyncio.to_thread(write_poster, video, video.with_name("poster.jpg"))
    await store.put_file(store.archive_bucket, f"{prefix}/poster.jpg", poster, content_type="image/jpeg")
    manifest = Manifest(
        render_key=plan.render_key,
        title=delivery.title,
        tags=delivery.tags,
        provider=record.provider,
        account=record.account,
        job_id=record.job_id,
        payload=plan.payload,
        media=delivery.media,
        original=FileRecord(uri=record.uri, sha256=record.sha256, size=record.size, etag=record.etag),
        video=delivered,
        poster=f"s3://{store.archive_bucket}/{prefix}/poster.jpg",
        labels=delivery.labels,
        seconds=inspection.seconds,
        speech_seconds=speech_seconds_of(record, plan),
        width=inspection.width,
        height=inspection.height,
        fps=inspection.fps,
        inspection=inspection,
        provider_notes=record.notes,
        estimate=price_of(plan),
        rendered_at=record.archived_at,
        published_at=datetime.now(UTC),
    )
    body = manifest.model_dump_json(indent=2).encode()
    await store.put_bytes(store.archive_bucket, f"{prefix}/manifest.json", body, content_type="application/json")
    finished = _linked(store, manifest, again=False)
    await show(finished)
    return finished


async def _deliver(
    store: ObjectStore, delivery: Delivery, record: ArchivedRender, video: Path, prefix: str
) -> FileRecord:
    if not delivery.labels.visible:
        return FileRecord(uri=record.uri, sha256=record.sha256, size=record.size, etag=record.etag)
    key = f"{prefix}/video.mp4"
    written = await store.put_file(store.archive_bucket, key, video, content_type="video/mp4")
    digest = await asyncio.to_thread(_sha256, video)
    return FileRecord(uri=f"s3://{store.archive_bucket}/{key}", sha256=digest, size=written.size, etag=written.etag)


async def _is_whole(store: ObjectStore, manifest: Manifest) -> bool:
    """Whether the video is the one that was published, and its poster is there."""
    video = await store.head(*split_reference(manifest.video.uri))
    same = video is not None and (video.size, video.etag) == (manifest.video.size, manifest.video.etag)
    return same and await store.head(*split_reference(manifest.poster)) is not None


def _linked(store: ObjectStore, manifest: Manifest, *, again: bool) -> FinishedVideo:
    lifetime = timedelta(hours=get_settings().link_hours)
    name = re.sub(r"[\W_]+", "-", manifest.title.lower()).strip("-")[:60] or manifest.render_key[:12]
    bucket, prefix = store.archive_bucket, delivery_prefix(manifest.render_key, manifest.labels)
    return FinishedVideo(
        manifest=manifest,
        manifest_uri=f"s3://{bucket}/{prefix}/manifest.json",
        link=store.presign_get(*split_reference(manifest.video.uri), expires=lifetime, download_name=f"{name}.mp4"),
        poster_link=store.presign_get(*split_reference(manifest.poster), expires=lifetime),
        links_expire_at=datetime.now(UTC) + lifetime,
        again=again,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
