"""Thousands of renders in one process: a few workers begin rows, each waits as a few bytes, and is finished as it ends.

What a render needs while it waits is in the ledger. In memory there are only its id, its row number and the moment of
the next question. The steps are those of `render_video`, called plainly.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tasks.batch.book import Book
from tasks.batch.finishing import Finisher
from tasks.batch.intake import Beginner, Begun
from tasks.batch.row_file import RowFile
from tasks.batch.stopping import GRACE_SECONDS, Stopping
from tasks.batch.task_runs import TaskRuns
from tasks.batch.verdicts import Verdict, may_try_again, verdict_of
from tasks.http import patiently
from tasks.ledger import Entry, State
from tasks.ledger.batch_models import HAS_VIDEO, BatchRow
from tasks.polling import Ending, PollScheduler, open_scheduler
from tasks.registry import provider_of
from tasks.settings import get_settings
from tasks.step import plain_steps

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

WORKERS = 12
"""Rows that are begun at the same time: fetched, planned, uploaded, submitted."""
AGAIN_SECONDS = 90
"""How long a row is tried again while the studio's own servers are away."""

LATE_SECONDS = 120
"""After its deadline a run is cut off; what it was doing is finished by the next one."""
CUT_OFF_SECONDS = 5.0
REFOLLOW_SECONDS = 5.0

log = logging.getLogger("studio.batch")


@dataclass(frozen=True)
class Orders:
    """How a batch is to be run.

    Args:
        run_id: flow run that answers for the batch; it reserves and owns what is submitted.
        in_flight: most renders under way at the same time.
        until: moment of ``time.monotonic()`` at which the run ends, whatever is still rendering.
    """

    run_id: str
    in_flight: int
    until: float


