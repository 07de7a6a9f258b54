"""Wait for a render: ask first, sleep after, and end in a stated outcome at the deadline. Never a resubmission."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING
from uuid import UUID

from prefect import task
from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.context import FlowRunContext

from tasks.errors import RenderFailed, StillRunning
from tasks.ledger import Entry, State, StateConflict
from tasks.ledger.opening import open_ledger
from tasks.providers.base import JobStatus, Pace, Provider, ResultFile
from tasks.providers.registry import get_provider
from tasks.settings import get_settings

PROGRESS_KEY = "render-progress"
JITTER = 0.1

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

log = logging.getLogger("studio.poll")
Watcher = Callable[[JobStatus], Awaitable[None]]


@task(name="wait for the render", task_run_name="wait for the render")
async def wait_for_render(entry: Entry) -> ResultFile:
    """Wait until the provider has the video, showing the progress on the run's page, and note the result.

    Raises:
        RenderFailed: the provider ended the job without a video.
        StillRunning: the deadline came first; running the same request again goes on waiting.
    """
    provider = get_provider(entry.provider)
    progress = _ProgressBar(f"{provider.name} job {entry.job_id}")
    async with open_ledger() as ledger:
        status = await poll_until_done(provider, entry, get_settings().render_deadline_seconds, progress.show)
        if status.phase == "failed" or status.result is None:
            reason = status.reason or f"it ended as {status.word!r} without a result"
            await ledger.mark_failed(entry.id, reason, charged=status.charged, expected=entry.state)
            raise RenderFailed(
                f"{provider.name} could not render it: {reason}",
                provider=provider.name,
                job_id=entry.job_id or "",
                fix="Mend the cause and run the request again; that makes a new submission.",
            )
        if entry.state is State.SUBMITTED:
            await _note_success(ledger, entry, status.result)
    return status.result


async def _note_success(ledger: "Ledger", entry: Entry, result: ResultFile) -> None:
    try:
        await ledger.mark_succeeded(entry.id, result.model_dump(mode="json"))
    except StateConflict as conflict:
        # Another run that waits for the same job was quicker.
        if conflict.actual not in {State.SUCCEEDED, State.ARCHIVED}:
            raise


async def poll_until_done(provider: Provider, entry: Entry, deadline_seconds: float, watch: Watcher) -> JobStatus:
    """Query the job until it has ended.

    Raises:
        StillRunning: after ``deadline_seconds``, naming the job and how to resume.
    """
    if not entry.job_id:
        raise ValueError(f"ledger entry {entry.id} has no job id to ask for")
    end = time.monotonic() + deadline_seconds
    odd_words: set[str] = set()
    for pause in pauses(provider.pace):
        status = await provider.query(entry.job_id)
        await watch(status)
        if status.phase in {"succeeded", "failed"}:
            return status
        if status.odd and status.word not in odd_words:
            odd_words.add(status.word)
            log.warning("unknown status provider=%s job=%s word=%r", provider.name, entry.job_id, status.word)
        if time.monotonic() + pause > end:
            break
        await asyncio.sleep(pause)
    raise StillRunning(
        f"{provider.name} job {entry.job_id} is still {status.word} after {deadline_seconds:.0f} s.",
        provider=provider.name,
        job_id=entry.job_id,
        fix="Nothing is lost: run the same request again and it goes on waiting for this job.",
    )


def pauses(pace: Pace) -> Iterator[float]:
    """Growing pauses in seconds, each moved by up to 10 % so that many renders do not ask in step; without end."""
    pause = pace.first
    while True:
        yield pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret
        pause = min(pause * pace.growth, pace.longest)


class _ProgressBar:
    """The progress artifact of this run; a run that is called without Prefect has none."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._artifact_id: UUID | None = None
        self._shown = -1.0

    async def show(self, status: JobStatus) -> None:
        percent = 100.0 if status.phase == "succeeded" else round((status.progress or 0) * 100, 1)
        if FlowRunContext.get() is None or percent == self._shown:
            return
        self._shown = percent
        if self._artifact_id is None:
            self._artifact_id = await acreate_progress_artifact(
                progress=percent, key=PROGRESS_KEY, description=self._description
            )
        else:
            await aupdate_progress_artifact(self._artifact_id, progress=percent)
