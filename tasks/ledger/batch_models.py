"""What the ledger keeps of batches: the batch, what became of each of its rows, and how long renders took."""

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from tasks.ledger.states import State


class RowState(StrEnum):
    """What has become of a row of a batch; a row without any record is still to be begun."""

    RENDERING = "rendering"
    DONE = "done"
    THERE = "already there"
    FAILED = "failed"
    BLOCKED = "blocked"
    UNFINISHED = "still running"
    NOT_STARTED = "not started"


HAS_VIDEO = frozenset({RowState.DONE, RowState.THERE})
"""States in which there is a finished video."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Batch(_Record):
    """Many renders from one manifest. The same manifest is the same batch, whoever runs it and how often."""

    id: str = Field(pattern=r"^[0-9a-f]{16,64}$", description="Digest of the rows.")
    name: str = Field("", max_length=200)
    source: str = Field("", description="Where the manifest was, s3://…; empty for rows of the run form.")
    rows: int = Field(ge=0)
    run_id: str = Field(description="Flow run that works on it, or did so last.")
    created_at: AwareDatetime
    updated_at: AwareDatetime


class BatchRow(_Record):
    """What became of one row of a batch in one run."""

    number: int = Field(ge=1, description="Counted from 1 in the order of the manifest.")
    run_id: str = Field(description="Flow run of the batch that found this; shards write their parent's.")
    state: RowState
    title: str = ""
    render_key: str | None = None
    provider: str = ""
    reason: str = Field("", description="Why there is no video, or what should be known about it.")
    fix: str = Field("", description="What a person can do.")
    video: str = Field("", description="s3:// address of the delivered video.")
    poster: str = Field("", description="s3:// address.")
    manifest: str = Field("", description="s3:// address.")
    seconds: float | None = Field(None, description="Length of the video.")
    estimate: Decimal | None = Field(None, description="Of this row's own submission; None where the price is unknown.")
    unit: str = ""
    updated_at: AwareDatetime


class Tick(NamedTuple):
    """What the poll scheduler needs to know of a row; small, as thousands are read a minute."""

    id: UUID
    state: State
    owner: str
    next_poll_at: AwareDatetime | None
    updated_at: AwareDatetime


class PollPlan(NamedTuple):
    """The next question about an accepted render, and when it was last found unfinished."""

    id: UUID
    at: AwareDatetime
    unfinished_at: AwareDatetime | None
    seen: AwareDatetime | None = None
    """The next question as the row had it when this was planned: another one that has just come there is a notice
    that nobody has heard of, and stays. None overwrites whatever there is."""


class Duration(NamedTuple):
    """How long a finished render took: it ended between two questions. Seconds since its submission."""

    work: float | None
    """Seconds of speech, as far as they were known or could be told from the script."""
    unfinished: float
    """It was still running then."""
    finished: float
    """It was found finished then."""


class CallSlots(NamedTuple):
    """Permission to ask a provider so many times, evenly spaced from a moment on."""

    calls: int
    begin: float
    """Seconds from now."""


class Claim(_Record):
    """Something that one of several workers took for itself."""

    name: str
    owner: str
    at: AwareDatetime