class Engine:
    """Brings the rows of a file to their outcomes.

    Args:
        ledger: where everything is.
        orders: how.
        rows: their requests.
        beginner: how a row is begun.
        book: takes the outcomes.
        shown: the task runs that a person sees.
        folder: room on this machine.
        stopping: whether the run has been asked to end.
    """

    def __init__(
        self,
        ledger: "Ledger",
        orders: Orders,
        rows: RowFile,
        *,
        beginner: Beginner,
        book: Book,
        shown: TaskRuns,
        folder: Path,
        stopping: Stopping,
    ) -> None:
        self._ledger, self._orders, self._rows = ledger, orders, rows
        self._book, self._shown, self._stopping = book, shown, stopping
        self._beginner = beginner
        self._finisher = Finisher(ledger, rows, folder, owner=orders.run_id)
        self._slots = asyncio.Semaphore(orders.in_flight)
        self._queue: asyncio.Queue[int] = asyncio.Queue(maxsize=WORKERS)
        self._schedulers: dict[tuple[str, str, str], PollScheduler] = {}
        self._beginning = asyncio.Semaphore(WORKERS)
        self._stack = AsyncExitStack()
        self._finishing: set[asyncio.Task[None]] = set()
        self._waiting: dict[UUID, int] = {}
        self._open = 0
        self._is_fed = self._is_ending = False
        self._over = asyncio.Event()

    async def run(self, numbers: Iterable[int]) -> None:
        """Go on until each of these rows has its outcome, or the run is asked to end, or its time is over."""
        with plain_steps():
            async with self._stack:
                helpers = [asyncio.create_task(self._feed(numbers))]
                helpers += [asyncio.create_task(self._work()) for _ in range(WORKERS)]
                try:
                    await self._until_over(helpers)
                finally:
                    await self._end(helpers)

    async def _until_over(self, helpers: list[asyncio.Task[None]]) -> None:
        """Wait for the end; a helper that breaks ends the batch with its error, and the deadline in any case."""
        feeder, *workers = helpers
        ends = [asyncio.create_task(event.wait()) for event in (self._over, self._stopping.asked)]
        # The feeder ends first when all is well.
        broken = asyncio.create_task(_until_broken(feeder))
        try:
            timeout = max(0.0, self._orders.until - time.monotonic()) + LATE_SECONDS
            await asyncio.wait([*ends, *workers, broken], timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in (*ends, broken):
                end.cancel()
        for helper in helpers:
            if helper.done() and not helper.cancelled():
                helper.result()

    async def _end(self, helpers: list[asyncio.Task[None]]) -> None:
        """Begin nothing more, let what has begun come to a good end for a while, then cut it off."""
        self._is_ending = True
        helpers[0].cancel()
        # What is still rendering is not followed any further.
        self._waiting.clear()
        busy = [*self._finishing, *helpers[1:]]
        if self._stopping.asked.is_set():
            log.warning("asked to end, finishing what is being submitted open=%d", self._open)
            while not self._queue.full():
                # Wakes a worker that has nothing to do; none begins a row any more.
                self._queue.put_nowait(0)
            await asyncio.wait(busy, timeout=GRACE_SECONDS)
        for task in busy:
            task.cancel()
        await asyncio.wait([*helpers, *busy], timeout=CUT_OFF_SECONDS)

    async def _feed(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            await self._slots.acquire()
            if time.monotonic() > self._orders.until:
                break
            self._open += 1
            await self._queue.put(number)
        self._is_fed = True
        self._look_for_the_end()

    async def _work(self) -> None:
        while not self._stopping.asked.is_set():
            number = await self._queue.get()
            if self._stopping.asked.is_set():
                return
            self._shown.begin(number)
            await self._begin_judged(number)

    async def _begin_judged(self, number: int) -> None:
        async with self._beginning:
            await self._judged(number, self._begin, number, accepted=False)

    async def _begin(self, number: int) -> None:
        begun = await self._beginner.begin(number)
        if isinstance(begun, Begun):
            self._book.note(begun.row)
            await self._judged(number, self._follow, number, begun.entry, accepted=True)
        elif begun is not None:
            self._close(begun)

    async def _judged(self, number: int, work: Callable[..., Awaitable[None]], *args: Any, accepted: bool) -> None:
        """Do a part of a row; whatever goes wrong in it is the outcome of that row alone."""
        try:
            await patiently(may_try_again, seconds=AGAIN_SECONDS, first=2)(work, *args)
        except Exception as error:  # noqa: BLE001 - judged, row by row
            self._close(self._without_video(number, verdict_of(error, number, accepted=accepted)))

    async def _follow(self, number: int, entry: Entry) -> None:
        """Wait for a render without holding anything but a few bytes; other states are finished at once."""
        if entry.state is not State.SUBMITTED:
            self._ended(number, Ending(entry.id, "moved"))
            return
        scheduler = await self._scheduler_of(entry)
        left = max(0.0, min(get_settings().render_deadline_seconds, self._orders.until - time.monotonic()))
        self._waiting[entry.id] = number
        scheduler.follow(entry, owner=self._orders.run_id, deadline_seconds=left, tell=self._tell)

    async def _scheduler_of(self, entry: Entry) -> PollScheduler:
        key = (entry.provider, entry.account, entry.endpoint)
        if key not in self._schedulers:
            provider = await provider_of(entry)
            scheduler = await self._stack.enter_async_context(open_scheduler(self._ledger, provider))
            # Another worker may have been quicker; both hold the same one.
            self._schedulers[key] = scheduler
        return self._schedulers[key]

    def _tell(self, ending: Ending) -> None:
        if (number := self._waiting.pop(ending.entry_id, None)) is not None:
            self._ended(number, ending)

    def _ended(self, number: int, ending: Ending) -> None:
        self._go_on(self._judged(number, self._finish, number, ending, accepted=True))

    def _go_on(self, work: Coroutine[Any, Any, None]) -> None:
        if self._is_ending:
            work.close()
            return
        task = asyncio.create_task(work)
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _finish(self, number: int, ending: Ending) -> None:
        finished = await self._finisher.finish(number, ending)
        if isinstance(finished, Entry):
            if ending.kind == "refused":
                # Whatever broke the scheduler is given a moment, so that it does not break it again at once.
                await asyncio.sleep(REFOLLOW_SECONDS)
            await self._follow(number, finished)
        elif finished is None:
            # Nothing of it is under way any more, so it is begun anew.
            await self._begin(number)
        else:
            self._close(finished)

    def _without_video(self, number: int, verdict: Verdict) -> BatchRow:
        """The outcome of a row that has no video; what is known of its render stays."""
        news = {**verdict._asdict(), "updated_at": datetime.now(UTC)}
        if known := self._book.rendering(number):
            return known.model_copy(update=news)
        try:
            title = self._rows.request(number).title
        except ValueError as error:
            log.warning("row cannot be read row=%d error=%s", number, error)
            title = ""
        return BatchRow(number=number, run_id=self._orders.run_id, title=title, **news)

    def _close(self, row: BatchRow) -> None:
        """A row has its outcome; rows that waited for the same render come next."""
        self._book.note(row)
        self._shown.end(row)
        self._open -= 1
        self._slots.release()
        for number in self._beginner.followers_of(row.number):
            if row.state in HAS_VIDEO:
                self._go_on(self._begin_judged(number))
            else:
                # The same render would fail in the same way, and might cost money again.
                self._close(self._without_video(number, Verdict(row.state, row.reason, row.fix)))
        self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        if self._is_fed and self._open == 0:
            self._over.set()


async def _until_broken(feeder: asyncio.Task[None]) -> None:
    """End only if the feeder breaks."""
    await asyncio.wait([feeder])
    if feeder.cancelled() or feeder.exception() is None:
        await asyncio.Event().wait()
