"""What is written beside every finished video: who spoke, what was said, who rendered it, and what the checks found."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tasks.archive import ArchivedRender
from tasks.delivery import MediaRecord
from tasks.inspect import Inspection
from tasks.label import label_digest
from tasks.models import Labels
from tasks.plan import RenderPlan

MANIFEST_VERSION: Literal[1] = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileRecord(_Record):
    """A file in the archive."""

    uri: str
    sha256: str
    size: int = Field(description="Bytes.")
    etag: str


class Manifest(_Record):
    """The facts of one finished video."""

    manifest_version: Literal[1] = MANIFEST_VERSION
    render_key: str
    title: str
    tags: list[str]
    provider: str
    account: str
    job_id: str
    payload: dict[str, JsonValue] = Field(description="The provider's canonical payload, media as sha256 digests.")
    media: list[MediaRecord]
    original: FileRecord = Field(description="The video as the provider made it, untouched.")
    video: FileRecord = Field(description="The video to hand out, labelled as asked.")
    poster: str = Field(description="s3:// address of a still.")
    labels: Labels
    seconds: float
    speech_seconds: float | None
    width: int
    height: int
    fps: float
    inspection: Inspection
    provider_notes: list[str]
    estimate: str
    rendered_at: datetime
    published_at: datetime


def delivery_prefix(render_key: str, labels: Labels) -> str:
    """Where in the archive the delivered files of a render lie; labels make a delivery, not a render."""
    return f"renders/{render_key[:2]}/{render_key}/{label_digest(labels)}"


def price_of(plan: RenderPlan) -> str:
    """The estimate in words."""
    estimate = plan.estimate
    return f"{estimate.amount} {estimate.unit}" if estimate.amount is not None else "unknown"


def speech_seconds_of(record: ArchivedRender, plan: RenderPlan) -> float | None:
    """Length of the speech: as the provider measured it, else as the recording was measured."""
    return record.speech_seconds if record.speech_seconds is not None else plan.speech_seconds
