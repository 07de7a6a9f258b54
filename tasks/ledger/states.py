"""The states of a submission, and the only ways between them."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a submission stands."""

    RESERVED = "reserved"
    """Somebody intends to submit; nothing has left."""
    SUBMITTING = "submitting"
    """The submission may have left; it must not be made again before its outcome is known."""
    SUBMITTED = "submitted"
    """The provider accepted it and gave a job id."""
    SUCCEEDED = "succeeded"
    """The provider finished the video; it is not in the archive yet."""
    ARCHIVED = "archived"
    """The video is in the archive."""
    FAILED = "failed"
    """It ended without a video; the render may be reserved again."""
    CANCELLED = "cancelled"
    """A person gave it up; the render may be reserved again."""
    AMBIGUOUS = "ambiguous"
    """The submission left and no answer came; only a look-up or a person settles it."""


_R, _S = State.RESERVED, State.SUBMITTING

TRANSITIONS: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        _R: frozenset({_S, State.FAILED, State.CANCELLED}),
        # Back to reserved only when the submission surely never left, or the provider said "not now".
        _S: frozenset({_R, State.SUBMITTED, State.FAILED, State.AMBIGUOUS}),
        # Ambiguous again when the provider does not know the job, which may be a wrong id that a person gave.
        State.SUBMITTED: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.AMBIGUOUS}),
        # Failed when the provider dropped the result before it could be archived; cancelled when a person gives up a
        # result that never decodes.
        State.SUCCEEDED: frozenset({State.ARCHIVED, State.FAILED, State.CANCELLED}),
        # Back to succeeded when the archive lost or retired the video.
        State.ARCHIVED: frozenset({State.SUCCEEDED}),
        State.AMBIGUOUS: frozenset({_R, State.SUBMITTED, State.CANCELLED}),
        State.FAILED: frozenset(),
        State.CANCELLED: frozenset(),
    }
)

OPEN = frozenset(State) - {State.FAILED, State.CANCELLED}
"""States that hold the render key: no second submission may be reserved beside them."""


def is_allowed(before: State, after: State) -> bool:
    """Whether a submission may go from one state to the other."""
    return after in TRANSITIONS[before]
