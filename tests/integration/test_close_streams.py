"""The flow that closes streams, as a run on a real Prefect server, with the account from its block."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State as RunState
from prefect.client.schemas.schedules import CronSchedule
from prefect.runtime import flow_run
from prefect.testing.utilities import prefect_test_harness
from pydantic import SecretStr

from deployments.settling import Way, list_waiting, refuse_unfit
from flows.close_streams import close_streams
from tasks.blocks import ZegoCredentials
from tasks.errors import RequestRefused, StudioError
from tasks.ledger import State
from tasks.ledger.opening import open_ledger
from tasks.settings import get_settings
from tasks.show import reaping, waking
from tasks.show.account import load_zego
from tasks.show.closing import close_stream, hook_close
from tasks.show.stream import open_stream
from tests.chaos.killed_show import a_plan
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox


@pytest.fixture(scope="module")
def prefect_server(sandbox_server: SandboxServer) -> Iterator[None]:
    """A Prefect server that knows the sandbox's account."""
    with prefect_test_harness(server_startup_timeout=120):
        ZegoCredentials(
            app_id=sandbox_server.zego_app_id,
            server_secret=SecretStr(sandbox_server.zego_server_secret),
            base_url=sandbox_server.zego_url,
            unverified_socket=True,
            account="sandbox",
        ).save("zego-sandbox", overwrite=True)
        yield


@pytest.fixture(autouse=True)
def _studio(prefect_server: None, studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_ZEGO_BLOCK", "zego-sandbox")
    get_settings.cache_clear()
    monkeypatch.setattr(reaping.reap_streams.fn, "__defaults__", (reaping.QUIET_SECONDS, 0.2))


async def report_of(state: RunState[Any]) -> list[dict[str, str]]:
    """The lines of a run's report; none without one."""
    assert state.state_details.flow_run_id is not None
    this_run = ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id])
    async with get_client() as client:
        artifacts = await client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=this_run))
    # Prefect's client sends a report again when the server was too busy to answer, so there may be two of the same.
    reports = {str(artifact.data) for artifact in artifacts}
    return [line for report in reports for line in json.loads(report)]


async def test_a_pass_closes_and_reports_a_dead_show(sandbox: SandboxServer) -> None:
    """The run's page tells which stream was closed and what it was; the next pass finds nothing and shows nothing."""
    async with open_ledger() as ledger:
        account = await load_zego()
        stream = await open_stream(account, ledger, a_plan("room-1"), run_id="dead", run_count=1)
        still = await close_streams(return_state=True)
        assert (still.name, still.message) == ("Completed", "nothing was left behind")
        assert len(sandbox.live_streams()) == 1

        state = await close_streams(quiet_seconds=0, return_state=True)

        assert (state.name, state.message) == ("Completed", "1 done")
        (line,) = await report_of(state)
        assert (line["title"], line["state"], line["provider"]) == ("room-1", "succeeded", "zego")
        assert stream.task_id in line["what was done"]
        assert sandbox.live_streams() == []
        assert await report_of(await close_streams(quiet_seconds=0, return_state=True)) == []


@flow(name="failing-show", retries=0, on_failure=[hook_close])
async def failing_show() -> None:
    """A show that leaves its stream to the hook."""
    run_id, run_count = str(flow_run.get_id()), flow_run.get_run_count()
    async with open_ledger() as ledger:
        account = await load_zego()
        await open_stream(account, ledger, a_plan("room-1"), run_id=run_id, run_count=run_count)
    raise StudioError("it is broken")


async def test_the_hook_of_a_real_run_closes_its_own_start(sandbox: SandboxServer) -> None:
    """Prefect counts a start as the hook does, so that the stream of the start that has just ended is closed."""
    await failing_show(return_state=True)

    assert len(sandbox.streams()) == 1
    assert sandbox.live_streams() == []


