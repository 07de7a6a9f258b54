"""Pauses without a forecast."""

from tasks.polling.jobs import Job
from tasks.polling.pausing import next_by_pace, next_pause
from tasks.providers.base import Pace
from tests.simulated_polls import submitted
from tests.virtual_time import run_virtually


async def new_job() -> Job:
    return Job.of(submitted("job"), owner="run", deadline=1e9, tell=lambda _: None, watch=None)


def test_pauses_grow_to_the_longest_and_are_never_in_step() -> None:
    """Pauses start short, end at the provider's longest, and differ between renders."""
    pace = Pace(first=1, growth=2, longest=5)
    jobs = [run_virtually(new_job()) for _ in range(2)]
    first, second = ([next_by_pace(job, pace) for _ in range(8)] for job in jobs)

    assert first != second
    assert 0.9 <= first[0] <= 1.1
    assert 1.8 <= first[1] <= 2.2
    assert all(4.5 <= pause <= 5.5 for pause in first[4:])


def test_nothing_known_means_the_pace() -> None:
    """Without a forecast the age decides nothing."""
    pace = Pace(first=3, growth=1.3, longest=30)

    assert 2.7 <= next_pause(run_virtually(new_job()), 1000, None, pace) <= 3.3
