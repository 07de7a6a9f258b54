"""What is remembered of ZEGO: stream tasks, drives and callbacks. Moments are seconds since the epoch."""

import time
from enum import IntEnum
from typing import Any, Literal

from pydantic import BaseModel, Field


class StreamStatus(IntEnum):
    """Section 4.3 of the vendor's page."""

    STARTING = 1
    FAILED = 2
    STREAMING = 3
    STOPPING = 4
    STOPPED = 5


class DriveStatus(IntEnum):
    """Section 5.5 of the vendor's page."""

    QUEUED = 1
    SPEAKING = 2
    FAILED = 3
    ENDED = 4
    INTERRUPTED = 5


HowEnded = Literal["", "stopped", "ttl", "idle", "failed"]
DriveKind = Literal["text", "audio", "ws", "rtc"]


class Action(BaseModel):
    """A gesture that was asked for."""

    action: str
    at: float = Field(default_factory=time.time)


class StreamTask(BaseModel):
    """One accepted stream task."""

    task_id: str
    stream_id: str
    room_id: str
    digital_human_id: str
    background: str
    ttl: int = Field(description="Seconds from creation to the end at the latest.")
    max_idle: int = Field(description="Seconds without a drive after which it ends.")
    at: float = Field(default_factory=time.time, description="Acceptance.")
    due: float = Field(description="It streams from then on.")
    status: StreamStatus = StreamStatus.STARTING
    fate: Literal["", "stuck", "fail"] = Field("", description="How an armed fault makes it go.")
    fail_reason: str = ""
    started: float | None = None
    quiet_since: float | None = Field(None, description="End of the last drive, or beginning of the stream.")
    ended: float | None = None
    how_ended: HowEnded = ""
    stop_calls: int = Field(0, description="How often its stop was asked for, answered or refused.")
    actions: list[Action] = Field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in {StreamStatus.FAILED, StreamStatus.STOPPED}

    @property
    def is_live(self) -> bool:
        """Whether it counts against the account's streams and holds its StreamId."""
        return not self.is_over


class Drive(BaseModel):
    """One accepted drive."""

    drive_id: str
    task_id: str
    kind: DriveKind
    at: float = Field(default_factory=time.time, description="Acceptance.")
    status: DriveStatus = DriveStatus.QUEUED
    reason: str = ""
    began: float | None = Field(None, description="The first word was said.")
    ended: float | None = None
    seconds: float | None = Field(None, description="Length of its audio; None before that is known.")
    text: str | None = None
    timbre_id: str | None = None
    speed: float = 1.0
    url: str | None = None
    channel: int = Field(0, description="Of a stereo file: 0 mixed, 1 left, 2 right.")
    source: dict[str, str] | None = Field(None, description="Room and stream that an RTC drive takes its voice from.")
    token: str = Field("", description="Opens the socket of a drive, once.")
    playout: dict[str, Any] | None = Field(None, description="How its audio came, see ``playout.Playout.facts``.")

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status not in {DriveStatus.QUEUED, DriveStatus.SPEAKING}


class Callback(BaseModel):
    """One event and how its delivery goes."""

    id: str
    task_id: str
    event_type: Literal[3, 4] = Field(description="3: of a stream task, 4: of a drive.")
    event_time: int = Field(description="When it happened, in milliseconds since the epoch.")
    detail: dict[str, Any]
    url: str
    attempts: int = 0
    accepted: bool = False
    given_up: bool = False
    answer: str = Field("", description="What the customer's server answered last, or why there was no answer.")

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent."""
        return self.accepted or self.given_up
