"""Wait for a render: ask first, sleep after, and end in a stated outcome at the deadline. Never a resubmission.

Of several runs that wait for one job, one asks the provider, and the others watch the ledger: the next question is
planned there, and a webhook brings it forward.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tasks.errors import JobUnknown, RenderFailed, StillRunning
from tasks.followers import after_archiving
from tasks.ledger import Charge, Entry, State
from tasks.ledger.opening import open_ledger
from tasks.overtaken import unless_overtaken
from tasks.polling import Ending, PollScheduler, Watcher, open_scheduler
from tasks.progress import ProgressBar
from tasks.providers.base import JobStatus, Provider, ResultFile
from tasks.registry import provider_of
from tasks.settings import get_settings
from tasks.settle import denied
from tasks.step import step

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

log = logging.getLogger("studio.poll")


@step("wait for the render")
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
            raise await denied(ledger, entry, error, owner) from error
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
            change = ledger.mark_failed(entry.id, reason, charged=charged, expected=before, owner=owner)
            await unless_overtaken(change, done={State.FAILED})
        raise RenderFailed(
            f"{entry.provider} could not render it: {reason.rstrip('.')}.",
            provider=entry.provider,
            job_id=entry.job_id or "",
            fix="Mend the cause and run the request again; that makes a new submission.",
        )
    change = ledger.mark_succeeded(entry.id, status.result.model_dump(mode="json"), owner=owner)
    await unless_overtaken(change, done={State.SUCCEEDED, State.ARCHIVED})
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
    async with open_scheduler(ledger, provider) as scheduler:
        while True:
            entry = await after_archiving(ledger, entry, owner)
            if entry.state is State.ARCHIVED:
                return None
            if not entry.is_open:
                raise RenderFailed(
                    f"{entry.provider} job {entry.job_id} was ended meanwhile: {entry.reason}",
                    provider=entry.provider,
                    job_id=entry.job_id or "",
                    fix="Run the request again; that makes a new submission.",
                )
            ending = await _ending(scheduler, entry, owner, end - time.monotonic(), watch)
            if ending.kind == "ended":
                return ending.status
            if ending.kind == "overdue":
                raise StillRunning(
                    f"{provider.name} job {entry.job_id} is still {ending.word} after {deadline_seconds:.0f} s.",
                    provider=provider.name,
                    job_id=entry.job_id or "",
                    fix="Nothing is lost: run the same request again and it goes on waiting for this job.",
                )
            if ending.error is not None:
                raise ending.error


async def _ending(
    scheduler: PollScheduler, entry: Entry, owner: str, deadline_seconds: float, watch: Watcher
) -> Ending:
    told: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    def tell(ending: Ending) -> None:
        # This wait may have been cancelled in the same moment.
        if not told.done():
            told.set_result(ending)

    forget = scheduler.follow(entry, owner=owner, deadline_seconds=deadline_seconds, tell=tell, watch=watch)
    try:
        return await told
    finally:
        forget()
