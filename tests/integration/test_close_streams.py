"""The flow that closes streams, as a run on a real Prefect server, with the account from its block."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import State as RunState
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
from tasks.show import reaping
from tasks.show.account import load_zego
from tasks.show.closing import hook_close
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
    return [line for artifact in artifacts for line in json.loads(str(artifact.data))]


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
