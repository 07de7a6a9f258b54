"""Writes and copies that happen only under a condition, in the headers that plain S3 knows for it."""

import hashlib
import itertools
from collections.abc import Mapping

from minio.commonconfig import REPLACE, CopySource
from minio.error import S3Error

from tasks.errors import StorageError
from tasks.storage.calls import Calls
from tasks.storage.client import S3Client
from tasks.storage.failures import ObjectChanged
from tasks.storage.upload import md5_header

_PROBE = ".studio/honours-if-none-match"


class ConditionalWrites:
    """Conditional calls of one store.

    Args:
        client: the SDK.
        calls: the retry loop.
    """

    def __init__(self, client: S3Client, calls: Calls) -> None:
        self._client = client
        self._calls = calls
        self._honouring: set[str] = set()

    async def put_if_absent(self, bucket: str, key: str, body: bytes) -> bool:
        """Write unless the key exists; see ``ObjectStore.put_if_absent``."""
        if bucket not in self._honouring:
            await self._put(bucket, _PROBE, b"")
            if await self._put(bucket, _PROBE, b""):
                raise StorageError(
                    f"cannot claim s3://{bucket}/{key}: the object store at {self._calls.endpoint} ignores "
                    "If-None-Match.",
                    fix="Use a store with conditional writes, such as SeaweedFS, MinIO or AWS.",
                )
            self._honouring.add(bucket)
        return await self._put(bucket, key, body)

    async def _put(self, bucket: str, key: str, body: bytes) -> bool:
        digest = hashlib.md5(body, usedforsecurity=False)
        headers = {"If-None-Match": "*", "Content-MD5": md5_header(digest.digest())}
        attempts = itertools.count(1)

        def put() -> bool:
            attempt = next(attempts)
            try:
                self._client.put(bucket, key, body, dict(headers))
            except S3Error as error:
                if error.code != "PreconditionFailed":
                    raise
                there = self._client.written(bucket, key) if attempt > 1 else None
                return there is not None and there.etag == digest.hexdigest()
            return True

        return await self._calls.run("claim", f"s3://{bucket}/{key}", put)

    async def copy_if_same(self, bucket: str, key: str, to_key: str, etag: str, headers: Mapping[str, str]) -> None:
        """Copy while the source has this ETag; see ``ObjectStore.copy``."""
        where = f"s3://{bucket}/{key}"

        def copy() -> bool:
            source = CopySource(bucket, key, match_etag=f'"{etag}"')
            try:
                self._client.copy_object(bucket, to_key, source, metadata=dict(headers), metadata_directive=REPLACE)
            except S3Error as error:
                if error.code != "PreconditionFailed":
                    raise
                return False
            return True

        if not await self._calls.run("copy", where, copy):
            raise ObjectChanged(f"{where} was replaced while it was copied.", fix="Look at it again.")
