"""How long to wait before the next question about a job."""

import random

from tasks.polling.forecast import Expectation
from tasks.polling.jobs import Job
from tasks.providers.base import Pace

JITTER = 0.1
"""Part by which pauses differ, so that many renders are not asked about in step."""
FORECAST_JITTER = 0.005
"""The same for a forecast moment, as part of the typical time: enough to part renders, too little to miss it."""
SHORTEST_PART = 0.25
"""No pause is shorter than this part of the pace's first one."""
LATE_PART = 0.25
"""A render that takes longer than nearly all others is asked about at least once in this part of the typical time."""
NOTICES_MISSED = 3


class NoticeTrust:
    """Whether notices come: only what came is counted on, and no longer once it has failed to come a few times."""

    def __init__(self) -> None:
        self._seen = False
        self._missed = 0

    def __bool__(self) -> bool:
        return self._seen and self._missed < NOTICES_MISSED

    def note(self, job: Job, *, noticed: bool) -> None:
        """Count a job that has ended; ``noticed`` when a notice led to the question that found it."""
        if noticed:
            self._seen, self._missed = True, 0
        elif job.waits_for_notice:
            self._missed += 1


def next_pause(job: Job, age: float, expectation: Expectation | None, pace: Pace) -> float:
    """Seconds until the next question.

    Args:
        job: it remembers how far its pauses have grown, and whether a notice will tell of its end.
        age: seconds since it was submitted; it is unfinished, or was not asked about yet.
        expectation: how long it will probably take; None when nobody knows.
        pace: of the provider, without an expectation.
    """
    if expectation is None or job.was_noticed:
        # A notice that came before the provider's own answer says that it is a matter of moments.
        return next_by_pace(job, pace)
    if job.waits_for_notice:
        return expectation.latest - age
    pause = expectation.next_age(age) - age + expectation.typical * FORECAST_JITTER * random.uniform(-1, 1)  # noqa: S311 - not a secret
    if age > expectation.latest:
        pause = min(pause, max(pace.longest, LATE_PART * expectation.typical))
    return max(pause, SHORTEST_PART * pace.first)


def next_by_pace(job: Job, pace: Pace) -> float:
    """The job's next pause in the growing sequence of the pace, moved by up to 10 %."""
    job.pause = min(job.pause * pace.growth, pace.longest) if job.pause else pace.first
    return job.pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret
