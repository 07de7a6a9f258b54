"""The seam between the studio and whoever renders. A new provider is one folder that fills this in.

Nothing here knows Prefect, the ledger or the archive: those belong to the steps that call a provider.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tasks.errors import Problem
from tasks.models import RenderRequest

MediaRole = Literal["avatar", "speech"]
MediaKind = Literal["image", "audio", "video"]
JobPhase = Literal["queued", "running", "succeeded", "failed"]


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProbedMedia(_Fact):
    """A media file that was fetched, hashed and really decoded."""

    role: MediaRole
    reference: str = Field(description="Where the request said it is.")
    path: Path = Field(description="Where the bytes are on this machine, for the life of the run.")
    sha256: str
    size: int = Field(description="Bytes.")
    kind: MediaKind
    extension: str = Field(description="Canonical file extension of what was found inside, such as png or mp4.")
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    seconds: float | None = Field(None, description="Decoded duration; None for a still picture.")
    sample_rate: int | None = None
    channels: int | None = None


MediaSet = Mapping[MediaRole, ProbedMedia]


class Estimate(_Fact):
    """What a render will probably cost; amount None means that the price is not known."""

    amount: Decimal | None
    unit: str = Field(description="Currency or the provider's credit, such as 'credits'.")


class SubmitOrder(_Fact):
    """All that a submission needs. ``order_id`` is unique per render key and attempt."""

    render_key: str
    attempt: int
    payload: dict[str, JsonValue] = Field(description="The provider's canonical payload, media as sha256 digests.")
    inputs: dict[MediaRole, str] = Field(description="The provider's own references to the uploaded media.")
    sent_at: datetime | None = Field(None, description="Moment before which it surely was not submitted.")
    notice_url: str = Field("", description="Where the provider may tell that the job ended; empty for nowhere.")

    @property
    def order_id(self) -> str:
        """Short, unique, safe in file names and URLs."""
        return f"{self.render_key[:24]}-{self.attempt}"


class ResultFile(_Fact):
    """Where the finished video can be read, for now."""

    location: str = Field(description="URL, or absolute path for a provider on this machine.")
    md5: str | None = None
    size: int | None = Field(None, description="Bytes, where the provider says it.")
    speech_seconds: float | None = Field(None, description="Length of the speech, where the provider says it.")
    notes: list[str] = Field(default_factory=list, description="What the provider remarked, for people.")


class JobStatus(_Fact):
    """A provider's answer to 'how is this job?' in the studio's words."""

    phase: JobPhase
    word: str = Field(description="The provider's own status word.")
    odd: bool = Field(default=False, description="The word is not in the provider's documents.")
    progress: float | None = Field(None, description="0 to 1, where the provider says it.")
    result: ResultFile | None = Field(None, description="Set when the phase is succeeded.")
    reason: str = Field("", description="Why it failed, in the provider's words.")
    charged: bool | None = Field(None, description="Whether a failed job cost money; None means unknown.")
    cost: Decimal | None = Field(None, description="What a finished job cost, where the provider says it.")
    cost_unit: str = Field("", description="Unit of the cost.")


class SeenCharge(_Fact):
    """Money that the provider's own books say it took."""

    job_id: str
    at: datetime
    amount: Decimal
    unit: str


class Pace(_Fact):
    """How often to ask for a job: pauses in seconds, growing by a factor up to the longest."""

    first: float = Field(gt=0)
    growth: float = Field(ge=1)
    longest: float = Field(gt=0)
    per_second: float = Field(5, gt=0, description="Most questions a second, by all processes together.")


class Sighting(_Fact):
    """What looking for an unanswered submission found."""

    seen: Literal["accepted", "absent", "unknown"]
    job_id: str | None = None


IsTaken = Callable[[str], Awaitable[bool]]
"""Whether a job id is known as another render's."""


async def nobody_has(_job_id: str) -> bool:
    """No job is known as another render's."""
    return False


class Provider(Protocol):
    """One renderer. All calls may raise ``ProviderError`` subclasses."""

    name: str
    account: str
    """Label of the account that pays; part of the render key, never a secret."""
    endpoint: str
    """Where the account lives; a resume on another endpoint is refused."""
    pace: Pace

    def supports(self, request: RenderRequest) -> list[Problem]:
        """The rules that the request alone decides, without looking at any media; empty means: go on."""
        ...

    async def check(self, request: RenderRequest, media: MediaSet) -> list[Problem]:
        """Everything that this provider would refuse, found before anything is uploaded or paid."""
        ...

    def estimate(self, request: RenderRequest, media: MediaSet) -> Estimate:
        """What the render will probably cost."""
        ...

    def payload(self, request: RenderRequest, media: MediaSet) -> dict[str, JsonValue]:
        """The canonical payload: exactly what decides how the video looks and sounds, media as sha256 digests."""
        ...

    def mode(self, request: RenderRequest) -> str:
        """The provider's quality or speed class that the request asks for; empty where there is only one."""
        ...

    async def upload(self, media: ProbedMedia) -> str:
        """Bring one media file to where the provider reads it, and return its reference there."""
        ...

    async def submit(self, order: SubmitOrder) -> str:
        """Start the render, in one try, and return the job id.

        Raises:
            ProviderRejected: refused for good, nothing accepted.
            ProviderBusy: not accepted now.
            ProviderUnavailable: no usable answer; ``sent`` says whether it may have been accepted.
        """
        ...

    async def look_up(self, order: SubmitOrder, hints: Sequence[str], is_taken: IsTaken = nobody_has) -> Sighting:
        """Look whether an order that got no answer was accepted.

        Args:
            order: what was submitted.
            hints: job ids that notices named for this order; anybody may have sent them.
            is_taken: tells jobs of other renders, which need not be looked at.
        """
        ...

    async def query(self, job_id: str) -> JobStatus:
        """Ask how a job is, in one try.

        Raises:
            JobUnknown: the provider does not know the job.
            ProviderRejected: the question is refused, for example for the key.
            ProviderBusy: asked too fast.
            ProviderUnavailable: no usable answer.
        """
        ...

    async def charges(self, since: datetime) -> list[SeenCharge]:
        """What the provider's books say it took since then; empty where it has none to read."""
        ...

    def read_result(self, result: ResultFile, offset: int = 0) -> AsyncIterator[bytes]:
        """Stream the finished video from a byte offset, in chunks of at most 1 MiB.

        Raises:
            ResultExpired: the link is dead; query again.
            FetchRefused: the link leads where nothing may be fetched from.
            ProviderUnavailable: the stream broke; it may go on from where it stopped.
        """
        ...
