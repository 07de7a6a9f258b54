"""What a finished video is handed out with: title, tags, labels, and what it was made from.

Kept in the ledger with the intent, so that a video whose run is gone is finished without asking anybody.
"""

from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field

from tasks.models import Labels, RenderRequest
from tasks.providers.base import MediaSet


class MediaRecord(BaseModel):
    """An input, by its content."""

    model_config = ConfigDict(frozen=True)

    role: str
    reference: str = Field(description="Where it was, without the query part, which may hold a signature.")
    sha256: str
    size: int = Field(description="Bytes.")
    kind: str


class Delivery(BaseModel):
    """How a video is handed out; none of it changes the render."""

    model_config = ConfigDict(frozen=True)

    title: str = ""
    tags: list[str] = Field(default_factory=list)
    labels: Labels = Field(default_factory=Labels)
    media: list[MediaRecord] = Field(default_factory=list)


def delivery_of(request: RenderRequest, media: MediaSet) -> Delivery:
    """The delivery that a request asks for."""
    records = [
        MediaRecord(
            role=role, reference=_without_query(item.reference), sha256=item.sha256, size=item.size, kind=item.kind
        )
        for role, item in media.items()
    ]
    return Delivery(title=request.title, tags=request.tags, labels=request.labels, media=records)


def _without_query(reference: str) -> str:
    parts = urlsplit(reference)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
