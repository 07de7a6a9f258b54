"""Waiting for a render: ask first, show progress, end at the deadline with the way to resume."""

import itertools
from pathlib import Path

import pytest

from tasks import poll
from tasks.errors import RenderFailed, StillRunning
from tasks.ledger import Entry, Intent, State
from tasks.ledger.opening import open_ledger
from tasks.poll import pauses, poll_until_done, wait_for_render
from tasks.providers.base import JobStatus, Pace, ResultFile
from tests.scripted_provider import ScriptedProvider

DONE = JobStatus(phase="succeeded", word="done", result=ResultFile(location="/tmp/x.mp4", speech_seconds=1.5))
RUNNING = JobStatus(phase="running", word="rendering", progress=0.5)


@pytest.fixture
def provider(studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedProvider:
    """The provider at the studio's border."""
    scripted = ScriptedProvider()
    monkeypatch.setattr(poll, "get_provider", lambda _name: scripted)
    return scripted


async def _submitted() -> Entry:
    intent = Intent(render_key="d" * 64, provider="local", account="local", endpoint="file:test")
    async with open_ledger() as ledger:
        entry, _ = await ledger.reserve(intent, owner="run")
        await ledger.mark_submitting(entry.id, "run")
        return await ledger.mark_submitted(entry.id, "job-1")


async def _watch(_status: JobStatus) -> None:
    return None


async def test_finished_job_is_seen_without_a_pause(provider: ScriptedProvider) -> None:
    """The first question comes before the first pause."""
    provider.statuses = [DONE]
    provider.pace = Pace(first=3600, growth=1, longest=3600)

    result = await wait_for_render.fn(await _submitted())

    assert result == DONE.result
    assert provider.queries == 1


async def test_result_is_in_the_ledger_before_it_is_fetched(provider: ScriptedProvider) -> None:
    """A crash right after the render leaves the result in the ledger."""
    provider.statuses = [RUNNING, RUNNING, DONE]
    entry = await _submitted()

    await wait_for_render.fn(entry)

    async with open_ledger() as ledger:
        stored = await ledger.get(entry.id)
    assert stored.state is State.SUCCEEDED
    assert stored.result is not None
    assert stored.result["location"] == "/tmp/x.mp4"


async def test_two_waiting_runs_do_not_disturb_each_other(provider: ScriptedProvider) -> None:
    """Both see the result; the slower one finds the ledger already told."""
    provider.statuses = [DONE]
    entry = await _submitted()

    assert await wait_for_render.fn(entry) == await wait_for_render.fn(entry)


async def test_failed_job_keeps_the_reason(provider: ScriptedProvider) -> None:
    """The provider's reason reaches the person and the ledger."""
    provider.statuses = [JobStatus(phase="failed", word="fail", reason="no face", charged=False)]
    entry = await _submitted()

    with pytest.raises(RenderFailed, match="no face"):
        await wait_for_render.fn(entry)

    async with open_ledger() as ledger:
        stored = await ledger.get(entry.id)
    assert (stored.state, stored.reason, stored.charged) == (State.FAILED, "no face", False)


async def test_deadline_says_what_is_still_running_and_how_to_resume(provider: ScriptedProvider) -> None:
    """Time over is not failure: the job keeps its id and nothing is submitted again."""
    provider.statuses = [RUNNING]

    with pytest.raises(StillRunning, match=r"job-1 is still rendering.*run the same request again") as late:
        await poll_until_done(provider, await _submitted(), 0.05, _watch)

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

    await poll_until_done(provider, await _submitted(), 60, _watch)

    assert caplog.text.count("marinating") == 1


def test_pauses_grow_to_the_longest_and_are_never_in_step() -> None:
    """Pauses start short, end at the provider's longest, and differ between renders."""
    first, second = (list(itertools.islice(pauses(Pace(first=1, growth=2, longest=5)), 8)) for _ in range(2))

    assert first != second
    assert 0.9 <= first[0] <= 1.1
    assert all(4.5 <= pause <= 5.5 for pause in first[4:])
