"""When each job is asked about next: by this process, by another run, or after a notice."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tasks.followers import is_believed, planned_by_another
from tasks.ledger import State
from tasks.ledger.batch_models import PollPlan, Tick
from tasks.polling.due import DueQueue
from tasks.polling.forecast import Expectation
from tasks.polling.jobs import Job
from tasks.polling.learning import Forecasts
from tasks.polling.pausing import NoticeTrust, next_by_pace, next_pause
from tasks.polling.plans import PlanBook
from tasks.providers.base import JobStatus, Provider

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

LOOK_AGAIN_SECONDS = 1.0
"""How long after another run's question the row is looked at again."""
AT_DEADLINE_SECONDS = 0.1
"""A question so shortly before the deadline is the last one."""


class Timetable:
    """Plans the questions about the jobs of one provider.

    Args:
        ledger: where plans are kept for other runs to see, and what earlier renders took.
        provider: who is asked.
        now: the present moment, aware; due times are of the event loop's own clock.
    """

    def __init__(self, ledger: "Ledger", provider: Provider, now: Callable[[], datetime]) -> None:
        self.due = DueQueue()
        self._plans = PlanBook(ledger)
        self._forecasts = Forecasts(ledger, provider.name)
        self._notices = NoticeTrust()
        self._pace = provider.pace
        self._now = now

    async def begin(self, job: Job, since: datetime | None) -> None:
        """Plan the first question.

        Args:
            job: one that is new here.
            since: when it was last known to be unfinished; None to look at its row at once.
        """
        await self._forecasts.know(job.mode)
        if not job.is_followed:
            return
        if since is None or self._expect(job) is None:
            self._put(job, 0)
        else:
            self._plan(job, since, self._next_pause(job, since))

    def go_on(self, job: Job, asked_at: datetime) -> None:
        """Plan the next question about a job that was unfinished when it was asked about."""
        if job.is_noticed:
            self.due.hurry(job)
        else:
            self._plan(job, asked_at, self._next_pause(job, asked_at), unfinished_at=asked_at)

    def try_again(self, job: Job, asked_at: datetime, pause: float) -> None:
        """Plan the next question after one that brought no answer; ``pause`` is what the provider asked for."""
        self._plan(job, asked_at, max(pause, next_by_pace(job, self._pace)))

    def hear(self, job: Job, row: Tick) -> None:
        """Take in what the row says of the next question: an earlier moment than this process planned is a notice."""
        if row.next_poll_at is None or job.plan is None or row.next_poll_at == job.stored_plan:
            return
        job.stored_plan = row.next_poll_at
        if row.next_poll_at < job.plan and row.next_poll_at <= self._now():
            self._plans.discard(job)
            job.is_noticed = True
            if job.ticket:
                self.due.hurry(job)

    def leaves_to_another(self, job: Job, row: Tick) -> bool:
        """Whether another living run means to ask; then the row is looked at again a little later."""
        other = planned_by_another(row, job.owner, {job.plan, job.written_plan})
        if other is None:
            return False
        now = asyncio.get_running_loop().time()
        ahead = (other - self._now()).total_seconds()
        job.overdue_since = None if ahead > 0 else job.overdue_since or now
        expected = self._expect(job)
        farthest = 2 * max(self._pace.longest, 0 if expected is None else expected.latest)
        if not is_believed(ahead, now - (job.overdue_since or now), farthest):
            return False
        job.plan = None
        self._plans.discard(job)
        self._put(job, max(ahead, 0) + LOOK_AGAIN_SECONDS)
        return True

    def leaves_to_a_notice(self, job: Job) -> bool:
        """Whether notices have turned out to come since this question was planned; then it is put off."""
        now = self._now()
        if job.waits_for_notice or is_last(job) or not self._has_a_notice_to_come(job, now):
            return False
        self._plan(job, now, self._next_pause(job, now))
        return True

    def note_end(self, job: Job, status: JobStatus, *, noticed: bool) -> None:
        """Learn from a job that has ended; ``noticed`` when a notice led to the question that found it."""
        self._notices.note(job, noticed=noticed)
        if status.phase == "succeeded":
            self._forecasts.note_success(job.mode)

    def forget(self, job: Job) -> None:
        """Plan nothing more for a job."""
        self.due.remove(job)
        self._plans.discard(job)

    async def bring_up_to_date(self) -> None:
        """Write the plans down, and learn anew what has become old."""
        await self._plans.write()
        await self._forecasts.refresh()

    def _plan(self, job: Job, since: datetime, pause: float, *, unfinished_at: datetime | None = None) -> None:
        """Plan the next question for so many seconds after a moment, at the deadline at the latest."""
        now = self._now()
        left = max(0.0, pause - (now - since).total_seconds())
        left = min(left, max(0.0, job.deadline - asyncio.get_running_loop().time()))
        job.plan = now + timedelta(seconds=left)
        if job.state is State.SUBMITTED:
            self._plans.add(job, PollPlan(job.entry_id, job.plan, unfinished_at))
        self._put(job, left)

    def _put(self, job: Job, seconds: float) -> None:
        self.due.put(job, min(asyncio.get_running_loop().time() + seconds, job.deadline))

    def _next_pause(self, job: Job, since: datetime) -> float:
        job.waits_for_notice = self._has_a_notice_to_come(job, since)
        return next_pause(job, _age(job, since), self._expect(job), self._pace)

    def _has_a_notice_to_come(self, job: Job, at: datetime) -> bool:
        if not (job.has_notice and self._notices) or job.was_noticed:
            return False
        expected = self._expect(job)
        return expected is not None and _age(job, at) < expected.latest

    def _expect(self, job: Job) -> Expectation | None:
        # What is finished already says nothing of how long it will take.
        return self._forecasts.expect(job.mode, job.work) if job.state is State.SUBMITTED else None


def _age(job: Job, at: datetime) -> float:
    return max(0.0, (at - job.submitted_at).total_seconds())


def is_last(job: Job) -> bool:
    """Whether a question now is the last one before the deadline."""
    return asyncio.get_running_loop().time() + AT_DEADLINE_SECONDS >= job.deadline
