"""What the store says about an object, and how text travels in headers that carry ASCII only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote

from minio.datatypes import Object
from pydantic import BaseModel, ConfigDict, Field

_PREFIX = "x-amz-meta-"
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]*$")
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class ObjectFacts(BaseModel):
    """What the store says about one object."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    key: str
    size: int = Field(description="Bytes.")
    etag: str = Field(description="Without quotes.")
    content_type: str = ""
    metadata: dict[str, str] = Field(default_factory=dict, description="User metadata; empty in listings.")
    version_id: str | None = None
    modified: datetime | None = None


@dataclass(frozen=True)
class FetchedObject:
    """A checked copy of an object on this machine."""

    path: Path
    size: int
    sha256: str
    etag: str


def facts_of(bucket: str, found: Object) -> ObjectFacts:
    """Facts from the SDK's answer to a HEAD or a listing."""
    headers = {name.lower(): value for name, value in (found.metadata or {}).items()}
    return ObjectFacts(
        bucket=bucket,
        key=found.object_name or "",
        size=found.size or 0,
        etag=(found.etag or "").strip('"'),
        content_type=headers.get("content-type", ""),
        metadata={
            name.removeprefix(_PREFIX): unquote(value) for name, value in headers.items() if name.startswith(_PREFIX)
        },
        version_id=found.version_id or None,
        modified=found.last_modified,
    )


def object_headers(content_type: str, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Headers of a write; values beyond ASCII are percent-encoded.

    Raises:
        ValueError: a metadata name is not made of a-z, 0-9 and hyphens.
    """
    headers = {"Content-Type": content_type}
    for name, value in (metadata or {}).items():
        if not _NAME.match(name):
            raise ValueError(f"metadata name {name!r} must be of a-z, 0-9 and hyphens.")
        headers[_PREFIX + name] = quote(value, safe=_PLAIN)
    return headers


def download_headers(download_name: str) -> dict[str, str]:
    """Query parameters that make a link save the object under this name."""
    plain = "".join(sign if sign in _PLAIN and sign not in '"\\' else "_" for sign in download_name)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(download_name, safe='')}"
    return {"response-content-disposition": disposition}
