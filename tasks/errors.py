"""What can go wrong, as a tree a caller can reason about.

Every error says what happened, to what, and what a person can do next.
"""

from collections.abc import Sequence
from dataclasses import dataclass


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
    """A media file is missing, unreachable, too large, or not what its field needs."""


class ProviderError(StudioError):
    """A provider said no or could not be understood.

    Args:
        message: what happened.
        provider: who said it, for example ``local``.
        code: the provider's own code or HTTP status, as text.
        job_id: the job concerned, once there is one.
        fix: what to do next, one sentence.
    """

    def __init__(self, message: str, *, provider: str, code: str = "", job_id: str = "", fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.provider = provider
        self.code = code
        self.job_id = job_id


class ProviderRejected(ProviderError):
    """The provider refused the submission for good; nothing was accepted."""


class ProviderBusy(ProviderError):
    """The provider did not accept the submission now; the same call may be made again later."""


class AmbiguousSubmit(ProviderError):
    """The submission left and no answer came: it may or may not be accepted. Never repeat it blindly."""


class RenderFailed(ProviderError):
    """The provider accepted the job and ended it without a video."""


class ResultExpired(ProviderError):
    """The link to the result is no longer valid: query again for a fresh one."""


class StillRunning(ProviderError):
    """The wait ended before the render did. The job goes on; running the same request again resumes it."""


class DownloadBroken(StudioError):
    """A result arrived damaged, short or not as announced; it was not archived."""


class StorageError(StudioError):
    """The object store refused or lost something."""


class LedgerConflict(StudioError):
    """A ledger row was not in the state that the change expected; nothing was changed."""


class StudioUnavailable(StudioError):
    """A part of the studio is not running or not reachable."""
