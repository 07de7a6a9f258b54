"""Waiting for a render: ask first, show progress, end at the deadline with the way to resume."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tasks.errors import (
    AmbiguousSubmit,
    JobUnknown,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RenderFailed,
    StillRunning,
)
from tasks.ledger import Entry, Intent, State
from tasks.ledger.opening import open_ledger
from tasks.poll import poll_until_done, wait_for_render
from tasks.polling import Ending, open_scheduler
from tasks.providers.base import JobStatus, Pace, ResultFile, Sighting
from tasks.settle import look_and_settle
from tests.scripted_provider import ScriptedProvider, instead_of_all

DONE = JobStatus(phase="succeeded", word="done", result=ResultFile(location="/tmp/x.mp4", speech_seconds=1.5))
RUNNING = JobStatus(phase="running", word="rendering", progress=0.5)


@pytest.fixture
def provider(studio_home: Path) -> Iterator[ScriptedProvider]:
    """The provider at the studio's border."""
    with instead_of_all(ScriptedProvider()) as scripted:
        yield scripted


async def _submitted(key: str = "d" * 64, job_id: str = "job-1") -> Entry:
    intent = Intent(render_key=key, provider="local", account="local", endpoint="file:test")
    async with open_ledger() as ledger:
        entry, _ = await ledger.reserve(intent, owner="run")
        await ledger.mark_submitting(entry.id, "run")
        return await ledger.mark_submitted(entry.id, job_id)


async def _watch(_status: JobStatus) -> None:
    return None


async def _poll(provider: ScriptedProvider, deadline: float = 60, owner: str = "run") -> JobStatus | None:
    entry = await _submitted()
    async with open_ledger() as ledger:
        return await poll_until_done(ledger, provider, entry, owner, deadline_seconds=deadline, watch=_watch)


async def test_finished_job_is_seen_without_a_pause(provider: ScriptedProvider) -> None:
    """The first question comes before the first pause."""
    provider.statuses = [DONE]
    provider.pace = Pace(first=3600, growth=1, longest=3600)

    result = await wait_for_render.fn(await _submitted(), "run")

    assert result == DONE.result
    assert provider.queries == 1


async def test_result_is_in_the_ledger_before_it_is_fetched(provider: ScriptedProvider) -> None:
    """A crash right after the render leaves the result in the ledger."""
    provider.statuses = [RUNNING, RUNNING, DONE]
    entry = await _submitted()

    await wait_for_render.fn(entry, "run")

    async with open_ledger() as ledger:
        stored = await ledger.get(entry.id)
    assert stored.state is State.SUCCEEDED
    assert stored.result is not None
    assert stored.result["location"] == "/tmp/x.mp4"


async def test_two_waiting_runs_do_not_disturb_each_other(provider: ScriptedProvider) -> None:
    """Both see the result; the slower one finds the ledger already told."""
    provider.statuses = [DONE]
    entry = await _submitted()

    assert await wait_for_render.fn(entry, "run") == await wait_for_render.fn(entry, "run")


async def test_failed_job_keeps_the_reason(provider: ScriptedProvider) -> None:
    """The provider's reason reaches the person and the ledger."""
    provider.statuses = [JobStatus(phase="failed", word="fail", reason="no face", charged=False)]
    entry = await _submitted()

    with pytest.raises(RenderFailed, match="no face"):
        await wait_for_render.fn(entry, "run")

    async with open_ledger() as ledger:
        stored = await ledger.get(entry.id)
    assert (stored.state, stored.reason, stored.charged) == (State.FAILED, "no face", False)


async def test_deadline_says_what_is_still_running_and_how_to_resume(provider: ScriptedProvider) -> None:
    """Time over is not failure: the job keeps its id and nothing is submitted again."""
    provider.statuses = [RUNNING]

    with pytest.raises(StillRunning, match=r"job-1 is still rendering.*run the same request again") as late:
        await _poll(provider, 0.05)

    assert late.value.job_id == "job-1"
    async with open_ledger() as ledger:
        entry = await ledger.find("d" * 64)
    assert entry is not None
    assert entry.state is State.SUBMITTED


