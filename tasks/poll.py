"""Wait for a render: ask first, sleep after, and end in a stated outcome at the deadline. Never a resubmission.

Of several runs that wait for one job, one asks the provider, and the others watch the ledger: the next question is
planned there, and a webhook brings it forward.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from prefect import task
from pydantic import ValidationError

from tasks.errors import JobUnknown, ProviderBusy, ProviderUnavailable, RenderFailed, StillRunning
from tasks.followers import OtherAsker, is_archived_by_another
from tasks.http import asked_pause
from tasks.ledger import Charge, Entry, State, StateConflict
from tasks.ledger.opening import open_ledger
from tasks.progress import ProgressBar
from tasks.providers.base import JobStatus, Pace, Provider, ResultFile
from tasks.registry import provider_of
from tasks.settings import get_settings
from tasks.settle import ambiguous

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

JITTER = 0.1
WATCH_SECONDS = 1.0
"""How often the ledger is looked at while waiting; shorter pauses are not planned there."""
UNKNOWN_TOLERATED = 3
"""Times in a row that a provider may not know its own job yet."""

log = logging.getLogger("studio.poll")
Watcher = Callable[[JobStatus], Awaitable[None]]


@task(name="wait for the render", task_run_name="wait for the render")
async def wait_for_render(entry: Entry, owner: str) -> ResultFile | None:
    """Wait until the provider has the video, showing the progress on the run's page, and note the result.

    Args:
        entry: an accepted submission.
        owner: id of the flow run.

    Returns:
        Where the result is; None when another run has brought it into the archive meanwhile.

    Raises:
        RenderFailed: the provider ended the job without a video.
        StillRunning: the deadline came first; running the same request again goes on waiting.
        AmbiguousSubmit: the provider does not know the job; a person must look.
    """
    provider = await provider_of(entry)
    progress = ProgressBar(f"{provider.name} job {entry.job_id}")
    async with open_ledger() as ledger:
        try:
            status = await poll_until_done(
                ledger,
                provider,
                entry,
                owner,
                deadline_seconds=get_settings().render_deadline_seconds,
                watch=progress.show,
            )
            return None if status is None else await note_outcome(ledger, entry, status, owner)
        except JobUnknown as error:
            await _unless_overtaken(ledger.mark_denied(entry.id, error.message, owner=owner), set(State))
            raise ambiguous(await ledger.get(entry.id)) from error
        except BaseException:
            # Whoever comes next need not wait for this run.
            await ledger.let_go(entry.id, owner)
            raise


async def note_outcome(ledger: "Ledger", entry: Entry, status: JobStatus, owner: str) -> ResultFile:
    """Write down how a job ended.

    Raises:
        RenderFailed: it ended without a video.
    """
    if status.phase == "failed" or status.result is None:
        reason = status.reason or f"it ended as {status.word!r} without a result"
        before = (await ledger.get(entry.id)).state
        if before in {State.SUBMITTED, State.SUCCEEDED}:
            # Once it was finished, a failure is a result that was lost, and says nothing about money.
            charged = status.charged if before is State.SUBMITTED else None
            await _unless_overtaken(
                ledger.mark_failed(entry.id, reason, charged=charged, expected=before, owner=owner),
                {State.FAILED},
            )
        raise RenderFailed(
            f"{entry.provider} could not render it: {reason.rstrip('.')}.",
            provider=entry.provider,
            job_id=entry.job_id or "",
            fix="Mend the cause and run the request again; that makes a new submission.",
        )
    await _unless_overtaken(
        ledger.mark_succeeded(entry.id, status.result.model_dump(mode="json"), owner=owner),
        {State.SUCCEEDED, State.ARCHIVED},
    )
    await _note_cost(ledger, entry, status)
    return status.result


async def _note_cost(ledger: "Ledger", entry: Entry, status: JobStatus) -> None:
    """Keep what the provider says it took; a senseless figure must not stand between a paid video and the archive."""
    if status.cost is None:
        return
    try:
        charge = Charge(
            provider=entry.provider,
            account=entry.account,
            reference=entry.job_id or "",
            at=datetime.now(UTC),
            amount=status.cost,
            unit=status.cost_unit,
            submission_id=entry.id,
        )
    except ValidationError as error:
        log.warning("cost not kept job=%s problems=%d", entry.job_id, error.error_count())
        return
    await ledger.record_charge(charge)


async def _unless_overtaken(change: Awaitable[Entry], done: set[State]) -> None:
    try:
        await change
    except StateConflict as conflict:
        # Another run that waits for the same job was quicker.
        if conflict.actual not in done:
            raise


async def poll_until_done(
    ledger: "Ledger", provider: Provider, entry: Entry, owner: str, *, deadline_seconds: float, watch: Watcher
) -> JobStatus | None:
    """Ask for the job until it has ended; None when another run has archived it.

    Raises:
        StillRunning: after ``deadline_seconds``, naming the job and how to resume.
        RenderFailed: another run has noted that it failed.
        JobUnknown: the provider has not known the job several times in a row.
    """
    end = time.monotonic() + deadline_seconds
    asking = _Asking(provider, entry.job_id or "", watch)
    other = OtherAsker(owner, provider.pace)
    planned: datetime | None = None
    for pause in pauses(provider.pace):
        entry = await ledger.get(entry.id)
        if await is_archived_by_another(ledger, entry, owner):
            return None
        entry = await ledger.get(entry.id)
        if entry.state is State.ARCHIVED:
            return None
        if not entry.is_open:
            raise RenderFailed(
                f"{entry.provider} job {entry.job_id} was ended meanwhile: {entry.reason}",
                provider=entry.provider,
                job_id=entry.job_id or "",
                fix="Run the request again; that makes a new submission.",
            )
        rest = WATCH_SECONDS
        if not other.is_there(entry, planned):
            status, asked = await asking.once(ledger)
            if status is not None and status.phase in {"succeeded", "failed"}:
                return status
            rest = max(pause, asked)
            planned = datetime.now(UTC) + timedelta(seconds=rest)
        if time.monotonic() + rest > end:
            break
        await _rest(ledger, entry, rest, planned)
    raise StillRunning(
        f"{provider.name} job {entry.job_id} is still {asking.word} after {deadline_seconds:.0f} s.",
        provider=provider.name,
        job_id=entry.job_id or "",
        fix="Nothing is lost: run the same request again and it goes on waiting for this job.",
    )


class _Asking:
    """Questions about one job, and what was noticed on the way."""

    def __init__(self, provider: Provider, job_id: str, watch: Watcher) -> None:
        if not job_id:
            raise ValueError("there is no job id to ask for")
        self.word = "under way"
        self._provider = provider
        self._job_id = job_id
        self._watch = watch
        self._odd_words: set[str] = set()
        self._unknown = 0
        self._in_trouble = False

    async def once(self, ledger: "Ledger") -> tuple[JobStatus | None, float]:
        """The job's status, None when there was no usable answer; and the seconds that the provider asked to wait."""
        try:
            status = await self._provider.query(self._job_id)
        except JobUnknown:
            self._unknown += 1
            if self._unknown > UNKNOWN_TOLERATED:
                raise
            return None, 0
        except ProviderBusy as error:
            log.warning("asked too fast provider=%s job=%s", self._provider.name, self._job_id)
            return None, asked_pause(error)
        except ProviderUnavailable as error:
            if not self._in_trouble:
                log.warning(
                    "no answer, asking on provider=%s job=%s error=%s", self._provider.name, self._job_id, error
                )
            self._in_trouble = True
            await ledger.note_trouble(self._provider.name, self._provider.endpoint, error.message)
            return None, asked_pause(error)
        if self._in_trouble:
            self._in_trouble = False
            await ledger.note_health(self._provider.name, self._provider.endpoint)
        self._unknown = 0
        self.word = status.word
        if status.odd and status.word not in self._odd_words:
            self._odd_words.add(status.word)
            log.warning("unknown status provider=%s job=%s word=%r", self._provider.name, self._job_id, status.word)
        await self._watch(status)
        return status, 0


async def _rest(ledger: "Ledger", entry: Entry, seconds: float, planned: datetime | None) -> None:
    """Sleep until the next question, or until the ledger says that there is news."""
    if seconds <= WATCH_SECONDS:
        await asyncio.sleep(seconds)
        return
    if planned is not None:
        await ledger.set_next_poll(entry.id, planned)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(left, WATCH_SECONDS))
        now = await ledger.get(entry.id)
        is_brought_forward = planned is not None and now.next_poll_at is not None and now.next_poll_at < planned
        if now.state is not entry.state or is_brought_forward:
            return


def pauses(pace: Pace) -> Iterator[float]:
    """Growing pauses in seconds, each moved by up to 10 % so that many renders do not ask in step; without end."""
    pause = pace.first
    while True:
        yield pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret
        pause = min(pause * pace.growth, pace.longest)
