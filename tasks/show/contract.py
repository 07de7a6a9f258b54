"""The seams of a show: what its parts hand to each other. Seconds are those of speech or of the wall, as named."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tasks.ledger import Entry, StreamEvent
from tasks.show.rundown import LoopCue, Rundown, SimpleCue

__all__ = [
    "PROVIDER",
    "STREAM_SECONDS",
    "Clock",
    "CueMedia",
    "CueOutcome",
    "DriveState",
    "Frames",
    "OpenStream",
    "PerformedCue",
    "PlannedCue",
    "PlannedLoop",
    "Said",
    "ShowPlan",
    "StreamEvent",
]

PROVIDER = "zego"
STREAM_SECONDS = "stream seconds"
"""Unit of costs where no price is set."""

Frames = AsyncIterator[bytes]
"""PCM, signed 16-bit little-endian, mono, in pieces of any length of whole samples."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CueMedia(_Record):
    """The media of a cue, fetched, decoded to its end and measured before anything is created."""

    reference: str
    path: Path
    seconds: float
    sha256: str


class PlannedCue(_Record):
    """One simple cue with all that is known of it before the show."""

    number: str = Field(description="1-based place in the rundown, such as 3, or 3.2 inside a loop.")
    cue: SimpleCue
    seconds: float = Field(description="Probable length: exact for media, estimated for text and scripts.")
    media: CueMedia | None = None


class PlannedLoop(_Record):
    """A loop of the rundown."""

    number: str
    loop: LoopCue
    cues: list[PlannedCue]


class ShowPlan(_Record):
    """A checked rundown, ready to be performed."""

    rundown: Rundown
    cues: list[PlannedCue | PlannedLoop]
    seconds: float | None = Field(description="Probable length of the cues; None with an endless loop.")
    ttl: int = Field(ge=10, le=86_400, description="Seconds after which the vendor ends the stream, come what may.")
    hard_end: AwareDatetime | None = Field(description="As asked for, in absolute terms.")


class OpenStream(_Record):
    """A stream task that exists at the vendor."""

    entry: Entry
    task_id: str
    stream_id: str
    ends_by: AwareDatetime = Field(description="The vendor ends it then at the latest: creation plus TTL.")


class DriveState(StrEnum):
    """Section 5.5 of the vendor page."""

    QUEUED = "queued"
    SPEAKING = "speaking"
    FAILED = "failed"
    ENDED = "ended"
    INTERRUPTED = "interrupted"


class CueOutcome(StrEnum):
    """What became of a cue."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    INTERRUPTED = "interrupted"
    NOT_REACHED = "not reached"


class PerformedCue(_Record):
    """One line of the as-it-happened record."""

    number: str
    name: str
    kind: str
    what: str = Field(description="The first words of the text, the file or the action.")
    planned_seconds: float
    planned_at: float = Field(description="Seconds after the first cue began, as planned.")
    began_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    drift_seconds: float | None = Field(description="How much later than planned it began.")
    drive_id: str = ""
    outcome: CueOutcome
    confirmed: bool = Field(description="Whether a callback told its end; else audio time did.")
    reason: str = ""


Said = Callable[[str], Awaitable[None]]
"""Tells people one line about the show."""
Clock = Callable[[], datetime]
