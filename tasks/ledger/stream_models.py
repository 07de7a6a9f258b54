"""What the ledger keeps of live streams beside their rows: what the vendor's callbacks told."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

LIVE_PROVIDERS = frozenset({"zego"})
"""Whose rows are live streams: these have no video to wait for, and code of their own that closes them."""


class StreamEvent(BaseModel):
    """One callback of the vendor. The same callback twice is one event; they arrive in any order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: str = Field(min_length=1, max_length=200)
    kind: Literal["task", "drive"]
    drive_id: str = Field("", max_length=200, description="Empty for what happened to the stream itself.")
    status: int = Field(
        ge=0, le=32_767, description="The vendor's number: section 4.3 of its page for tasks, 5.5 for drives."
    )
    reason: str = Field("", max_length=2000)
    happened_at: AwareDatetime = Field(description="EventTime.")
    received_at: AwareDatetime
