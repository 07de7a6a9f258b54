"""A job that is followed, and what became of it.

Thousands of these are in memory, so they hold no entry, no payload and no task.
"""

from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from tasks.ledger import Entry, State
from tasks.ledger.batch_models import Tick
from tasks.providers.base import JobStatus
from tasks.settle import order_of

Watcher = Callable[[JobStatus], Awaitable[None]]
"""Is told every answer while a person looks on."""
EndingKind = Literal["ended", "moved", "overdue", "unknown", "refused"]


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of a job that was followed.

    ``ended``: its status is final, and nothing is written yet. ``moved``: somebody else has changed the row, which must
    be read again; it may be accepted still, as another job. ``overdue``: the deadline came. ``unknown``: the provider
    has not known the job several times in a row. ``refused``: the question was refused, or could not be asked at all.
    """

    entry_id: UUID
    kind: EndingKind
    status: JobStatus | None = None
    error: Exception | None = None
    word: str = ""


@dataclass(slots=True, eq=False)
class Job:
    """What is kept of a followed job. Ages and plans are wall time, deadlines the loop's own."""

    entry_id: UUID
    job_id: str
    owner: str
    mode: str
    work: float | None
    state: State
    changed_at: datetime
    submitted_at: datetime
    deadline: float
    tell: Callable[[Ending], None]
    watch: tuple[Watcher, Context] | None
    has_notice: bool
    """Its provider was told where to send a notice."""
    stored_plan: datetime | None
    """The next question as the row had it last; another one in the row is news."""
    written_plan: datetime | None = None
    """The next question as this process wrote it last."""
    plan: datetime | None = None
    """The next question as this process means to ask it; None while it is left to another run."""
    pause: float = 0.0
    """Seconds, the last one without a forecast."""
    ticket: int = 0
    """Its place in the queue; 0 while it is not there."""
    overdue_since: float | None = None
    """Since when another run's question has not come."""
    unknown: int = 0
    """Times in a row that the provider did not know it."""
    word: str = "under way"
    is_noticed: bool = False
    """A notice came, and it was not asked since."""
    was_noticed: bool = False
    waits_for_notice: bool = False
    """Its next question is planned for when nearly all renders have ended: a notice should come first."""
    is_followed: bool = True

    @classmethod
    def of(
        cls, entry: Entry, *, owner: str, deadline: float, tell: Callable[[Ending], None], watch: Watcher | None
    ) -> Self:
        """What is kept of an accepted submission; ``watch`` is called in the context of this call."""
        if not entry.job_id:
            raise ValueError("there is no job id to ask for")
        return cls(
            entry_id=entry.id,
            job_id=entry.job_id,
            owner=owner,
            mode=entry.mode,
            work=entry.work,
            state=entry.state,
            changed_at=entry.updated_at,
            submitted_at=entry.submitted_at or entry.updated_at,
            deadline=deadline,
            tell=tell,
            watch=None if watch is None else (watch, copy_context()),
            has_notice=bool(order_of(entry).notice_url),
            stored_plan=entry.next_poll_at,
        )

    def has_moved(self, row: Tick) -> bool:
        """Whether somebody has changed the row since; it may be accepted again, as another job."""
        return (row.state, row.updated_at) != (self.state, self.changed_at)
