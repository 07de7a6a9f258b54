"""Bring a file into the store in bounded memory: two parts at a time, every byte checked by the server and by us."""

import asyncio
import base64
import contextlib
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from minio.error import S3Error

from tasks.errors import StorageError
from tasks.storage.calls import Calls
from tasks.storage.client import S3Client, Written
from tasks.storage.failures import SDK_ERRORS, is_lost_upload

T = TypeVar("T")
MIB = 1024 * 1024
PART_BYTES = 16 * MIB
MOST_PARTS = 9_000  # S3 allows 10,000
PARTS_IN_MEMORY = 2
PATIENCE_WHEN_CANCELLED = 10

log = logging.getLogger("studio.storage")


def md5_header(digest: bytes) -> str:
    """An MD5 in the form of the Content-MD5 header."""
    return base64.b64encode(digest).decode()


def part_size(size: int) -> int:
    """Bytes per part, so that the file stays under the limit of parts."""
    smallest = -(-size // MOST_PARTS)
    return max(PART_BYTES, -(-smallest // MIB) * MIB)


def check_etag(written: Written, expected: str, where: str) -> None:
    """Compare what the store says it has with what was read.

    Raises:
        StorageError: the bytes changed on the way.
    """
    if written.etag_is_md5 and written.etag != expected:
        raise StorageError(
            f"{where} arrived changed: the store answers ETag {written.etag}, expected {expected}.",
            fix="Run the same again; if it repeats, check the memory and disk of the object store.",
        )


class FileUpload:
    """One file on its way into one object.

    Args:
        client: the SDK's client.
        calls: runs blocking calls and repeats them while the store does not answer.
        headers: content type and metadata of the object.
    """

    def __init__(self, client: S3Client, calls: Calls, bucket: str, key: str, headers: Mapping[str, str]) -> None:
        self._client = client
        self._calls = calls
        self._bucket = bucket
        self._key = key
        self._headers = headers
        self._where = f"s3://{bucket}/{key}"

    async def send(self, path: Path, size: int) -> Written:
        """Send a file of so many bytes. The object appears complete or not at all.

        Raises:
            StorageError: the bytes arrived changed, or the file shrank meanwhile.
        """
        if size <= PART_BYTES:
            return await self.send_bytes(await asyncio.to_thread(path.read_bytes))
        upload_id = await self._start()
        try:
            return await self._send_parts(path, size, upload_id)
        except BaseException:
            await self._abort(upload_id)
            raise

    async def send_bytes(self, body: bytes) -> Written:
        """Send a small object in one request."""
        digest = hashlib.md5(body, usedforsecurity=False)
        headers = {**self._headers, "Content-MD5": md5_header(digest.digest())}
        written = await self._call("write", lambda: self._client.put(self._bucket, self._key, body, dict(headers)))
        check_etag(written, digest.hexdigest(), self._where)
        return written

    async def _start(self) -> str:
        """Begin the upload. A cancelled run still waits for the id, without which nobody could free the parts."""
        starting = asyncio.ensure_future(
            self._call(
                "start the upload of", lambda: self._client.start_upload(self._bucket, self._key, dict(self._headers))
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(TimeoutError, *SDK_ERRORS):
                await self._abort(await asyncio.wait_for(starting, PATIENCE_WHEN_CANCELLED))
            raise

    async def _send_parts(self, path: Path, size: int, upload_id: str) -> Written:
        step = part_size(size)
        count = -(-size // step)
        etags, digests = [""] * count, [b""] * count
        numbers = iter(range(count))

        async def work(waiting: Iterator[int]) -> None:
            for index in waiting:
                length = min(step, size - index * step)
                etags[index], digests[index] = await self._call(
                    f"write part {index + 1} of {count} of",
                    lambda: self._send_part(path, index * step, length, upload_id, index + 1),  # noqa: B023 - awaited at once
                )

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(PARTS_IN_MEMORY):
                    workers.create_task(work(numbers))
        except ExceptionGroup as broken:
            raise broken.exceptions[0] from None
        expected = hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest() + f"-{count}"
        written = await self._call("finish the upload of", lambda: self._finish(upload_id, etags, expected))
        check_etag(written, expected, self._where)
        return written

    def _finish(self, upload_id: str, etags: list[str], expected: str) -> Written:
        """Join the parts. Where an earlier answer was lost, the upload is gone and the object is there."""
        try:
            return self._client.finish_upload(self._bucket, self._key, upload_id, etags)
        except S3Error as error:
            if not is_lost_upload(error):
                raise
            there = self._client.written(self._bucket, self._key)
            if there is None or there.etag != expected:
                raise
            return there

    def _send_part(self, path: Path, offset: int, length: int, upload_id: str, number: int) -> tuple[str, bytes]:
        """Read, hash and send one part; runs in a thread, so the bytes live only for the call."""
        with path.open("rb", buffering=0) as file:
            body = os.pread(file.fileno(), length, offset)
        if len(body) != length:
            raise StorageError(f"{path.name} became shorter while it was sent to {self._where}.", fix="Run it again.")
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        etag = self._client.put_part(
            self._bucket, self._key, upload_id, number=number, body=body, content_md5=md5_header(digest)
        )
        return etag, digest

    async def _abort(self, upload_id: str) -> None:
        """Free the parts; what cannot be freed now is swept up later by its age."""
        try:
            await asyncio.to_thread(self._client.abort_upload, self._bucket, self._key, upload_id)
        except Exception:
            log.warning("unfinished upload left behind object=%s upload_id=%s", self._where, upload_id, exc_info=True)

    def _call(self, doing: str, call: Callable[[], T]) -> Awaitable[T]:
        return self._calls.repeat(doing, self._where, call)
