"""Read an object as a stream that goes on where a cut connection left it."""

import asyncio
import functools
import logging
from collections.abc import AsyncGenerator

from minio.error import S3Error
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from tasks.storage.calls import Calls
from tasks.storage.client import S3Client

CHUNK_BYTES = 1024 * 1024
FRUITLESS_READS = 5

log = logging.getLogger("studio.storage")


async def read_object(
    client: S3Client, calls: Calls, bucket: str, key: str, offset: int = 0
) -> AsyncGenerator[bytes, None]:
    """Yield an object's bytes from an offset, at most 1 MiB each; an offset beyond the end yields nothing.

    Raises:
        StorageError: also when the object was replaced while it was read.
    """
    where = f"s3://{bucket}/{key}"
    position, etag, fruitless = offset, "", 0
    while True:
        opening = functools.partial(_open, client, bucket, key, position, etag)
        response = await calls.run("read", where, opening)
        if response is None:
            return
        etag = etag or response.headers.get("etag", "")
        started = position
        try:
            while chunk := await asyncio.to_thread(response.read, CHUNK_BYTES, decode_content=False):
                position += len(chunk)
                yield chunk
        except HTTPError as error:
            fruitless = 0 if position > started else fruitless + 1
            if fruitless >= FRUITLESS_READS:
                raise calls.explain(error, "read", where) from error
            log.warning("read cut, resuming object=%s offset=%d cause=%s", where, position, error)
        else:
            return
        finally:
            response.close()
            response.release_conn()


def _open(client: S3Client, bucket: str, key: str, offset: int, etag: str) -> BaseHTTPResponse | None:
    """A reader from an offset, of the same bytes as before; None when nothing is left."""
    same = {"If-Match": etag} if etag else {}
    try:
        return client.get_object(bucket, key, offset=offset, request_headers=dict(same))
    except S3Error as error:
        if error.code != "InvalidRange":
            raise
        return None