async def test_a_studio_without_an_account_has_nothing_to_close(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass runs every minute in every studio, so it is quiet where there are no live shows."""
    monkeypatch.setenv("STUDIO_ZEGO_BLOCK", "none-of-this-name")
    get_settings.cache_clear()

    state = await close_streams(return_state=True)

    assert (state.name, state.message) == ("Completed", "nothing was left behind")
    with pytest.raises(RequestRefused, match="live shows are not set up"):
        await load_zego()


async def test_no_person_is_asked_about_streams(sandbox: SandboxServer) -> None:
    """An unanswered stream is settled by its own flow, so `studio settle` neither lists nor takes it."""
    async with open_ledger() as ledger:
        stream = await open_stream(await load_zego(), ledger, a_plan("room-1"), run_id="doubt", run_count=1)
        doubt = await ledger.mark_denied(stream.entry.id, "no answer")

        assert doubt.state is State.AMBIGUOUS
        assert await list_waiting(ledger, 0) == []
        with pytest.raises(StudioError, match="is a live stream"):
            refuse_unfit(doubt, Way.ABANDON, 0)
        await close_streams(quiet_seconds=0)
    assert sandbox.live_streams() == []


@pytest_asyncio.fixture
async def passes() -> AsyncIterator[UUID]:
    """The deployment of the flow, as registering it makes it: awake."""
    async with get_client() as client:
        flow_id = await client.create_flow_from_name("close-streams")
        every_minute = DeploymentScheduleCreate(schedule=CronSchedule(cron="* * * * *"), active=True)
        made = await client.create_deployment(flow_id, "studio", schedules=[every_minute], paused=False)
        yield made
        await client.delete_deployment(made)


async def are_paused(passes: UUID) -> bool:
    async with get_client() as client:
        return (await client.read_deployment(passes)).paused


async def test_passes_rest_until_a_show_wakes_them(sandbox: SandboxServer, passes: UUID) -> None:
    """A studio without shows does not pay for passes; a show has them before its stream, and for an hour after it."""
    await close_streams()
    assert await are_paused(passes)

    await waking.wake_reaper()
    assert not await are_paused(passes)
    async with open_ledger() as ledger:
        account = await load_zego()
        stream = await open_stream(account, ledger, a_plan("room-1"), run_id="live", run_count=1)
        await close_streams()
        assert not await are_paused(passes)
        await close_stream(account, ledger, stream.entry, why="it is over")
    await close_streams()
    assert not await are_paused(passes)


async def test_passes_rest_after_the_last_show(
    sandbox: SandboxServer, passes: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a show left keeps the passes awake, however long ago it was; what it has closed does not for ever."""
    monkeypatch.setattr(waking, "QUIET", timedelta(0))
    async with open_ledger() as ledger:
        account = await load_zego()
        stream = await open_stream(account, ledger, a_plan("room-1"), run_id="live", run_count=1)
        assert not await waking.rest_if_idle()
        assert not await are_paused(passes)
        await close_stream(account, ledger, stream.entry, why="it is over")

    assert await waking.rest_if_idle()
    assert await are_paused(passes)


async def test_a_stream_that_comes_as_the_passes_fall_asleep_wakes_them(
    sandbox: SandboxServer, passes: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass looks again after it has paused itself: a show that found it awake has reserved its stream meanwhile."""
    lay_to_rest = waking._lay_to_rest

    async def meanwhile() -> bool:
        async with open_ledger() as ledger:
            await open_stream(await load_zego(), ledger, a_plan("room-1"), run_id="live", run_count=1)
        return await lay_to_rest()

    monkeypatch.setattr(waking, "_lay_to_rest", meanwhile)

    assert not await waking.rest_if_idle()
    assert not await are_paused(passes)


async def test_a_show_that_others_laid_to_rest_its_passes_wakes_them_again(
    passes: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a show lives its passes are awake, whatever a pass, a person or a registration does to them."""
    monkeypatch.setattr(waking, "FIRST_LOOK_SECONDS", 0.1)
    async with get_client() as client:
        await client.pause_deployment(passes)

    keeping = asyncio.create_task(waking.keep_awake())
    try:
        async with asyncio.timeout(30):
            while await are_paused(passes):  # noqa: ASYNC110 - a server's state
                await asyncio.sleep(0.05)
    finally:
        keeping.cancel()


async def test_passes_without_a_deployment_neither_rest_nor_hold_up_a_show(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody who runs the flows by themselves gets a pass and a show; the log says that nobody follows it up."""
    await waking.wake_reaper()

    assert "passes not woken deployment=close-streams/studio error=ObjectNotFound" in caplog.text
    assert not await waking.rest_if_idle()
