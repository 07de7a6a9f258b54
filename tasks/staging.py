"""Put local files where a request can name them and a provider can fetch them: the staging bucket."""

import asyncio
import hashlib
import logging
import mimetypes
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.sniff import HEAD_BYTES, file_type
from tasks.storage import ObjectStore

log = logging.getLogger("studio.staging")


def split_reference(reference: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``; the key is taken literally, signs such as % and ? included."""
    bucket, _, key = reference.removeprefix("s3://").partition("/")
    return bucket, key


async def stage_file(store: ObjectStore, path: Path) -> str:
    """Upload a local file to the staging bucket, where requests can name it as ``s3://staging/...``.

    The key is the digest of the content, so a file is sent once and used again until its expiry comes near.

    Raises:
        OSError: the file cannot be read.
        StorageError: the object store does not answer or refuses.
    """
    sha256, extension = await asyncio.to_thread(_identify, path)
    bucket, key = store.staging_bucket, f"uploads/{sha256}.{extension}"
    there = await store.head(bucket, key)
    # Half of its life left is more than any render may wait.
    fresh_since = datetime.now(UTC) - timedelta(days=store.staging_days) / 2
    if there is not None and there.modified is not None and there.modified > fresh_since:
        log.info("staged file used again key=%s", key)
    else:
        # Providers fetch it by this key, and some look at the type.
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        await store.put_file(bucket, key, path, content_type=kind, metadata={"sha256": sha256, "name": path.name[:200]})
    return f"s3://{bucket}/{key}"


def _identify(path: Path) -> tuple[str, str]:
    """Digest and canonical extension of a file."""
    with path.open("rb") as file:
        found = file_type(file.read(HEAD_BYTES))
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest(), found.extension or "bin"
