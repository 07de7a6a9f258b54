"""Bring the media of a request to this machine."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.blocks import load_store
from tasks.errors import MediaRefused, Problem, StorageError
from tasks.http import FetchRefused, FetchRules, fetch_public
from tasks.models import ClipAvatar, PortraitAvatar, RecordingSpeech, RenderRequest
from tasks.probe import MediaField, probe_media
from tasks.providers.base import MediaRole, ProbedMedia
from tasks.settings import StudioSettings, get_settings
from tasks.staging import split_reference
from tasks.step import step
from tasks.storage import ObjectMissing, ObjectStore

log = logging.getLogger("studio.media")


class WantedMedia(NamedTuple):
    """One media file that a request names."""

    role: MediaRole
    field: MediaField
    reference: str
    max_bytes: int


@step("fetch media")
async def fetch_media(request: RenderRequest, folder: Path) -> dict[MediaRole, ProbedMedia]:
    """Fetch and probe all files that a request names, at the same time.

    Args:
        request: who speaks and what is said.
        folder: where the files go, for the life of the run.

    Raises:
        MediaRefused: naming everything that is wrong with any of the files.
        StorageError: the object store does not answer or denies access.
    """
    wanted = wanted_media(request)
    outcomes = await asyncio.gather(
        *(bring_media(item, folder / f"{item.role}.media") for item in wanted), return_exceptions=True
    )
    refusals: list[MediaRefused] = []
    found: dict[MediaRole, ProbedMedia] = {}
    for outcome in outcomes:
        if isinstance(outcome, MediaRefused):
            refusals.append(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            found[outcome.role] = outcome
    if refusals:
        raise refused_together(refusals)
    return found


def refused_together(refusals: Sequence[MediaRefused]) -> MediaRefused:
    """All refusals of one request as one; it passes only if each of them does."""
    problems = [problem for refusal in refusals for problem in refusal.problems]
    return MediaRefused(problems, passing=all(refusal.passing for refusal in refusals))


def wanted_media(request: RenderRequest) -> list[WantedMedia]:
    """The media files that a request names."""
    settings = get_settings()
    wanted = []
    if isinstance(request.avatar, PortraitAvatar):
        wanted.append(WantedMedia("avatar", "avatar.image", request.avatar.image, settings.max_image_bytes))
    if isinstance(request.avatar, ClipAvatar):
        wanted.append(WantedMedia("avatar", "avatar.video", request.avatar.video, settings.max_video_bytes))
    if isinstance(request.speech, RecordingSpeech):
        wanted.append(WantedMedia("speech", "speech.audio", request.speech.audio, settings.max_audio_bytes))
    return wanted


async def bring_media(item: WantedMedia, path: Path) -> ProbedMedia:
    """Fetch and probe one file.

    Raises:
        MediaRefused: naming everything that is wrong with the file.
        StorageError: the object store does not answer or denies access.
    """
    settings = get_settings()
    if item.reference.startswith("s3://"):
        await _bring_object(item, path, await load_store(settings.storage_block), settings)
    else:
        await _bring_link(item, path, settings)
    return await probe_media(path, item.role, item.reference, settings, field=item.field)


async def _bring_object(item: WantedMedia, path: Path, store: ObjectStore, settings: StudioSettings) -> None:
    bucket, key = split_reference(item.reference)
    if bucket not in settings.readable_buckets:
        allowed = ", ".join(sorted(settings.readable_buckets))
        raise _refused(item, f"the bucket {bucket!r} may not be read from.", f"Put the file into one of {allowed}.")
    try:
        async with asyncio.timeout(settings.fetch_timeout_seconds):
            facts = await store.head(bucket, key)
            if facts is not None and facts.size > item.max_bytes:
                raise _refused(
                    item, f"the file has {facts.size} bytes; the limit is {item.max_bytes}.", "Use a smaller file."
                )
            await store.get_file(bucket, key, path, limit=item.max_bytes)
    except ObjectMissing:
        raise _refused(
            item, f"{item.reference} does not exist.", "Upload it, or check the spelling of bucket and key."
        ) from None
    except TimeoutError:
        raise StorageError(
            f"{item.reference} did not arrive within {settings.fetch_timeout_seconds:g} s.",
            fix="Check the object store with `studio doctor`, or raise STUDIO_FETCH_TIMEOUT_SECONDS.",
        ) from None


async def _bring_link(item: WantedMedia, path: Path, settings: StudioSettings) -> None:
    rules = FetchRules(max_bytes=item.max_bytes, allow_private=settings.private_media_hosts)
    try:
        await fetch_public(item.reference, path, rules=rules, deadline=settings.fetch_timeout_seconds)
    except FetchRefused as error:
        raise _refused(item, error.message, error.fix, passing=error.passing) from error


def _refused(item: WantedMedia, wrong: str, fix: str, *, passing: bool = False) -> MediaRefused:
    return MediaRefused([Problem(item.field, wrong, fix)], passing=passing)
