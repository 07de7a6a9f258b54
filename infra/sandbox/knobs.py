"""What can be set: credentials once at the start, and the settings that a test turns while the sandbox runs."""

import os
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Knobs(BaseModel):
    """Settings that ``PUT /control/settings`` changes; they are kept over a restart."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    render_seconds: float = Field(0.5, ge=0, description="Shortest time from acceptance to the end of a job.")
    render_seconds_per_speech_second: float = Field(0, ge=0, description="That time grows with the speech by this.")
    render_seconds_spread: float = Field(
        0, ge=0, lt=1, description="How far that time may be off in a job, as a part of it: 0.2 is 20 % either way."
    )
    render_seconds_low: float | None = Field(
        None, ge=0, description="With the next field: that time is anything between the two, whatever the speech."
    )
    render_seconds_high: float | None = Field(None, ge=0)
    link_seconds: float = Field(600, description="Life of a link to a finished video; negative for one born stale.")
    upload_url_seconds: float = Field(600, description="Life of an upload address; negative for one born stale.")
    credits: Decimal = Field(Decimal(1000), description="All credits that the TopView account was ever given.")
    charge_failures: bool = Field(default=False, description="Whether failed jobs cost money.")
    queries_per_second: float = Field(50, ge=0, description="Queries that a vendor allows in a second; 0 is none.")
    enforce_rate: bool = Field(default=True, description="Answer 429 above that; else only count.")
    fetch_seconds: float = Field(30, gt=0, description="Deadline for fetching one input of a mingyan job.")
    max_input_bytes: int = Field(512 * 1024 * 1024, gt=0, description="Largest upload or fetched input.")
    send_notices: bool = Field(default=True, description="Whether notices that were asked for are ever sent.")
    notice_pause_seconds: float = Field(0.5, ge=0, description="Pause before a notice is sent again.")
    stream_start_seconds: float = Field(0.5, ge=0, description="Time from a stream task's creation to its streaming.")
    stream_stop_seconds: float = Field(0.2, ge=0, description="Time that a stream takes to stop.")
    stream_memory_seconds: float = Field(600, ge=0, description="How long an ended stream task can be asked for.")
    zego_end_is_a_status: bool = Field(
        default=True, description="Whether a stopped stream task that is asked for is told by status 5; else 400000007."
    )
    zego_streams: int = Field(20, ge=0, description="Stream tasks that may be alive at the same time.")
    zego_calls_per_second: float = Field(10, ge=0, description="Calls of each action that ZEGO allows in a second.")
    zego_clock_skew_seconds: float = Field(0, description="How far ZEGO's clock is ahead of this machine's.")
    zego_text_part: float = Field(1, gt=0, le=1, description="Part of a text that is said, to hurry; 1 is all of it.")
    zego_lifetime_part: float = Field(
        1, gt=0, le=1, description="Part of TTL and MaxIdleTime after which a stream ends, to hurry; 1 is all of it."
    )
    zego_callback_url: str | None = Field(
        None, description="Where callbacks go; null is the address given at the start, empty is none."
    )
    zego_callback_pause_scale: float = Field(1, ge=0, description="Stretches the pauses between tries of a callback.")

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        low, high = self.render_seconds_low, self.render_seconds_high
        if (low is None) != (high is None) or (low is not None and high is not None and low > high):
            raise ValueError("render_seconds_low and render_seconds_high go together, the low one first")
        return self


@dataclass(frozen=True)
class Credentials:
    """Who may call."""

    topview_uid: str
    topview_key: str
    mingyan_key: str
    zego_app_id: int
    zego_server_secret: str
    zego_callback_secret: str
    zego_callback_url: str

    def __repr__(self) -> str:
        """No keys in logs."""
        return "Credentials(…)"

    @classmethod
    def from_environment(cls) -> Self:
        """Read ``SANDBOX_*``."""
        return cls(
            topview_uid=os.environ.get("SANDBOX_TOPVIEW_UID", "sandbox-uid"),
            topview_key=os.environ.get("SANDBOX_TOPVIEW_KEY", "sandbox-topview-key"),
            mingyan_key=os.environ.get("SANDBOX_MINGYAN_KEY", "sandbox-mingyan-key"),
            zego_app_id=int(os.environ.get("SANDBOX_ZEGO_APP_ID", "1234567890")),
            zego_server_secret=os.environ.get("SANDBOX_ZEGO_SERVER_SECRET", "sandbox-zego-server-secret"),
            zego_callback_secret=os.environ.get("SANDBOX_ZEGO_CALLBACK_SECRET", "sandbox-zego-callback-secret"),
            zego_callback_url=os.environ.get("SANDBOX_ZEGO_CALLBACK_URL", ""),
        )
