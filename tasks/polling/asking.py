"""One question about a job, and what is noticed on the way."""

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from tasks.errors import JobUnknown, ProviderBusy, ProviderUnavailable
from tasks.http import asked_pause
from tasks.polling.jobs import Job, Watcher
from tasks.providers.base import JobStatus, Provider

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

UNKNOWN_TOLERATED = 3
"""Times in a row that a provider may not know its own job yet."""
BUSY_SECONDS = 1.0
"""How long a provider that is asked too fast, and does not say for how long, is left alone."""
NOTE_SECONDS = 1.0
"""Troubles within this time are noted once: questions are many, and each note is a write."""
MOST_ODD_WORDS = 100

log = logging.getLogger("studio.poll")


class Answer(NamedTuple):
    """What a question brought."""

    status: JobStatus | None
    """None when there was no usable answer."""
    pause: float = 0.0
    """Seconds that the provider asked to leave this job alone."""
    hold: float = 0.0
    """Seconds for which the provider is asked nothing at all."""


class Asker:
    """Asks one provider; remembers whether it is in trouble, and which words of it nobody knows."""

    def __init__(self, ledger: "Ledger", provider: Provider) -> None:
        self._ledger = ledger
        self._provider = provider
        self._odd_words: set[str] = set()
        self._in_trouble = False
        self._noted_at = float("-inf")

    async def ask(self, job: Job) -> Answer:
        """Ask how a job is, in one try.

        Raises:
            JobUnknown: the provider has not known the job several times in a row.
            ProviderRejected: the question was refused.
        """
        try:
            status = await self._provider.query(job.job_id)
        except JobUnknown:
            job.unknown += 1
            if job.unknown > UNKNOWN_TOLERATED:
                raise
            return Answer(None)
        except ProviderBusy as error:
            log.warning("asked too fast provider=%s job=%s", self._provider.name, job.job_id)
            asked = BUSY_SECONDS if error.retry_after is None else asked_pause(error)
            return Answer(None, pause=asked, hold=asked)
        except ProviderUnavailable as error:
            await self._note_trouble(job, error)
            return Answer(None, pause=asked_pause(error))
        await self._note_health()
        job.unknown = 0
        job.word = status.word
        if status.odd and status.word not in self._odd_words and len(self._odd_words) < MOST_ODD_WORDS:
            self._odd_words.add(status.word)
            log.warning("unknown status provider=%s job=%s word=%r", self._provider.name, job.job_id, status.word)
        if job.watch is not None:
            watch, context = job.watch
            # What is shown belongs to the run that asked for it, not to the one whose questions these are.
            await asyncio.create_task(_show(watch, status), context=context)
        return Answer(status)

    async def _note_trouble(self, job: Job, error: ProviderUnavailable) -> None:
        if not self._in_trouble:
            log.warning("no answer, asking on provider=%s job=%s error=%s", self._provider.name, job.job_id, error)
        self._in_trouble = True
        now = asyncio.get_running_loop().time()
        if now >= self._noted_at + NOTE_SECONDS:
            self._noted_at = now
            await self._ledger.note_trouble(self._provider.name, self._provider.endpoint, error.message)

    async def _note_health(self) -> None:
        if self._in_trouble:
            self._in_trouble = False
            await self._ledger.note_health(self._provider.name, self._provider.endpoint)


async def _show(watch: Watcher, status: JobStatus) -> None:
    await watch(status)
