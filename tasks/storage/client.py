"""The S3 SDK with sane timeouts, and the calls it has but keeps to itself.

The SDK's own ``put_object`` restarts a whole file when one part fails, and offers neither conditional writes nor a look
at unfinished uploads. Those single calls exist in it as protected methods, which only a subclass may use.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import certifi
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.datatypes import Part
from minio.error import S3Error
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, Expiration, LifecycleConfig, Rule
from minio.versioningconfig import VersioningConfig

CONNECT_SECONDS = 5
READ_SECONDS = 60
CONNECTIONS = 16


def make_pool() -> urllib3.PoolManager:
    """Connections without retries of their own: the store repeats calls, and one loop is enough."""
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        maxsize=CONNECTIONS,
        retries=False,
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )


@dataclass(frozen=True)
class Written:
    """What the store said after a write. ``etag`` carries no quotes."""

    etag: str
    version_id: str | None
    etag_is_md5: bool


@dataclass(frozen=True)
class OpenUpload:
    """A multipart upload that was started and neither finished nor aborted."""

    key: str
    upload_id: str
    started: datetime


class S3Client(Minio):
    """Minio's client plus single-part, conditional and housekeeping calls. Blocking; raises the SDK's errors."""

    def put(self, bucket: str, key: str, body: bytes, headers: dict[str, str | list[str] | tuple[str]]) -> Written:
        """Write an object in one request."""
        result = self._put_object(bucket, key, body, headers)
        return _written(result.etag, result.version_id, result.http_headers)

    def start_upload(self, bucket: str, key: str, headers: dict[str, str | list[str] | tuple[str]]) -> str:
        """Begin a multipart upload and return its id."""
        return self._create_multipart_upload(bucket, key, headers)

    def put_part(self, bucket: str, key: str, upload_id: str, *, number: int, body: bytes, content_md5: str) -> str:
        """Send one part and return its ETag; the server checks the MD5."""
        return self._upload_part(bucket, key, body, {"Content-MD5": content_md5}, upload_id, number)

    def finish_upload(self, bucket: str, key: str, upload_id: str, etags: Sequence[str]) -> Written:
        """Join the parts, in order, into the object."""
        parts = [Part(number, etag) for number, etag in enumerate(etags, 1)]
        result = self._complete_multipart_upload(bucket, key, upload_id, parts)
        return _written(result.etag, result.version_id, result.http_headers)

    def written(self, bucket: str, key: str) -> Written | None:
        """What is stored under a key, None when nothing is."""
        try:
            found = self.stat_object(bucket, key)
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise
            return None
        return _written(found.etag, found.version_id, found.metadata)

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """Forget an upload and free its parts."""
        self._abort_multipart_upload(bucket, key, upload_id)

    def open_uploads(self, bucket: str) -> Iterator[OpenUpload]:
        """All unfinished uploads of a bucket, page by page."""
        key_marker = id_marker = None
        while True:
            page = self._list_multipart_uploads(bucket, key_marker=key_marker, upload_id_marker=id_marker)
            for upload in page.uploads:
                if upload.upload_id and upload.initiated_time:
                    yield OpenUpload(upload.object_name, upload.upload_id, upload.initiated_time)
            if not page.is_truncated:
                return
            key_marker, id_marker = page.next_key_marker, page.next_upload_id_marker

    def keep_versions(self, bucket: str) -> None:
        """Switch versioning on."""
        if self.get_bucket_versioning(bucket).status != ENABLED:
            self.set_bucket_versioning(bucket, VersioningConfig(ENABLED))

    def expire_after(self, bucket: str, days: int) -> None:
        """Let the store delete objects after some days, and unfinished uploads after one."""
        everything = Filter(prefix="")
        rules = [
            Rule(ENABLED, rule_filter=everything, rule_id="expire", expiration=Expiration(days=days)),
            Rule(
                ENABLED,
                rule_filter=everything,
                rule_id="abort-unfinished",
                abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=1),
            ),
        ]
        self.set_bucket_lifecycle(bucket, LifecycleConfig(rules))


def _written(etag: str | None, version_id: str | None, headers: Mapping[str, str] | None) -> Written:
    # With a KMS key, AWS answers an ETag that is not the MD5 of the bytes.
    encryption = headers.get("x-amz-server-side-encryption", "") if headers else ""
    return Written((etag or "").strip('"'), version_id, etag_is_md5="kms" not in encryption)
