"""What the sandbox remembers: jobs, uploads, refusals and private avatars."""

import time
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

Vendor = Literal["topview", "mingyan", "zego"]
RENDERING: tuple[Vendor, ...] = ("topview", "mingyan")
"""Those that render videos; the others stream."""


class Notice(BaseModel):
    """The report about a finished job to the customer's address."""

    url: str
    uuid: str
    attempts: int = 0
    accepted: bool = False
    given_up: bool = False
    answer: str = Field("", description="What the customer's server answered last, or why there was no answer.")

    @property
    def is_over(self) -> bool:
        """Whether nothing more is sent."""
        return self.accepted or self.given_up


class Job(BaseModel):
    """One accepted submission."""

    id: str
    vendor: Vendor
    call: Literal["submit", "avatar_submit"] = "submit"
    at: float = Field(default_factory=time.time, description="Acceptance, seconds since the epoch.")
    due: float = Field(description="Earliest end, seconds since the epoch.")
    origin: str = Field(description="Scheme, host and port under which the customer reached the sandbox.")
    body: dict[str, Any]
    files: dict[str, Any] = Field(default_factory=dict, description="Inputs by field: id or URL, size, sha256.")
    reserved: Decimal = Field(Decimal(0), description="Set aside at acceptance, until the job ends.")
    charged: Decimal = Decimal(0)
    state: Literal["waiting", "rendering", "done", "failed"] = "waiting"
    fate: Literal["", "stuck", "fail"] = Field("", description="How an armed fault makes it end.")
    reason: str = ""
    result: str | None = Field(None, description="File name of the finished video.")
    size: int | None = None
    md5: str | None = None
    avatar_id: str | None = Field(None, description="Private avatar that the job made.")
    ended: float | None = None
    queries: int = Field(0, description="How often the customer has asked for it.")
    seen_ended_at: float | None = Field(None, description="First question that came after its end.")
    notice: Notice | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in {"done", "failed"}


class Upload(BaseModel):
    """A file that TopView gave an upload address for."""

    id: str
    format: str
    size: int | None = Field(None, description="Bytes stored; None before the file came.")
    sha256: str | None = None


class Refusal(BaseModel):
    """A call that the sandbox judged wrong."""

    vendor: Vendor
    call: str
    code: str
    at: float = Field(default_factory=time.time)
    message: str = ""


class PrivateAvatar(BaseModel):
    """An avatar that a job made for the account."""

    id: str
    name: str
    upload_id: str
    type: int = Field(description="0 traditional, 1 zero-shot, 2 photo.")
