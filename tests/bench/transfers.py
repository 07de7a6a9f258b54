"""Ways to move one video, each called in a process of its own: the studio's, and the plain ones it is held against."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import httpx
from minio import Minio

from tasks.archive import JobFacts, archive_video
from tasks.providers.base import Provider, ResultFile
from tasks.quality.decode import verify_playable
from tasks.settings import StudioSettings
from tasks.storage import ObjectStore

CHUNK = 1024 * 1024


class HttpProvider:
    """A provider whose results are links."""

    async def read_result(self, result: ResultFile, offset: int = 0) -> AsyncIterator[bytes]:
        """Stream a link as the vendors' clients do."""
        if offset:
            raise ValueError("this server cannot start in the middle")
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            client.stream("GET", result.location) as response,
        ):
            response.raise_for_status()
            async for chunk in response.aiter_raw(CHUNK):
                yield chunk


def copy(*, url: str, folder: str) -> int:
    """Copy a link to a file, plainly; returns the bytes."""
    with (
        TemporaryDirectory(dir=folder) as scratch,
        httpx.stream("GET", url, trust_env=False, timeout=60) as response,
        (Path(scratch) / "copy.mp4").open("wb") as file,
    ):
        return sum(file.write(chunk) for chunk in response.raise_for_status().iter_raw(CHUNK))


def decode(*, path: str) -> int:
    """Decode a file to its end as the archive does; returns the pictures."""
    return verify_playable(Path(path)).frames


def upload(*, endpoint: str, access_key: str, secret_key: str, path: str) -> str:
    """Upload a file with the SDK's own call; returns its ETag."""
    client = Minio(endpoint, access_key, secret_key, secure=False)
    if not client.bucket_exists("plain"):
        client.make_bucket("plain")
    written = client.fput_object("plain", "huge.mp4", path, content_type="video/mp4")
    client.remove_object("plain", "huge.mp4")
    return written.etag or ""


async def archive(
    *,
    endpoint: str,
    access_key: str,
    secret_key: str,
    url: str,
    folder: str,
    size: int,
    md5: str,
    render_key: str,
) -> str:
    """Bring a link into the archive as a run does; returns the digest in the record."""
    store = ObjectStore(endpoint=endpoint, access_key=access_key, secret_key=secret_key, secure=False)
    await store.ensure_bucket("archive", versioned=True)
    with TemporaryDirectory(dir=folder) as scratch:
        record = await archive_video(
            cast(Provider, HttpProvider()),
            ResultFile(location=url, size=size, md5=md5),
            render_key=render_key,
            store=store,
            folder=Path(scratch),
            facts=JobFacts(provider="bench", account="bench", job_id=render_key[-4:]),
            settings=StudioSettings(),
        )
    return record.sha256
