"""What can go wrong, as a tree a caller can reason about.

Every error says what happened, to what, and what a person can do next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a request: the field, what is wrong with it, and how to mend it."""

    field: str
    wrong: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field}: {self.wrong} {self.fix}".strip()


class StudioError(Exception):
    """Base of all errors a person is meant to read.

    Args:
        message: what happened, to what.
        fix: what to do next, one sentence.
    """

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class RequestRefused(StudioError):
    """The request cannot be rendered as it is; nothing was uploaded or paid."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(f"request refused, {count}, nothing was spent:\n" + "\n".join(f"- {p}" for p in problems))


class MediaRefused(RequestRefused):
    """A media file is missing, unreachable, too large, or not what its field needs.

    Args:
        problems: what is wrong.
        passing: the same request may work a moment later: a server that was asked for the file was away.
    """

    def __init__(self, problems: Sequence[Problem], *, passing: bool = False) -> None:
        super().__init__(problems)
        self.passing = passing


class ProviderError(StudioError):
    """A provider said no or could not be understood.

    Args:
        message: what happened.
        provider: who said it, for example ``local``.
        status: the HTTP status, where there was an answer.
        code: the provider's own code, as text.
        request_id: the provider's name for the call, for its support.
        job_id: the job concerned, once there is one.
        fix: what to do next, one sentence.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        job_id: str = "",
        fix: str = "",
    ) -> None:
        super().__init__(message, fix=fix)
        self.provider = provider
        self.status = status
        self.code = code
        self.request_id = request_id
        self.job_id = job_id


class ProviderRejected(ProviderError):
    """The provider refused the call for good; nothing was accepted."""


class JobUnknown(ProviderRejected):
    """The provider does not know this job: too new, expired, or of another account."""


class ProviderBusy(ProviderError):
    """The provider did not accept the call now; the same call may be made again later.

    Args:
        retry_after: seconds that the provider asked to wait; None when it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retry_after = retry_after


class ProviderUnavailable(ProviderError):
    """No usable answer came: broken transport, a server in trouble, or an answer that says nothing.

    Args:
        sent: False when the call surely never left this machine; True when the provider may have acted on it.
        retry_after: seconds that the provider asked to wait; None when it did not say.
    """

    def __init__(self, message: str, *, sent: bool, retry_after: float | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.sent = sent
        self.retry_after = retry_after


class AmbiguousSubmit(ProviderError):
    """The submission left and no answer came: it may or may not be accepted. Never repeat it blindly."""


class StreamInDoubt(AmbiguousSubmit):
    """The same for a live stream, which is looked for by its id and closed without anybody's help."""


class RenderFailed(ProviderError):
    """The provider accepted the job and ended it without a video."""


class ResultExpired(ProviderError):
    """The link to the result is no longer valid: query again for a fresh one."""


class StillRunning(ProviderError):
    """The wait ended before the render did. The job goes on; running the same request again resumes it."""


class RoomTaken(StudioError):
    """Another show has the room, or has left a stream in it; nothing was created."""


class DownloadBroken(StudioError):
    """A result arrived damaged, short or not as announced; it was not archived."""


class StorageError(StudioError):
    """The object store refused or lost something."""


class LedgerConflict(StudioError):
    """A ledger row was not in the state that the change expected; nothing was changed."""


class StudioUnavailable(StudioError):
    """A part of the studio is not running or not reachable."""
