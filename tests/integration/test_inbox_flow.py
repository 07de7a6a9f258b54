"""The flow over the inbox on a real Prefect server: its page, its state, its event, and the run that it starts."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.testing.utilities import prefect_test_harness

from flows.pick_up_inbox import pick_up_inbox
from tasks.batch.inbox import steps
from tasks.batch.inbox.pickup import Verdict
from tasks.batch.inbox.steps import pick_up, settled_drops, start_batch
from tasks.batch.request import BatchRequest
from tasks.errors import StorageError, StudioUnavailable
from tasks.ledger.opening import open_ledger
from tests.dropped_files import BAD, Inbox
from tests.integration.inbox_worker import Runs
from tests.servers.seaweedfs import SeaweedServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """An object store, and a Prefect server that knows its block."""
    running = SeaweedServer(tmp_path_factory.mktemp("server"))
    running.start()
    try:
        with prefect_test_harness(server_startup_timeout=120):
            running.block(retry_seconds=5).save("studio-archive", overwrite=True)
            yield running
    finally:
        running.stop()


@pytest.fixture
async def inbox(server: SeaweedServer, studio_home: Path, tmp_path: Path) -> AsyncIterator[Inbox]:
    """An inbox, empty after each test, over the ledger of the settings."""
    store = server.store()
    await store.ensure_bucket("archive", versioned=True)
    async with open_ledger() as ledger:
        yield Inbox(store, ledger, Runs(tmp_path / "runs"))
    for entry in [entry async for entry in store.list_objects("archive")]:
        await store.delete("archive", entry.key)


@pytest.fixture
def events(studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that were sent; files settle at once."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(steps, "emit_event", lambda event, **facts: sent.append({"event": event, **facts}))
    monkeypatch.setattr(steps, "SETTLED_SECONDS", 0)
    return sent


async def test_a_pass_shows_what_it_picked_up(
    inbox: Inbox, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page has a line per file, its state says whether a person is needed, and others hear of the rejected."""
    monkeypatch.setattr(steps, "start_batch", inbox.runs.start)
    await inbox.put("good.csv")
    await inbox.put("bad.csv", BAD)

    state = await pick_up_inbox(return_state=True)
    empty = await pick_up_inbox(return_state=True)

    assert (state.name, state.message) == ("Needs a person", "1 started, 1 rejected")
    assert empty.message == "nothing to pick up"
    run_id = state.state_details.flow_run_id
    assert run_id
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        )
    lines = {line["file"]: line for line in json.loads(str(artifact.data))}
    assert lines["good.csv"]["verdict"] == "started"
    assert "row 2" in lines["bad.csv"]["what was done"]
    assert lines["bad.csv"]["more"].endswith("bad.csv.reason.txt")
    (event,) = events
    assert event["event"] == "studio.inbox.rejected"
    assert event["payload"]["problems"] == 1
    assert event["payload"]["file"].endswith("/bad.csv")


async def test_one_file_does_not_keep_the_others(
    inbox: Inbox, events: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage or a defect at one file leaves it in the inbox, and the next pass takes it."""
    for name in ("away.csv", "defect.csv", "good.csv"):
        await inbox.put(name)

    async def start(manifest: str, name: str, once: str) -> Any:
        if name == "away":
            raise StorageError("the archive is away")
        return await (inbox.runs.start(manifest, name, once) if name == "good" else 1 / 0)

    monkeypatch.setattr(steps, "start_batch", start)
    first = await pick_up_inbox(return_state=True)
    between = {name for name in await inbox.contents() if name.startswith("inbox/")}
    monkeypatch.setattr(steps, "start_batch", inbox.runs.start)
    second = await pick_up_inbox(return_state=True)

    assert first.is_failed()
    assert first.message == "1 started, 1 left for the next pass, 1 unexpected error; everything else was done"
    assert between == {"inbox/away.csv", "inbox/defect.csv"}
    assert second.message == "2 started"
    names = {f"done/{name}.csv{note}" for name in ("away", "defect", "good") for note in ("", ".run.txt")}
    assert set(await inbox.contents()) == names


async def test_no_file_is_begun_when_the_time_is_up(inbox: Inbox, events: list[dict[str, Any]]) -> None:
    """A pass ends before the next one is due."""
    await inbox.put("a.csv")
    drops = await settled_drops(inbox.store, 0)

    picked = await pick_up.fn(drops, "a", time.monotonic() - 1)

    assert [one.verdict for one in picked] == [Verdict.WAITS]
    assert set(await inbox.contents()) == {"inbox/a.csv"}


async def test_the_batch_is_started_once(events: list[dict[str, Any]]) -> None:
    """The same drop always answers with the same run, which has the form that the batch expects."""

    @flow(name="render-batch")
    def stands_for_the_batch(batch: dict[str, Any]) -> None:
        """Is never run."""

    with pytest.raises(StudioUnavailable, match="not registered"):
        await start_batch("s3://archive/done/a.csv", "a", "claim")
    async with get_client() as client:
        flow_id = await client.create_flow(stands_for_the_batch)
        await client.create_deployment(flow_id, "studio", enforce_parameter_schema=False)

        first = await start_batch("s3://archive/done/a.csv", "a" * 300, "claim")
        again = await start_batch("s3://archive/done/a.csv", "a" * 300, "claim")
        other = await start_batch("s3://archive/done/b.csv", "b", "another claim")
        runs = {run.name: run for run in await client.read_flow_runs()}

    assert first == again != other
    assert set(runs) >= {first.name, other.name}
    assert BatchRequest.model_validate(runs[first.name].parameters["batch"]).name == "a" * 200
