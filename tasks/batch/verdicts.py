"""What an error means for the row in which it happened."""

import logging
from typing import NamedTuple

from tasks.batch.admission import NotBegun
from tasks.errors import (
    AmbiguousSubmit,
    DownloadBroken,
    MediaRefused,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RequestRefused,
    ResultExpired,
    StillRunning,
    StorageError,
    StudioError,
    StudioUnavailable,
)
from tasks.ledger import BudgetExceeded
from tasks.ledger.batch_models import RowState

# These pass by themselves, so the same batch finishes the row when it is run again.
_PASSING = (ProviderBusy, ProviderUnavailable, StorageError, StudioUnavailable, StillRunning)
# The provider may still have what was paid for, but only a person can find out.
_STUCK = (AmbiguousSubmit, DownloadBroken, ResultExpired)

_AGAIN = "Run the same batch again: it goes on with what is missing."

log = logging.getLogger("studio.batch")


class Verdict(NamedTuple):
    """The state of a row, why, and what a person can do."""

    state: RowState
    reason: str
    fix: str


def may_try_again(error: BaseException) -> bool:
    """Whether a step of a row may be repeated after a moment: the studio's own servers were away."""
    return isinstance(error, StorageError | StudioUnavailable)


def verdict_of(error: Exception, number: int, *, accepted: bool) -> Verdict:
    """Judge an error; what nobody foresaw is logged with its traceback.

    Args:
        error: what went wrong.
        number: of the row.
        accepted: whether the provider had accepted the render by then.
    """
    if not isinstance(error, StudioError):
        log.error("unexpected error row=%d", number, exc_info=error)
        told = f"{type(error).__name__}: {error}"
        return Verdict(RowState.FAILED, told, "This is a defect; the run's log has the details.")
    log.warning("row has no video row=%d error=%s", number, error)
    if isinstance(error, RequestRefused):
        told = "; ".join(f"{problem.field}: {problem.wrong.rstrip('.')}" for problem in error.problems)
        # A host that is away for a moment says nothing about the file.
        state = RowState.NOT_STARTED if isinstance(error, MediaRefused) and error.passing else RowState.FAILED
        return Verdict(state, f"{told}.", " ".join(problem.fix for problem in error.problems))
    if isinstance(error, BudgetExceeded | NotBegun):
        return Verdict(RowState.NOT_STARTED, error.message, error.fix)
    if isinstance(error, _STUCK):
        return Verdict(RowState.BLOCKED, error.message, error.fix)
    # A question that is refused says nothing about the render that was asked for.
    if isinstance(error, _PASSING) or (accepted and isinstance(error, ProviderRejected)):
        state = RowState.UNFINISHED if accepted else RowState.NOT_STARTED
        return Verdict(state, error.message, _AGAIN)
    return Verdict(RowState.FAILED, error.message, error.fix)