async def test_unknown_word_counts_as_running_and_is_logged_once(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """A word that the provider's documents do not have is no success and no failure."""
    odd = JobStatus(phase="running", word="marinating", odd=True)
    provider.statuses = [odd, odd, odd, DONE]

    await _poll(provider)

    assert caplog.text.count("marinating") == 1


async def test_provider_in_trouble_is_asked_on(provider: ScriptedProvider, caplog: pytest.LogCaptureFixture) -> None:
    """Broken transport, 'too fast' and a job that is too new to be known do not end the wait; told once each."""
    provider.query_errors = [
        JobUnknown("no such job", provider="local"),
        ProviderUnavailable("cut off", provider="local", sent=True),
        ProviderUnavailable("cut off", provider="local", sent=True),
        ProviderBusy("too fast", provider="local", retry_after=0.01),
    ]
    provider.statuses = [DONE]

    assert await _poll(provider) == DONE
    assert caplog.text.count("no answer, asking on") == 1
    async with open_ledger() as ledger:
        assert await ledger.breaker("local", "file:test") is None


async def test_job_that_stays_unknown_needs_a_person(provider: ScriptedProvider) -> None:
    """A provider that does not know its own job any more is not a reason to pay again: the row stays open."""
    provider.query_errors = [JobUnknown("no such job", provider="local") for _ in range(9)]

    with pytest.raises(JobUnknown):
        await _poll(provider)

    async with open_ledger() as ledger:
        entry = await ledger.find("d" * 64)
    assert entry is not None
    assert entry.state is State.SUBMITTED
    assert provider.queries == 4


async def test_wrong_job_id_is_put_right_by_a_person(provider: ScriptedProvider) -> None:
    """A job that its provider denies is in doubt again, listed for a person, who may give another id."""
    provider.query_errors = [JobUnknown("no such job", provider="local") for _ in range(4)]
    entry = await _submitted()

    with pytest.raises(AmbiguousSubmit, match=r"does not know job job-1.*--job-id"):
        await wait_for_render.fn(entry, "run")

    async with open_ledger() as ledger:
        assert [row.id for row in await ledger.in_states({State.AMBIGUOUS})] == [entry.id]
        settled = await ledger.settle(entry.id, State.SUBMITTED, owner="a person", note="", job_id="job-2")
    provider.statuses = [DONE]
    assert await wait_for_render.fn(settled, "run") == DONE.result


async def test_job_that_was_denied_for_a_while_is_found_again(provider: ScriptedProvider) -> None:
    """When the provider knows the job again, the look-up finds that by itself."""
    provider.query_errors = [JobUnknown("no such job", provider="local") for _ in range(4)]
    provider.sighting = Sighting(seen="unknown")
    provider.statuses = [RUNNING]
    entry = await _submitted()
    with pytest.raises(AmbiguousSubmit):
        await wait_for_render.fn(entry, "run")

    async with open_ledger() as ledger:
        again = await look_and_settle(ledger, provider, await ledger.get(entry.id), "pass")

    assert (again.state, again.job_id) == (State.SUBMITTED, "job-1")


async def test_refused_question_leaves_the_job_alone(provider: ScriptedProvider) -> None:
    """A key that was taken away ends the run, not the render."""
    provider.query_errors = [ProviderRejected("wrong key", provider="local")]

    with pytest.raises(ProviderRejected):
        await _poll(provider)

    async with open_ledger() as ledger:
        entry = await ledger.find("d" * 64)
    assert entry is not None
    assert entry.state is State.SUBMITTED


async def test_notice_wakes_the_wait(provider: ScriptedProvider) -> None:
    """A question planned an hour ahead is asked at once when a notice brings it forward."""
    provider.statuses = [RUNNING, DONE]
    provider.pace = Pace(first=3600, growth=1, longest=3600)
    waiting = asyncio.create_task(_poll(provider, deadline=7200))
    async with open_ledger() as ledger:
        while (entry := await ledger.find("d" * 64)) is None or entry.next_poll_at is None:  # noqa: ASYNC110 - a database
            await asyncio.sleep(0.05)
        await ledger.set_next_poll(entry.id, datetime.now(UTC))

    assert await asyncio.wait_for(waiting, 30) == DONE


async def test_one_run_asks_and_the_others_watch(provider: ScriptedProvider) -> None:
    """While another run's question is planned, this run asks nothing, and ends when that run has archived it."""
    provider.statuses = [RUNNING]
    entry = await _submitted()
    async with open_ledger() as ledger:
        await ledger.set_next_poll(entry.id, datetime.now(UTC) + timedelta(seconds=10))
        waiting = asyncio.create_task(wait_for_render.fn(entry.model_copy(update={"owner": "other"}), "follower"))
        await asyncio.sleep(0.5)
        await ledger.mark_succeeded(entry.id, {"location": "x"}, owner="other")
        await ledger.mark_archived(entry.id, "s3://archive/x", owner="other")

    assert await asyncio.wait_for(waiting, 30) is None
    assert provider.queries == 0


async def test_cost_is_kept_once_however_often_it_is_told(provider: ScriptedProvider) -> None:
    """What the provider says a job cost is in the ledger, under the job's id."""
    provider.statuses = [DONE.model_copy(update={"cost": Decimal("1.5"), "cost_unit": "credits"})]
    entry = await _submitted()
    for _ in range(2):
        await wait_for_render.fn(entry, "run")

    async with open_ledger() as ledger:
        stored, lines = await ledger.get(entry.id), await ledger.costs()
    assert (stored.charge, stored.charged, stored.unit) == (Decimal("1.5"), True, "credits")
    assert [line.charged for line in lines] == [Decimal("1.5")]


async def test_a_cancelled_wait_leaves_the_others_alone(provider: ScriptedProvider) -> None:
    """Two runs of one process share the scheduler; one that is cancelled lets go, the other gets its result."""
    provider.statuses = [RUNNING]
    entry = await _submitted()
    waits = [asyncio.create_task(wait_for_render.fn(entry, owner)) for owner in ("run", "second")]
    while provider.queries < 3:  # noqa: ASYNC110 - a database
        await asyncio.sleep(0.05)
    waits[1].cancel()
    await asyncio.sleep(0.1)
    provider.statuses = [DONE]

    assert await asyncio.wait_for(waits[0], 30) == DONE.result
    assert waits[1].cancelled()


async def test_the_ledger_learns_how_long_renders_take(provider: ScriptedProvider) -> None:
    """What is found unfinished is written in bulk, so that the next renders are asked about when it pays."""
    provider.pace = Pace(first=0.4, growth=1, longest=0.4, per_second=1000)
    provider.statuses = [RUNNING, RUNNING, RUNNING, DONE]

    await wait_for_render.fn(await _submitted(), "run")

    async with open_ledger() as ledger:
        (took,) = await ledger.durations("local", "")
    assert 0 < took.unfinished < took.finished


async def test_many_jobs_share_one_scheduler(provider: ScriptedProvider) -> None:
    """Jobs of several batches end as their provider says, each told once, by a real ledger."""
    endings: list[Ending] = []
    provider.pace = Pace(first=0.05, growth=1, longest=0.05, per_second=200)
    provider.statuses = [RUNNING] * 60 + [DONE]
    async with open_ledger() as ledger, open_scheduler(ledger, provider) as scheduler:
        for number in range(20):
            entry = await _submitted(key=f"{number:064x}", job_id=f"job-{number}")
            scheduler.follow(entry, owner=f"batch-{number % 2}", deadline_seconds=60, tell=endings.append)
        async with asyncio.timeout(60), open_scheduler(ledger, provider) as same:
            assert same is scheduler
            while scheduler.waiting():  # noqa: ASYNC110 - a database
                await asyncio.sleep(0.05)

    assert [ending.kind for ending in endings] == ["ended"] * 20
    assert len({ending.entry_id for ending in endings}) == 20
