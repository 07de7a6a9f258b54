"""A pass of `reconcile` over real rows, a real object store and a real Prefect server, alone and beside live runs."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import State as RunState
from prefect.testing.utilities import prefect_test_harness
from pydantic import SecretStr

from flows.reconcile import reconcile
from tasks import attend, original, registry
from tasks.archive import find_in_store
from tasks.blocks import S3Storage
from tasks.errors import ProviderUnavailable, StorageError
from tasks.finished import FinishedVideo
from tasks.handout import hand_out
from tasks.ledger import Entry, State
from tasks.ledger.opening import open_ledger
from tasks.leftovers import plan_of_entry
from tasks.original import archive_original
from tasks.pass_report import REPORT_KEY
from tasks.poll import wait_for_render
from tasks.providers.base import JobStatus, Sighting
from tasks.publish import await_finished, find_finished
from tasks.settings import get_settings
from tasks.storage import ObjectStore
from tests.left_behind import DELIVERY, RUNNING, KnowingProvider, done, key_of, leave
from tests.media_files import write_clip
from tests.servers.seaweedfs import SeaweedServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """An object store, and a Prefect server that knows its block."""
    running = SeaweedServer(tmp_path_factory.mktemp("server"))
    running.start()
    try:
        with prefect_test_harness(server_startup_timeout=120):
            S3Storage(
                endpoint=f"127.0.0.1:{running.port}",
                secure=False,
                access_key=SecretStr(running.access_key),
                secret_key=SecretStr(running.secret_key),
                retry_seconds=5,
            ).save("studio-archive", overwrite=True)
            yield running
    finally:
        running.stop()


@pytest.fixture
async def store(server: SeaweedServer) -> AsyncIterator[ObjectStore]:
    """Both buckets, empty after each test."""
    made = server.store()
    for bucket in ("archive", "staging"):
        await made.ensure_bucket(bucket)
    yield made
    for entry in [entry async for entry in made.list_objects("archive")]:
        await made.delete("archive", entry.key)


@pytest.fixture
def provider(studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> KnowingProvider:
    """The only provider of the studio; damaged results are brought again without a pause."""
    knowing = KnowingProvider()

    async def make() -> KnowingProvider:
        return knowing

    monkeypatch.setattr(registry, "PROVIDERS", {"local": make})
    monkeypatch.setattr(original, "AGAIN_SECONDS", 0.01)
    return knowing


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """What the provider made."""
    return write_clip(tmp_path / "result.mp4", seconds=1)


async def run_pass(minutes: int = 8) -> RunState[Any]:
    return await reconcile(minutes=minutes, unattended_minutes=0, return_state=True)


async def report_of(state: RunState[Any]) -> dict[str, dict[str, str]]:
    """The lines of the report by title, as they are on the run's page."""
    assert state.state_details.flow_run_id is not None
    this_run = ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id])
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=this_run, key=ArtifactFilterKey(any_=[REPORT_KEY]))
        )
    assert isinstance(artifact.data, str)
    return {row["title"] or row["render"]: row for row in json.loads(artifact.data)}


async def states() -> dict[str, State]:
    async with open_ledger() as ledger:
        return {entry.title: entry.state for entry in await ledger.in_states(set(State))}


async def published(entry: Entry) -> FinishedVideo | None:
    return await find_finished.fn([plan_of_entry(entry)], DELIVERY)


async def test_one_pass_ends_everything_that_can_be_ended(
    store: ObjectStore, provider: KnowingProvider, video: Path, tmp_path: Path
) -> None:
    """Every row ends archived and handed out, ended, or named with its next step; a second pass adds nothing."""
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:2000])  # noqa: ASYNC240 - a small file
    for name, state in [
        ("post found", State.SUBMITTING),
        ("doubt", State.AMBIGUOUS),
        ("job done", State.SUBMITTED),
        ("job running", State.SUBMITTED),
        ("job failed", State.SUBMITTED),
        ("result", State.SUCCEEDED),
        ("broken result", State.SUCCEEDED),
        ("expired result", State.SUCCEEDED),
    ]:
        await leave(name, state)
    await leave("intent", State.RESERVED, hours=30)
    await leave("old version", State.SUCCEEDED, context={})
    await leave("elsewhere", State.SUCCEEDED, account="other")
    provider.sightings = {key_of("post found"): Sighting(seen="accepted", job_id="job-post found")}
    provider.jobs = {
        **{f"job-{name}": done(video) for name in ("post found", "job done", "result", "old version")},
        "job-job running": RUNNING,
        "job-job failed": JobStatus(phase="failed", word="fail", reason="no face", charged=False),
        "job-broken result": done(broken),
        "job-expired result": done(tmp_path / "none.mp4"),
    }

    first = await run_pass()

    ended = {
        "post found": State.ARCHIVED,
        "doubt": State.AMBIGUOUS,
        "job done": State.ARCHIVED,
        "job running": State.SUBMITTED,
        "job failed": State.FAILED,
        "result": State.ARCHIVED,
        "broken result": State.SUCCEEDED,
        "expired result": State.SUCCEEDED,
        "intent": State.CANCELLED,
        "old version": State.ARCHIVED,
        "elsewhere": State.SUCCEEDED,
    }
    assert await states() == ended
    assert first.name == "Needs a person"
    assert first.message == "6 done, 1 left for the next pass, 4 need a person"
    report = await report_of(first)
    people = {name for name, line in report.items() if line["verdict"] == "needs a person"}
    assert people == {"doubt", "broken result", "expired result", "elsewhere"}
    for name in people:
        assert f"studio settle {key_of(name)[:12]}" in report[name]["next step"]
    async with open_ledger() as ledger:
        entries = {entry.title: entry for entry in await ledger.in_states({State.ARCHIVED})}
    for name in ("post found", "job done", "result"):
        finished = await published(entries[name])
        assert finished is not None
        assert (finished.manifest.title, finished.manifest.labels) == ("Left behind", DELIVERY.labels)
        assert finished.manifest.video.uri in report[name]["what was done"]
    assert await published(entries["old version"]) is None
    assert await find_in_store(store, key_of("old version")) is not None
    assert not list(get_settings().scratch.iterdir())

    objects = [(entry.key, entry.etag) async for entry in store.list_objects("archive")]
    downloads = provider.downloads
    second = await run_pass()

    assert second.message == "1 left for the next pass, 4 need a person"
    assert await states() == ended
    assert [(entry.key, entry.etag) async for entry in store.list_objects("archive")] == objects
    # Only what is damaged is brought again.
    assert provider.downloads == downloads + original.DOWNLOADS
    assert provider.orders == []


