"""The studio's view of an object store: whole objects in and out, checked, repeated through short outages."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from minio.error import S3Error
from tenacity import retry, retry_if_exception, stop_after_attempt

from tasks.errors import StorageError
from tasks.partial import partial_file
from tasks.storage.calls import Calls
from tasks.storage.client import S3Client, Written, make_pool
from tasks.storage.conditional import ConditionalWrites
from tasks.storage.facts import FetchedObject, ObjectFacts, download_headers, facts_of, object_headers
from tasks.storage.failures import ObjectMissing, code_of, is_lost_upload, is_unsupported
from tasks.storage.reading import read_object
from tasks.storage.upload import FileUpload

LISTED_AT_ONCE = 1000

log = logging.getLogger("studio.storage")


class ObjectStore:
    """A client of one object store. Safe to share between coroutines.

    Args:
        endpoint: host:port that calls go to.
        secure: speak HTTPS to it.
        public_endpoint: address that links are signed for, as https://host; empty takes the endpoint.
        staging_days: days after which staged media may be deleted.
        retry_seconds: how long a call is repeated while the store does not answer.

    All methods raise ``StorageError``; for a missing object or bucket its subclass ``ObjectMissing``.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        access_key: str,
        secret_key: str,
        secure: bool = True,
        region: str = "us-east-1",
        public_endpoint: str = "",
        archive_bucket: str = "archive",
        staging_bucket: str = "staging",
        staging_days: int = 7,
        retry_seconds: float = 60,
    ) -> None:
        self.endpoint = endpoint
        self.archive_bucket = archive_bucket
        self.staging_bucket = staging_bucket
        self.staging_days = staging_days
        self._calls = Calls(endpoint, retry_seconds)
        self._client = S3Client(endpoint, access_key, secret_key, secure=secure, region=region, http_client=make_pool())
        self.public_address = public_endpoint or f"{'https' if secure else 'http'}://{endpoint}"
        """Where the links of ``presign_get`` lead."""
        public = urlsplit(self.public_address)
        # A link is signed for one host and cannot be rewritten afterwards; this client never connects.
        self._signer = S3Client(public.netloc, access_key, secret_key, secure=public.scheme == "https", region=region)
        self._conditional = ConditionalWrites(self._client, self._calls)

    async def ensure_bucket(self, bucket: str, *, versioned: bool = False, expire_days: int | None = None) -> None:
        """Make a bucket with versioning or expiry, or bring an existing one to that state.

        A store that offers neither, such as a MinIO gateway, is used without; the log says so.
        """

        def make() -> None:
            if not self._client.bucket_exists(bucket):
                self._client.make_bucket(bucket)

        try:
            await self._calls.run("make", f"bucket {bucket}", make)
        except StorageError as error:
            # Somebody else made it between the two calls, or an earlier answer was lost.
            if code_of(error.__cause__) != "BucketAlreadyOwnedByYou":
                raise
        wishes = []
        if versioned:
            wishes.append(("keep versions in", lambda: self._client.keep_versions(bucket)))
        if expire_days is not None:
            wishes.append(("expire objects in", lambda: self._client.expire_after(bucket, expire_days)))
        for doing, wish in wishes:
            try:
                await self._calls.run(doing, f"bucket {bucket}", wish)
            except StorageError as error:
                if not is_unsupported(error.__cause__):
                    raise
                log.warning("object store cannot %s bucket=%s endpoint=%s", doing, bucket, self.endpoint)

    async def head(self, bucket: str, key: str) -> ObjectFacts | None:
        """Facts about an object, None when it or its bucket does not exist."""

        def stat() -> ObjectFacts | None:
            try:
                return facts_of(bucket, self._client.stat_object(bucket, key))
            except S3Error as error:
                if error.code not in {"NoSuchKey", "NoSuchBucket"}:
                    raise
                return None

        return await self._calls.run("look up", _where(bucket, key), stat)

    async def put_bytes(
        self,
        bucket: str,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectFacts:
        """Write a small object; the server checks its MD5 and its ETag is compared."""
        headers = object_headers(content_type, metadata)
        where = _where(bucket, key)
        with self._calls.explained("write", where):
            written = await FileUpload(self._client, self._calls, bucket, key, headers).send_bytes(body)
        return ObjectFacts(
            bucket=bucket,
            key=key,
            size=len(body),
            etag=written.etag,
            content_type=content_type,
            metadata=dict(metadata or {}),
            version_id=written.version_id,
        )

    async def put_file(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectFacts:
        """Write a file of any size with two parts in memory; it appears complete or not at all.

        Every part's MD5 is checked by the server, and the ETag of the whole is compared with the bytes read.
        """
        headers = object_headers(content_type, metadata)
        where = _where(bucket, key)
        size = (await asyncio.to_thread(path.stat)).st_size

        # A crash of the store may lose an upload in the making; the file is still here.
        @retry(retry=retry_if_exception(is_lost_upload), stop=stop_after_attempt(3), reraise=True)
        async def send() -> Written:
            return await FileUpload(self._client, self._calls, bucket, key, headers).send(path, size)

        with self._calls.explained("write", where):
            written = await send()
        log.info("object written object=%s bytes=%d etag=%s", where, size, written.etag)
        return ObjectFacts(
            bucket=bucket,
            key=key,
            size=size,
            etag=written.etag,
            content_type=content_type,
            metadata=dict(metadata or {}),
            version_id=written.version_id,
        )

    async def put_if_absent(self, bucket: str, key: str, body: bytes) -> bool:
        """Write a small object unless the key exists; exactly one of several writers gets True.

        The body must differ between writers: after a lost answer it tells whose write it was.

        Raises:
            StorageError: also when the store ignores the condition; nothing is written to the key then.
        """
        return await self._conditional.put_if_absent(bucket, key, body)

    async def copy(
        self, bucket: str, key: str, to_key: str, *, etag: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Copy an object of up to 5 GiB within its bucket, inside the store, while it has this ETag.

        The copy keeps the content type and gets the metadata that is given here instead of its own.

        Raises:
            ObjectChanged: the object has another ETag now; nothing is copied.
        """
        found = await self.head(bucket, key)
        if found is None:
            raise ObjectMissing(f"{_where(bucket, key)} does not exist.", fix="Check its name.")
        headers = object_headers(found.content_type or "application/octet-stream", metadata)
        await self._conditional.copy_if_same(bucket, key, to_key, etag, headers)

    async def get_bytes(self, bucket: str, key: str, *, limit: int) -> bytes:
        """Read a small object.

        Raises:
            StorageError: also when it is larger than ``limit`` bytes.
        """
        body = bytearray()
        async for chunk in self.stream(bucket, key):
            body += chunk
            if len(body) > limit:
                raise _too_large(bucket, key, limit)
        return bytes(body)

    async def get_file(self, bucket: str, key: str, path: Path, *, limit: int) -> FetchedObject:
        """Copy an object to a file, hashed on the way; the name appears when the copy is complete.

        Raises:
            StorageError: also when it is larger than ``limit`` bytes.
        """
        facts = await self.head(bucket, key)
        if facts is None:
            raise ObjectMissing(f"{_where(bucket, key)} does not exist.", fix="Check its name.")
        if facts.size > limit:
            raise _too_large(bucket, key, limit)
        async with partial_file(path, limit) as file:
            async for chunk in self.stream(bucket, key):
                await file.add(chunk)
        return FetchedObject(path, file.size, file.sha256, facts.etag)

    async def stream(self, bucket: str, key: str, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield an object's bytes from an offset, at most 1 MiB each; a cut connection is resumed where it broke.

        An offset at or beyond the end yields nothing.
        """
        async with contextlib.aclosing(read_object(self._client, self._calls, bucket, key, offset)) as chunks:
            async for chunk in chunks:
                yield chunk

    def presign_get(self, bucket: str, key: str, *, expires: timedelta, download_name: str | None = None) -> str:
        """A link to an object for anyone who has it, valid for at most 7 days, on the public endpoint.

        Needs no connection. With ``download_name`` browsers save the object under that name instead of showing it.
        """
        return self._signer.presigned_get_object(
            bucket,
            key,
            expires=expires,
            response_headers=dict(download_headers(download_name)) if download_name else None,
        )

    async def list_objects(self, bucket: str, prefix: str = "") -> AsyncIterator[ObjectFacts]:
        """Yield all objects below a prefix in the order of their keys, without metadata."""
        last = None
        while True:

            def page(after: str | None = last) -> list[ObjectFacts]:
                found = self._client.list_objects(bucket, prefix=prefix, recursive=True, start_after=after)
                return [facts_of(bucket, entry) for entry in itertools.islice(found, LISTED_AT_ONCE)]

            facts = await self._calls.run("list", f"s3://{bucket}/{prefix}", page)
            for entry in facts:
                yield entry
            if len(facts) < LISTED_AT_ONCE:
                return
            last = facts[-1].key

    async def delete(self, bucket: str, key: str) -> None:
        """Delete an object; already gone counts as done. A versioned bucket keeps the old version."""
        await self._calls.run("delete", _where(bucket, key), lambda: self._client.remove_object(bucket, key))

    async def abort_stale_uploads(self, bucket: str, older_than: timedelta) -> int:
        """Free the parts of uploads that were started long ago and never finished; returns how many."""
        border = datetime.now(UTC) - older_than

        def sweep() -> int:
            stale = [upload for upload in self._client.open_uploads(bucket) if upload.started < border]
            for upload in stale:
                self._client.abort_upload(bucket, upload.key, upload.upload_id)
            return len(stale)

        return await self._calls.run("sweep", f"bucket {bucket}", sweep)


def _where(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"


def _too_large(bucket: str, key: str, limit: int) -> StorageError:
    return StorageError(f"{_where(bucket, key)} is larger than {limit} bytes.", fix="Use a smaller file.")
