"""One scheduler per provider and event loop asks about all jobs that are followed there, in turn and within the rate.

Its state lives in the ledger: the next question is planned there, so that other runs leave the job to this one, and so
that a webhook brings the question forward by writing an earlier moment.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from math import ceil
from typing import TYPE_CHECKING
from uuid import UUID

from tasks.errors import JobUnknown
from tasks.ledger import Entry
from tasks.ledger.batch_models import Tick
from tasks.polling.asking import Answer, Asker
from tasks.polling.followed import Followed
from tasks.polling.jobs import Ending, EndingKind, Job, Watcher
from tasks.polling.rate import QueryRate
from tasks.polling.timetable import Timetable, is_last
from tasks.providers.base import JobStatus, Provider

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

TICK_SECONDS = 0.5
"""How often the ledger is looked at for news."""
OVERLAP = timedelta(seconds=2)
"""News are read again for so long: what was written before may be seen after."""
AT_ONCE = 16
"""Most questions that are under way."""
LANES = 2
"""While one lane asks, the next one looks at the ledger and takes its turns."""
LINE_SECONDS = 0.4
"""A lane takes so many jobs as it may ask about in this time; what is brought forward waits no longer than that."""
EARLY_SECONDS = 0.1
MANY = 50
"""With more jobs than this a question may come this much too early, so that several share their look at the ledger."""
SWEEP_SECONDS = 5.0
"""How late a deadline may be noticed of a job whose turn does not come."""
CHUNK = 500
"""Most jobs that are handled without a pause for everything else."""

log = logging.getLogger("studio.poll")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PollScheduler:
    """Follows jobs of one provider until each has ended in one of the ways that ``Ending`` names.

    Args:
        ledger: where plans are made and news are found; open for as long as anything is followed.
        provider: whom to ask.
        per_second: most questions a second that the provider may see from all processes together.
        now: the present moment, aware; pauses and deadlines are of the event loop's own clock.
    """

    def __init__(
        self, ledger: "Ledger", provider: Provider, *, per_second: float, now: Callable[[], datetime] = _utc_now
    ) -> None:
        self._ledger = ledger
        self._provider = provider
        self._now = now
        self._followed = Followed()
        self._new: deque[tuple[Job, datetime | None]] = deque()
        self._timetable = Timetable(ledger, provider, now)
        self._asker = Asker(ledger, provider)
        self._rates = [QueryRate(ledger, provider, per_second) for _ in range(LANES)]
        self._questions: set[asyncio.Task[None]] = set()
        self._held_until = float("-inf")
        self._swept_at = float("-inf")
        self._added, self._stirred = asyncio.Event(), asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    def follow(
        self,
        entry: Entry,
        *,
        owner: str,
        deadline_seconds: float,
        tell: Callable[[Ending], None],
        watch: Watcher | None = None,
    ) -> Callable[[], None]:
        """Follow a job until ``tell`` is called with its ending, once.

        Args:
            entry: the row, as it is now; a change that it does not show counts as somebody else's.
            owner: id of the flow run; the runs of one process get their turns evenly.
            deadline_seconds: how long to go on; the last question is asked then.
            tell: is called from the event loop and must not block.
            watch: is told every answer.

        Returns:
            Stops following when called; nobody is told.
        """
        deadline = asyncio.get_running_loop().time() + deadline_seconds
        job = Job.of(entry, owner=owner, deadline=deadline, tell=tell, watch=watch)
        self._followed.add(job)
        # What another run means to ask, or a notice that has come, is seen in the row.
        is_to_be_looked_at = entry.next_poll_at is not None and (
            entry.owner != owner or entry.next_poll_at <= self._now()
        )
        self._new.append((job, None if is_to_be_looked_at else entry.unfinished_at or job.submitted_at))
        self._added.set()
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return partial(self._forget, job)

    def drop(self, entry_id: UUID) -> None:
        """Stop following a row for everybody; nobody is told."""
        for job in self._followed.of(entry_id):
            self._forget(job)

    def waiting(self) -> int:
        """How many jobs are followed."""
        return len(self._followed)

    async def close(self) -> None:
        """Stop asking."""
        tasks = [task for task in (self._runner, *self._questions) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                for rate in self._rates:
                    group.create_task(self._ask(rate))
        except* Exception as broken:  # noqa: BLE001 - told to everybody who waits
            error = broken.exceptions[0]
            # Those who wait raise it, traceback and all.
            log.error("poll scheduler broke provider=%s jobs=%d error=%r", self._provider.name, self.waiting(), error)  # noqa: TRY400 - see above
            for job in self._followed:
                self._end(job, "refused", error=error)

    async def _listen(self) -> None:
        """Begin with new jobs at once, and look at the ledger once per tick."""
        loop = asyncio.get_running_loop()
        heard_at, next_tick = self._now(), loop.time()
        while True:
            self._added.clear()
            await self._begin_new()
            if not self._followed:
                await self._added.wait()
                heard_at = self._now()
            elif (left := next_tick - loop.time()) > 0:
                await _wait(self._added, left)
            else:
                heard_at = await self._tick(heard_at)
                next_tick = loop.time() + TICK_SECONDS

    async def _begin_new(self) -> None:
        for number in count(1):
            if not self._new:
                return
            job, since = self._new.popleft()
            if number % CHUNK == 0:
                await asyncio.sleep(0)
            if job.is_followed:
                await self._timetable.begin(job, since)
                self._stirred.set()

    async def _tick(self, heard_at: datetime) -> datetime:
        began = self._now()
        news = await self._ledger.news(self._provider.name, self._provider.endpoint, since=heard_at - OVERLAP)
        for row in news:
            for job in self._followed.of(row.id):
                if job.has_moved(row):
                    self._end(job, "moved")
                else:
                    self._timetable.hear(job, row)
        self._stirred.set()
        await self._timetable.bring_up_to_date()
        self._end_overdue()
        return began

    def _end_overdue(self) -> None:
        """End jobs whose deadline passed while they waited for their turn or for an answer."""
        now = asyncio.get_running_loop().time()
        if now < self._swept_at + SWEEP_SECONDS:
            return
        self._swept_at = now
        for job in self._followed:
            if now > job.deadline + SWEEP_SECONDS:
                self._end(job, "overdue")

    async def _ask(self, rate: QueryRate) -> None:
        """Ask about what is due, in turn, as fast as the rate allows."""
        loop = asyncio.get_running_loop()
        at_once = ceil(rate.per_second * LINE_SECONDS)
        while True:
            self._stirred.clear()
            room = min(AT_ONCE - len(self._questions), at_once)
            if room <= 0:
                await self._stirred.wait()
                continue
            if jobs := self._timetable.due.take(loop.time() + self._early(), room):
                await self._ask_about(jobs, rate)
                continue
            due = self._timetable.due.next_due()
            await _wait(self._stirred, None if due is None else due - self._early() - loop.time())

    async def _ask_about(self, jobs: Sequence[Job], rate: QueryRate) -> None:
        loop = asyncio.get_running_loop()
        rows = await self._ledger.ticks([job.entry_id for job in jobs])
        line = [job for job in jobs if self._is_to_be_asked(job, rows.get(job.entry_id))]
        while line:
            await asyncio.sleep(max(0.0, self._held_until - loop.time()))
            come = await rate.turns(len(line))
            for job in line[:come]:
                if job.is_followed:
                    question = asyncio.create_task(self._question(job))
                    self._questions.add(question)
                    question.add_done_callback(self._note_answered)
            line = line[come:]

    def _is_to_be_asked(self, job: Job, row: Tick | None) -> bool:
        """Judge by the row as it is now; what is not asked is ended or planned anew."""
        if not job.is_followed:
            return False
        if row is None or job.has_moved(row):
            self._end(job, "moved")
            return False
        if job.is_noticed:
            return True
        if self._timetable.leaves_to_another(job, row):
            if is_last(job):
                self._end(job, "overdue")
            return False
        return not self._timetable.leaves_to_a_notice(job)

    async def _question(self, job: Job) -> None:
        asked_at = self._now()
        noticed, job.is_noticed = job.is_noticed, False
        if noticed:
            job.was_noticed, job.pause = True, 0.0
        try:
            answer = await self._asker.ask(job)
        except JobUnknown as error:
            self._end(job, "unknown", error=error)
        except Exception as error:  # noqa: BLE001 - told to whoever waits for this job
            self._end(job, "refused", error=error)
        else:
            if not job.is_followed:
                return
            if answer.status is not None and answer.status.phase in {"succeeded", "failed"}:
                self._timetable.note_end(job, answer.status, noticed=noticed)
                self._end(job, "ended", status=answer.status)
            else:
                self._go_on(job, asked_at, answer)

    def _go_on(self, job: Job, asked_at: datetime, answer: Answer) -> None:
        """Plan the next question about a job that is unfinished, or about which there was no answer."""
        now = asyncio.get_running_loop().time()
        self._held_until = max(self._held_until, now + answer.hold)
        if is_last(job) or now + answer.pause > job.deadline:
            self._end(job, "overdue")
        elif answer.status is None:
            self._timetable.try_again(job, asked_at, answer.pause)
        else:
            self._timetable.go_on(job, asked_at)

    def _early(self) -> float:
        return EARLY_SECONDS if len(self._followed) > MANY else 0.0

    def _note_answered(self, question: asyncio.Task[None]) -> None:
        self._questions.discard(question)
        self._stirred.set()

    def _end(
        self, job: Job, kind: EndingKind, *, status: JobStatus | None = None, error: Exception | None = None
    ) -> None:
        if job.is_followed:
            self._forget(job)
            job.tell(Ending(job.entry_id, kind, status=status, error=error, word=job.word))

    def _forget(self, job: Job) -> None:
        if job.is_followed:
            job.is_followed = False
            self._followed.remove(job)
            self._timetable.forget(job)


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    """Wait for an event, or until a time is over; None waits for the event only."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