async def test_a_render_that_was_archived_but_never_handed_out_is_handed_out(
    store: ObjectStore, provider: KnowingProvider, video: Path, tmp_path: Path
) -> None:
    """A run that died between the archive and the publication costs a pass, not the video."""
    entry = await leave("unpublished", State.SUCCEEDED)
    provider.jobs = {"job-unpublished": done(video)}
    record = await archive_original.fn(entry, None, tmp_path)
    await leave("vanished", State.ARCHIVED)

    state = await run_pass()

    finished = await published(entry)
    assert finished is not None
    assert finished.manifest.original.uri == record.uri
    report = await report_of(state)
    assert report["unpublished"]["verdict"] == "done"
    # What the archive lost is not taken for finished.
    assert report["vanished"]["verdict"] == "needs a person"
    assert (await run_pass()).message == "1 needs a person"


@flow(name="live")
async def live_run(entry: Entry, folder: Path) -> FinishedVideo | None:
    """What `render_video` does from the wait on."""
    result = await wait_for_render(entry, "live")
    if result is None and (finished := await await_finished([plan_of_entry(entry)], DELIVERY)):
        return finished
    record = await archive_original(entry, result, folder)
    return await hand_out(record, plan_of_entry(entry), DELIVERY, folder)


async def test_passes_and_a_live_run_finish_the_same_row_together(
    store: ObjectStore, provider: KnowingProvider, video: Path, tmp_path: Path
) -> None:
    """Whoever is first, the live run gets its video, the passes end well, and the archive holds one delivery."""
    entry = await leave("shared", State.SUBMITTED)
    provider.jobs = {"job-shared": done(video)}

    finished, *passes = await asyncio.gather(live_run(entry, tmp_path), run_pass(), run_pass())

    assert finished is not None
    assert [state.name for state in passes] == ["Completed", "Completed"]
    assert (await states())["shared"] is State.ARCHIVED
    assert await published(entry) is not None
    keys = sorted([found.key.rpartition("/")[2] async for found in store.list_objects("archive")])
    assert keys == ["manifest.json", "original.mp4", "poster.jpg", "render.json", "video.mp4"]


async def test_an_outage_in_a_pass_is_mended_by_the_next(
    store: ObjectStore, provider: KnowingProvider, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider and an archive that are away leave the rows as they are; once back, the next pass finishes them."""
    for name, state in [("asked", State.SUBMITTED), ("archiving", State.SUCCEEDED), ("odd", State.SUBMITTED)]:
        await leave(name, state)
    provider.jobs = {
        "job-asked": ProviderUnavailable("the provider is away", provider="local", sent=True),
        "job-odd": ZeroDivisionError("a defect"),
    }

    async def away(*_: object) -> None:
        raise StorageError("the archive is away")

    with monkeypatch.context() as patch:
        patch.setattr(original, "find_in_store", away)
        first = await run_pass()
    before = await states()
    provider.jobs = {f"job-{name}": done(video) for name in ("asked", "archiving", "odd")}
    second = await run_pass()

    assert first.is_failed()
    assert first.message is not None
    assert first.message.startswith("2 left for the next pass, 1 ended in an unexpected error")
    assert before == {"asked": State.SUBMITTED, "archiving": State.SUCCEEDED, "odd": State.SUBMITTED}
    assert second.message == "3 done"
    assert set((await states()).values()) == {State.ARCHIVED}


async def test_unfinished_uploads_are_freed(
    store: ObjectStore, provider: KnowingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that a killed process left in a bucket take no room for ever; younger uploads go on."""
    store._client.start_upload("staging", "half.mp4", {})
    young = await run_pass()
    monkeypatch.setattr(attend, "UNFINISHED_UPLOAD", timedelta(seconds=-60))

    old = await run_pass()

    assert young.message == "nothing was left behind"
    assert (await report_of(old))["uploads"]["what was done"].startswith("1 unfinished uploads into s3://staging")


async def test_a_ledger_that_is_away_ends_the_pass_with_a_sentence(
    server: SeaweedServer, provider: KnowingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the ledger nothing can be known, and the run says so instead of a traceback."""
    monkeypatch.setattr(get_settings(), "ledger_url", "sqlite+aiosqlite:////dev/null/ledger.db")

    state = await run_pass()

    assert state.is_failed()
    assert "STUDIO_LEDGER_URL" in (state.message or "")


async def test_limits_of_the_form(server: SeaweedServer) -> None:
    """A pass without an end, or of no time at all, cannot be asked for."""
    for parameters in ({"minutes": 0}, {"minutes": 61}, {"unattended_minutes": -1}):
        with pytest.raises(Exception, match=r"greater than or equal|less than or equal"):
            reconcile.validate_parameters(parameters)
