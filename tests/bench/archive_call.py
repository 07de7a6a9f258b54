"""The archive step's plain function on a result that lies behind a link, called in a process of its own."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import httpx

from tasks.archive import JobFacts, archive_video
from tasks.providers.base import Provider, ResultFile
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
